"""The API's own metrics: prefix `margin_api_`, no account and no key in any label."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from streams.observe.registry import process_registry

LATENCY_EDGES_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class ApiMetrics:
    """The instruments on a registry of its own; build one per process."""

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        """Register every metric on `registry` (a fresh one by default)."""
        self.registry = r = registry or process_registry()
        self.requests_total = Counter(
            "margin_api_requests_total",
            "Requests answered, by route as the schema names it, and by status.",
            ["route", "status"],
            registry=r,
        )
        self.request_seconds = Histogram(
            "margin_api_request_seconds",
            "From the request to the end of its answer; streams are not in it.",
            ["route"],
            buckets=LATENCY_EDGES_SECONDS,
            registry=r,
        )
        self.stream_clients = Gauge("margin_api_stream_clients", "Clients of /stream.", registry=r)
        self.streams_dropped_total = Counter(
            "margin_api_streams_dropped_total",
            "Streams that the API ended, by reason.",
            ["reason"],
            registry=r,
        )
        self.events_read_total = Counter(
            "margin_api_events_read_total", "Records read from the event topics.", registry=r
        )
        self.events_reader_ready = Gauge(
            "margin_api_events_reader_ready",
            "1 while the event topics are being followed, else 0.",
            registry=r,
        )
        self.copy_refresh_timestamp_seconds = Gauge(
            "margin_api_copy_refresh_timestamp_seconds",
            "When the copy that questions are answered from last agreed with Redis; 0 before that.",
            registry=r,
        )
        self.copy_accounts = Gauge("margin_api_copy_accounts", "Accounts in that copy.", registry=r)
        self.copy_reloads_total = Counter(
            "margin_api_copy_reloads_total",
            "Shards whose trail was lost and that were loaded anew.",
            registry=r,
        )
