"""The notifier's own metrics: prefix `margin_notify_`, no account and no secret in any label."""

from prometheus_client import CollectorRegistry, Counter, Gauge

from streams.observe.registry import process_registry


class NotifyMetrics:
    """The instruments on a registry of its own; build one per process."""

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        """Register every metric on `registry` (a fresh one by default)."""
        self.registry = r = registry or process_registry()
        self.events_read_total = Counter(
            "margin_notify_events_read_total", "Records read from the event topics.", registry=r
        )
        self.unreadable_total = Counter(
            "margin_notify_unreadable_total", "Records that are no event this edition knows.", registry=r
        )
        self.sent_total = Counter(
            "margin_notify_sent_total", "Messages that a target took.", ["target"], registry=r
        )
        self.failed_total = Counter(
            "margin_notify_failed_total", "Attempts that a target did not take.", ["target"], registry=r
        )
        self.suppressed_total = Counter(
            "margin_notify_suppressed_total",
            "Events that a rule asked for and that were not told, by reason.",
            ["target", "reason"],
            registry=r,
        )
        self.digested_total = Counter(
            "margin_notify_digested_total", "Events told in a digest.", ["target"], registry=r
        )
        self.dead_total = Counter(
            "margin_notify_dead_total", "Messages that became dead letters.", ["target"], registry=r
        )
        self.dead_letters = Gauge(
            "margin_notify_dead_letters", "Dead letters that wait for `unimargin notify replay`.", registry=r
        )
        self.waiting = Gauge(
            "margin_notify_waiting", "Events that wait for their delivery, at any target.", registry=r
        )
        self.lag_records = Gauge(
            "margin_notify_lag_records",
            "Records of this process's partitions behind the committed position.",
            registry=r,
        )
        self.reader_ready = Gauge(
            "margin_notify_reader_ready", "1 while the event topics are being followed, else 0.", registry=r
        )
        self.near_lines = Gauge(
            "margin_notify_near_lines",
            "Pools near a line by the distance rules; 0 where another process watches.",
            registry=r,
        )
        self.distance_round_seconds = Gauge(
            "margin_notify_distance_round_seconds",
            "How long it last took to look at every account once for the distance rules.",
            registry=r,
        )
