"""Every Prometheus metric of the worker, in one place.

Rules: prefix ``margin_``, base units, ``_total`` on counters, timestamps instead of ages, no account label
(an exchange has millions), label values from closed sets (states, reason codes, topics, listed symbols).
"""

from enum import StrEnum

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from engine.ladder.breaker import CAUSES
from streams.observe.registry import process_registry

# Edges on the thresholds a reader cares about: 10 ms is the tick-to-event promise.
LATENCY_EDGES_SECONDS = (
    0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.015, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
)  # fmt: skip
BATCH_EDGES_COUNT = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000)


class Stage(StrEnum):
    """A part of the way from a record to its published event; each begins where the one before ends."""

    RECEIVED = "received"
    """From the event time of a mark to its having been read from Kafka."""
    JUDGED = "judged"
    """... to everybody whom it concerns having been judged. Also of fills and ledger entries: from having been read."""
    COMMITTED = "committed"
    """... to what was found being durable in Redis."""
    PUBLISHED = "published"
    """... to the events being sent to Kafka."""
    ACKNOWLEDGED = "acknowledged"
    """... to Kafka having taken them."""


class Metrics:
    """The worker's instruments on a registry of its own; build one per process."""

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        """Register every metric on `registry` (a fresh one by default)."""
        self.registry = registry or process_registry()
        r = self.registry
        self.worker_info = Gauge(
            "margin_worker_info", "Constant 1; labels name what runs.", ["version", "policy"], registry=r
        )
        self.policy_refused = Gauge(
            "margin_policy_refused",
            "1 while this worker takes no shard because another policy than its own is in force.",
            registry=r,
        )
        self.worker_start_timestamp_seconds = Gauge(
            "margin_worker_start_timestamp_seconds", "When this worker process started.", registry=r
        )
        # -- prices
        self.marks_accepted_total = Counter(
            "margin_marks_accepted_total", "Marks accepted by the mark book.", ["symbol"], registry=r
        )
        self.marks_refused_total = Counter(
            "margin_marks_refused_total",
            "Marks refused, by reason code. Symbols that the policy does not list are one.",
            ["symbol", "reason"],
            registry=r,
        )
        self.price_notices_total = Counter(
            "margin_price_notices_total",
            "What happened to the belief in a symbol: confirmed jumps, restarted feeds, second sources. No symbol: of the clock.",
            ["symbol", "kind"],
            registry=r,
        )
        self.price_reader_ready = Gauge(
            "margin_price_reader_ready",
            "1 while the price reader has read the log to its end and its broker answers, else 0.",
            registry=r,
        )
        self.price_reader_restarts_total = Counter(
            "margin_price_reader_restarts_total",
            "Times that the price reader connected anew because it had failed or come to a standstill.",
            registry=r,
        )
        self.mark_event_timestamp_seconds = Gauge(
            "margin_mark_event_timestamp_seconds",
            "Event time of the newest accepted mark of a symbol.",
            ["symbol"],
            registry=r,
        )
        self.symbols_stale = Gauge(
            "margin_symbols_stale", "Listed price symbols without a fresh mark.", registry=r
        )
        self.feed_stale = Gauge(
            "margin_feed_stale",
            "Whether hardly any price symbol has a fresh mark: nobody is judged until prices come again.",
            registry=r,
        )
        self.mark_batch_marks = Histogram(
            "margin_mark_batch_marks", "Marks in one batch.", buckets=BATCH_EDGES_COUNT, registry=r
        )
        self.mark_batch_seconds = Histogram(
            "margin_mark_batch_seconds",
            "Time to check one batch of marks and judge every holder.",
            buckets=LATENCY_EDGES_SECONDS,
            registry=r,
        )
        self.mark_batches_total = Counter(
            "margin_mark_batches_total",
            "Batches of believed marks, by how they were judged: at every instant, or at those of each symbol's extremes and the last"
            " (conflated by setting, or by overload).",
            ["judged"],
            registry=r,
        )
        self.instants_conflated_total = Counter(
            "margin_instants_conflated_total",
            "Instants of believed marks at which nobody was judged, because no symbol of their batch was at an extreme.",
            registry=r,
        )
        self.loop_lag_seconds = Histogram(
            "margin_loop_lag_seconds",
            "How late the event loop ran a timer: what holds it holds every mark and event.",
            buckets=LATENCY_EDGES_SECONDS,
            registry=r,
        )
        # -- account inputs
        self.inputs_applied_total = Counter(
            "margin_inputs_applied_total",
            "Fills and ledger entries applied to accounts.",
            ["topic"],
            registry=r,
        )
        self.inputs_duplicate_total = Counter(
            "margin_inputs_duplicate_total",
            "Inputs seen before and not applied again.",
            ["topic"],
            registry=r,
        )
        self.quarantined_total = Counter(
            "margin_quarantined_total", "Records put into quarantine.", ["topic", "reason"], registry=r
        )
        self.quarantine_places_total = Counter(
            "margin_quarantine_places_total",
            "Quarantined records told by their place alone, because too many bytes came at once; they are where they came from.",
            ["topic"],
            registry=r,
        )
        self.engine_errors_total = Counter(
            "margin_engine_errors_total",
            "Failures of the engine itself, each of which stopped one account: while an input was applied, or while it was judged.",
            ["step"],
            registry=r,
        )
        self.events_refused_total = Counter(
            "margin_events_refused_total",
            "Events that Kafka takes for no price (too large): each is in quarantine, and its account is stopped.",
            ["topic", "type"],
            registry=r,
        )
        self.consumer_lag_records = Gauge(
            "margin_consumer_lag_records", "Log end minus watermark.", ["topic", "partition"], registry=r
        )
        self.input_uncommitted_records = Gauge(
            "margin_input_uncommitted_records",
            "Offsets of a partition that wait for an open transaction, which is before them.",
            ["topic", "partition"],
            registry=r,
        )
        self.input_transaction_open_seconds = Gauge(
            "margin_input_transaction_open_seconds",
            "For how long the oldest open transaction of a partition is known to be open.",
            ["topic", "partition"],
            registry=r,
        )
        self.watermark_offset = Gauge(
            "margin_watermark_offset", "Next input offset to apply.", ["topic", "partition"], registry=r
        )
        self._register_judgement(r)

    def _register_judgement(self, r: CollectorRegistry) -> None:
        """Who is judged, and how it stands with them."""
        self.accounts = Gauge("margin_accounts", "Accounts by ladder state.", ["state"], registry=r)
        self.accounts_below_ratio = Gauge(
            "margin_accounts_below_ratio",
            "Accounts whose portfolio margin ratio is below the edge.",
            ["ratio"],
            registry=r,
        )
        self.isolated_positions = Gauge(
            "margin_isolated_positions", "Isolated positions by ladder state.", ["state"], registry=r
        )
        self.accounts_degraded = Gauge(
            "margin_accounts_degraded",
            "Accounts whose verdict hangs on a doubted price, or which are stopped.",
            registry=r,
        )
        self.accounts_stopped = Gauge(
            "margin_accounts_stopped", "Accounts that refuse inputs after a gap or a bad record.", registry=r
        )
        self.book_routed_accounts = Gauge(
            "margin_book_routed_accounts",
            "Accounts that the columns cannot express, by reason: they live in price boxes.",
            ["reason"],
            registry=r,
        )
        self.book_unboxed_accounts = Gauge(
            "margin_book_unboxed_accounts",
            "Of these, accounts without a price box, judged exactly at every touch, by reason.",
            ["reason"],
            registry=r,
        )
        self.equity_value = Gauge(
            "margin_equity_value", "Sum of account equity, in account currency.", registry=r
        )
        self.maintenance_margin_value = Gauge(
            "margin_maintenance_margin_value", "Sum of maintenance margin, in account currency.", registry=r
        )
        self.heat_map_notional = Gauge(
            "margin_heat_map_notional",
            "Notional of the pools that this move of the whole market is the first to liquidate, in account currency; at 0"
            " what is being liquidated. The largest symbols are named.",
            ["move", "symbol"],
            registry=r,
        )
        self.heat_map_pools = Gauge(
            "margin_heat_map_pools",
            "Pools that this move of the whole market is the first to liquidate; at 0 those in liquidation.",
            ["move"],
            registry=r,
        )
        self.heat_map_withheld_pools = Gauge(
            "margin_heat_map_withheld_pools",
            "Pools that are not in the heat map because their verdict hangs on a doubted price or their account is stopped.",
            registry=r,
        )
        self.heat_map_late_accounts = Gauge(
            "margin_heat_map_late_accounts",
            "Accounts that are in the heat map with what they had at the prices of an earlier round.",
            registry=r,
        )
        self.heat_map_omitted_accounts = Gauge(
            "margin_heat_map_omitted_accounts",
            "Accounts that are not in the heat map because their turn has not come since they changed.",
            registry=r,
        )
        self.heat_map_timestamp_seconds = Gauge(
            "margin_heat_map_timestamp_seconds", "When the heat map was last brought up to date.", registry=r
        )
        self.evaluations_total = Counter(
            "margin_evaluations_total", "Accounts judged, by path (screen or exact).", ["path"], registry=r
        )
        self.reasons_due = Gauge(
            "margin_reasons_due",
            "Accounts with a verdict behind which something is still to be said: the plan of a liquidation, or a detail.",
            ["shard", "due"],
            registry=r,
        )
        self.breaker_open = Gauge(
            "margin_breaker_open",
            "Whether the shard's breaker is open: liquidations wait for an operator.",
            ["shard"],
            registry=r,
        )
        self.liquidations_held = Gauge(
            "margin_liquidations_held",
            "Accounts whose liquidation or bankruptcy the breaker holds.",
            ["shard"],
            registry=r,
        )
        self.breaker_trips_total = Counter(
            "margin_breaker_trips_total",
            "Times that a breaker opened, by what condemned too much (instant, batch, clock, start, void or window).",
            ["cause"],
            registry=r,
        )
        for cause in CAUSES:
            self.breaker_trips_total.labels(
                cause=cause
            )  # there from the start, so that the first one is an increase
        self._register_effects(r)

    def _register_effects(self, r: CollectorRegistry) -> None:
        """What judgements lead to, and what makes it durable."""
        self.liquidated_notional_total = Counter(
            "margin_liquidated_notional_total",
            "Notional of applied fills that executed a liquidation, at their prices, in account currency.",
            ["symbol"],
            registry=r,
        )
        self.expected_shortfall_total = Counter(
            "margin_expected_shortfall_total",
            "What committed liquidations and takeovers are expected to leave unpaid, in account currency.",
            registry=r,
        )
        self.adl_risk = Gauge(
            "margin_adl_risk",
            "Risk that winners of a contract are deleveraged: 0 none, 1 soon, 2 active. Told by the owner of the contract's shard, of contracts"
            " whose fund is stated.",
            ["symbol"],
            registry=r,
        )
        self.fund_value = Gauge(
            "margin_fund_value",
            "What the insurance fund of a group of contracts is worth, in account currency. Every worker tells it.",
            ["group"],
            registry=r,
        )
        self.fund_expected_shortfall = Gauge(
            "margin_fund_expected_shortfall",
            "What the pools in liquidation of all shards are expected to take of that fund, in account currency. Every worker tells it.",
            ["group"],
            registry=r,
        )
        self.events_committed_total = Counter(
            "margin_events_committed_total", "Events committed to the outbox.", ["type"], registry=r
        )
        self.events_published_total = Counter(
            "margin_events_published_total", "Events acknowledged by Kafka.", ["type"], registry=r
        )
        self.tick_to_event_seconds = Histogram(
            "margin_tick_to_event_seconds",
            "From the event time of the mark that caused it to the broker's acknowledgement of the event.",
            buckets=LATENCY_EDGES_SECONDS,
            registry=r,
        )
        stage_seconds = Histogram(
            "margin_stage_seconds",
            "Time that each stage of the way from a record to its event takes: received, judged, committed, published, acknowledged. Of"
            " batches and commits, the oldest part of each; of the outbox, one event at a time.",
            ["stage"],
            buckets=LATENCY_EDGES_SECONDS,
            registry=r,
        )
        self.stage_seconds = {stage: stage_seconds.labels(stage) for stage in Stage}
        self.outbox_pending = Gauge(
            "margin_outbox_pending", "Events committed and not yet acknowledged by Kafka.", registry=r
        )
        self.outbox_withdrawn_total = Counter(
            "margin_outbox_withdrawn_total",
            "Events found in the outbox at a take-over and not published: their ids have another meaning, Redis was rewound.",
            registry=r,
        )
        self.liquidations_pending = Gauge(
            "margin_liquidations_pending",
            "Of these, events of the liquidations topic: they have a lane of their own and wait for nothing else.",
            registry=r,
        )
        # -- durability
        self.commit_seconds = Histogram(
            "margin_commit_seconds", "One Lua commit in Redis.", buckets=LATENCY_EDGES_SECONDS, registry=r
        )
        self.commit_retries_total = Counter(
            "margin_commit_retries_total", "Commits repeated after an unanswered call.", registry=r
        )
        self.shards = Gauge(
            "margin_shards", "Shards of this worker by condition (running, recovering, standby, ...).",
            ["condition"], registry=r,
        )  # fmt: skip
        self.shards_expected = Gauge(
            "margin_shards_expected",
            "Shards that there are: partitions of the topic of fills. 0 until this worker is admitted.",
            registry=r,
        )
        self.rebalances_total = Counter(
            "margin_rebalances_total", "Times that the group gave this worker its shards anew.", registry=r
        )
        self.standby_behind_seconds = Gauge(
            "margin_standby_behind_seconds",
            "How long ago this standby held all that the shard's owner had committed.",
            ["shard"],
            registry=r,
        )
        self.standby_takeovers_total = Counter(
            "margin_standby_takeovers_total",
            "Shards that this standby took over because their owner gave no sign of life.",
            registry=r,
        )
        self.recovered_records_total = Counter(
            "margin_recovered_records_total", "Inputs re-read from the log during recovery.", registry=r
        )
        self.recovery_seconds = Histogram(
            "margin_recovery_seconds",
            "From assignment of a shard to its being ready.",
            buckets=(0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300),
            registry=r,
        )
        self.account_state_copies_total = Counter(
            "margin_account_state_copies_total", "Second copies of accounts put into the outbox.", registry=r
        )
        self.account_state_copied_bytes_total = Counter(
            "margin_account_state_copied_bytes_total", "Their size, keys included.", registry=r
        )
        self.account_state_copy_age_seconds = Gauge(
            "margin_account_state_copy_age_seconds",
            "For how long the oldest change of an account of the shard has been durable that is not known to be in its second copy.",
            ["shard"],
            registry=r,
        )
        self.account_state_copy_due_seconds = Gauge(
            "margin_account_state_copy_due_seconds",
            "Within which time every change is to be in the second copy; 0 where there is none.",
            registry=r,
        )
        self.snapshots_written_total = Counter(
            "margin_snapshots_written_total", "Packed snapshots of shards put in place.", registry=r
        )
        self.progress_timestamp_seconds = Gauge(
            "margin_progress_timestamp_seconds",
            "When this loop of the worker last made progress.",
            ["loop"],
            registry=r,
        )
