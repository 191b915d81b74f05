"""Prices as they come, which of them are believed, and what judging everybody at them costs."""

from deploy.grafana.panels import Dashboard, Row, bars, line, stack, stat

PRICES = Dashboard(
    uid="margin-prices",
    title="Margin / Prices and belief",
    description="Which prices come, which are believed, how old they are, and what judging everybody at them costs.",
    rows=[
        Row(
            "Feed",
            [
                stat(
                    "Reader",
                    "1 while every worker has read the prices to their end and its broker answers.",
                    {
                        "Reader": "min(margin_price_reader_ready)",
                    },
                    runbook="MarginPriceReaderDown",
                    unit="short",
                    width=4,
                    steps=[("red", None), ("green", 1)],
                ),
                stat(
                    "Feed silent",
                    "1 while hardly any symbol has a fresh mark on some worker: nobody is judged there until prices come again.",
                    {
                        "Feed silent": "max(margin_feed_stale)",
                    },
                    runbook="MarginFeedStale",
                    unit="short",
                    width=4,
                    steps=[("green", None), ("red", 1)],
                ),
                stat(
                    "Stale symbols now",
                    "Listed price symbols without a fresh mark, on the worker that lacks most.",
                    {
                        "Stale symbols now": "max(margin_symbols_stale)",
                    },
                    runbook="MarginSymbolsStale",
                    unit="short",
                    width=4,
                    steps=[("green", None), ("orange", 1)],
                ),
                stat(
                    "Refused share",
                    "Of all marks of the last minute, the part that failed its checks, on the worker that refuses most.",
                    {
                        "Refused share": "max(instance:margin_marks_refused:ratio1m)",
                    },
                    runbook="MarginMarksRefusedHigh",
                    unit="percentunit",
                    width=4,
                    steps=[("green", None), ("orange", 0.01), ("red", 0.05)],
                ),
                stat(
                    "Degraded accounts",
                    "Accounts whose verdict hangs on a doubted price: calls flagged, liquidations withheld.",
                    {
                        "Degraded accounts": "sum(margin_accounts_degraded)",
                    },
                    runbook="MarginAccountsDegraded",
                    unit="short",
                    width=4,
                    steps=[("green", None), ("orange", 1)],
                ),
                stat(
                    "Reader restarts",
                    "Times within an hour that price readers connected anew, because they had failed or come to a standstill.",
                    {
                        "Reader restarts": "sum(increase(margin_price_reader_restarts_total[1h]))",
                    },
                    runbook="MarginPriceReaderDown",
                    unit="short",
                    width=4,
                    steps=[("green", None), ("orange", 1)],
                ),
                line(
                    "Marks accepted",
                    "By worker: each reads all prices, so the lines should lie on each other.",
                    {
                        "{{instance}}": "sum by (instance) (rate(margin_marks_accepted_total[$__rate_interval]))",
                    },
                    runbook="MarginPricesStopped",
                    unit="cps",
                    width=8,
                ),
                line(
                    "Stale symbols",
                    "Listed price symbols without a fresh mark, by worker.",
                    {
                        "{{instance}}": "margin_symbols_stale",
                    },
                    runbook="MarginSymbolsStale",
                    unit="short",
                    width=8,
                    steps=[("transparent", None), ("orange", 1)],
                ),
                bars(
                    "Oldest prices",
                    "Time since the event time of the newest accepted mark: the ten oldest symbols. Red is where the default policy calls a price stale, 10 s.",
                    {
                        "{{symbol}}": "topk(10, time() - max by (symbol) (margin_mark_event_timestamp_seconds))",
                    },
                    runbook="MarginSymbolsStale",
                    unit="s",
                    width=8,
                    steps=[("green", None), ("orange", 5), ("red", 10)],
                ),
            ],
        ),
        Row(
            "Belief",
            [
                stack(
                    "Marks refused",
                    "By reason, on the worker that refuses most. None of these moved an account.",
                    {
                        "{{reason}}": "max by (reason) (sum by (reason, instance) (rate(margin_marks_refused_total[$__rate_interval])))",
                    },
                    runbook="MarginMarksRefusedHigh",
                    unit="cps",
                    width=12,
                ),
                line(
                    "What happened to belief",
                    "Confirmed jumps, feeds that began anew, second sources that disagree, by kind, on the worker that heard most.",
                    {
                        "{{kind}}": "max by (kind) (sum by (kind, instance) (rate(margin_price_notices_total[$__rate_interval])))",
                    },
                    runbook="MarginMarksRefusedHigh",
                    unit="cps",
                    width=12,
                ),
            ],
        ),
        Row(
            "Judging",
            [
                line(
                    "Batch time",
                    "Time to check a batch of marks and judge every holder. The line is 10 ms, the whole tick-to-event promise.",
                    {
                        "p50": "histogram_quantile(0.5, sum by (le) (rate(margin_mark_batch_seconds_bucket[$__rate_interval])))",
                        "p99 {{instance}}": "histogram_quantile(0.99, sum by (instance, le) (rate(margin_mark_batch_seconds_bucket[$__rate_interval])))",
                    },
                    runbook="MarginMarkBatchSlow",
                    unit="s",
                    width=8,
                    steps=[("transparent", None), ("red", 0.01)],
                ),
                line(
                    "Marks per batch",
                    "Batches grow when a worker falls behind, which is how it catches up.",
                    {
                        "mean {{instance}}": "sum by (instance) (rate(margin_mark_batch_marks_sum[$__rate_interval])) / sum by (instance) (rate(margin_mark_batch_marks_count[$__rate_interval]))",
                    },
                    runbook="MarginMarkBatchSlow",
                    unit="short",
                    width=8,
                ),
                line(
                    "Accounts judged by path",
                    "The screen looks at every holder of a symbol, the exact margin only at those close to a line or changing state. Exact ones that catch up with screened ones cost latency.",
                    {
                        "{{path}}": "sum by (path) (rate(margin_evaluations_total[$__rate_interval]))",
                    },
                    runbook="MarginMarkBatchSlow",
                    unit="ops",
                    width=8,
                    least=None,
                    logarithmic=True,
                ),
                line(
                    "Batches by how they were judged",
                    '"overload": the worker was behind and judged only the extremes and the last of each symbol of a batch. Minutes of it are MarginBookConflating.',
                    {
                        "{{judged}}": "sum by (judged) (rate(margin_mark_batches_total[$__rate_interval]))",
                    },
                    runbook="MarginBookConflating",
                    unit="cps",
                    width=6,
                ),
                line(
                    "Instants conflated",
                    "Instants of believed marks at which nobody was judged, because no symbol of their batch was at an extreme.",
                    {
                        "{{instance}}": "sum by (instance) (rate(margin_instants_conflated_total[$__rate_interval]))",
                    },
                    runbook="MarginBookConflating",
                    unit="cps",
                    width=6,
                ),
                line(
                    "Accounts outside the columns",
                    "Judged exactly when a price leaves their box, or, without a box, at every touch: those are slow.",
                    {
                        "outside": "sum(margin_book_routed_accounts)",
                        "without a box": "sum(margin_book_unboxed_accounts) or vector(0)",
                    },
                    runbook="MarginAccountsUnboxed",
                    unit="short",
                    width=6,
                ),
                bars(
                    "Why outside the columns",
                    "Accounts by the rule that the columns cannot express, the eight most frequent.",
                    {
                        "{{reason}}": "topk(8, sum by (reason) (margin_book_routed_accounts))",
                    },
                    runbook="MarginAccountsUnboxed",
                    unit="short",
                    width=6,
                ),
            ],
        ),
    ],
)
