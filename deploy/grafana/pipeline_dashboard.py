"""What whoever keeps the pipeline running looks at: how long each stage takes, what waits, who owns which shard."""

from deploy.grafana.panels import Dashboard, Row, heat, line, stack, stat

PIPELINE = Dashboard(
    uid="margin-pipeline",
    title="Margin / Pipeline",
    description="How long each stage from record to published event takes, what waits, and whether every shard has its owner.",
    rows=[
        Row(
            "Now",
            [
                stat(
                    "Workers up",
                    "Workers that answer Prometheus. One is enough to work, two to survive a failure.",
                    {
                        "Workers up": 'sum(up{job="unimargin-worker"}) or vector(0)',
                    },
                    runbook="MarginNoWorker",
                    unit="short",
                    width=3,
                    steps=[("red", None), ("orange", 1), ("green", 2)],
                ),
                stat(
                    "Shards missing",
                    "Partitions of the topic of fills that no worker judges: accounts that nobody looks at. Below 0 two workers claim the same.",
                    {"Shards missing": "fleet:margin_shards_expected - fleet:margin_shards_running:sum"},
                    runbook="MarginShardsMissing",
                    unit="short",
                    width=3,
                    steps=[("orange", None), ("green", 0), ("red", 1)],
                ),
                stat(
                    "Shards stopped",
                    "Shards whose state and log do not fit together: frozen until somebody looks.",
                    {
                        "Shards stopped": 'sum(margin_shards{condition="stopped"}) or vector(0)',
                    },
                    runbook="MarginShardStopped",
                    unit="short",
                    width=3,
                    steps=[("green", None), ("red", 1)],
                ),
                stat(
                    "Records waiting",
                    "In the logs of fills and ledger, and not yet applied.",
                    {
                        "Records waiting": "sum(topic:margin_consumer_lag_records:sum)",
                    },
                    runbook="MarginConsumerLagHigh",
                    unit="short",
                    width=3,
                    steps=[("green", None), ("orange", 1000), ("red", 5000)],
                ),
                stat(
                    "Events waiting",
                    "Committed, and not yet acknowledged by Kafka.",
                    {
                        "Events waiting": "sum(margin_outbox_pending)",
                    },
                    runbook="MarginOutboxGrowing",
                    unit="short",
                    width=3,
                    steps=[("green", None), ("orange", 1000), ("red", 10000)],
                ),
                stat(
                    "Commit p99",
                    "One atomic commit in Redis on the slowest worker, 99 % of the last five minutes.",
                    {
                        "Commit p99": "max(instance:margin_commit_seconds:p99_5m)",
                    },
                    runbook="MarginCommitSlow",
                    unit="s",
                    width=3,
                    steps=[("green", None), ("orange", 0.01), ("red", 0.025)],
                ),
                stat(
                    "Quarantined in an hour",
                    "Records set aside within an hour, each applied to no account.",
                    {
                        "Quarantined in an hour": "sum(increase(margin_quarantined_total[1h])) or vector(0)",
                    },
                    runbook="MarginQuarantineGrowing",
                    unit="short",
                    width=3,
                    steps=[("green", None), ("orange", 1)],
                ),
                stat(
                    "Policies in force",
                    "More than one for longer than a rollout is an error.",
                    {
                        "Policies in force": "count(count by (policy) (margin_worker_info))",
                    },
                    runbook="MarginPolicyMismatch",
                    unit="short",
                    width=3,
                    steps=[("green", None), ("orange", 2)],
                ),
            ],
        ),
        Row(
            "Latency",
            [
                line(
                    "Time by stage, half",
                    "Half of the ways from a record to its event: from the price's own time to its being read (received), judged, durable"
                    " (committed), sent (published), taken by Kafka (acknowledged). Each stage begins where the one before ends.",
                    {
                        "{{stage}}": "histogram_quantile(0.5, sum by (stage, le) (rate(margin_stage_seconds_bucket[$__rate_interval])))"
                    },
                    runbook="MarginTickToEventSlow",
                    unit="s",
                    width=12,
                ),
                line(
                    "Time by stage, 99 %",
                    "The same stages, the slowest in a hundred. The stage that grows is the one to look into; the line is the promise for all of them.",
                    {
                        "{{stage}}": "histogram_quantile(0.99, sum by (stage, le) (rate(margin_stage_seconds_bucket[$__rate_interval])))"
                    },
                    runbook="MarginTickToEventSlow",
                    unit="s",
                    width=12,
                    steps=[("transparent", None), ("red", 0.01)],
                ),
                line(
                    "Tick to event",
                    "From the event time of a mark to the broker's acknowledgement of the event it caused. The line is the promise, 10 ms. Gaps: no events.",
                    {
                        "p50": "histogram_quantile(0.5, sum by (le) (rate(margin_tick_to_event_seconds_bucket[$__rate_interval])))",
                        "p99": "histogram_quantile(0.99, sum by (le) (rate(margin_tick_to_event_seconds_bucket[$__rate_interval])))",
                    },
                    runbook="MarginTickToEventSlow",
                    unit="s",
                    width=8,
                    steps=[("transparent", None), ("red", 0.01)],
                ),
                heat(
                    "Tick to event, distribution",
                    "All events by the time they took. A second band is a part of the way that sometimes waits.",
                    {
                        "{{le}}": "sum by (le) (increase(margin_tick_to_event_seconds_bucket[$__rate_interval]))",
                    },
                    runbook="MarginTickToEventSlow",
                    unit="short",
                    width=8,
                    rows_unit="s",
                    of_buckets=True,
                ),
                line(
                    "Commit time",
                    "One atomic commit in Redis. The line is where the alert stands.",
                    {
                        "p50": "histogram_quantile(0.5, sum by (le) (rate(margin_commit_seconds_bucket[$__rate_interval])))",
                        "p99 {{instance}}": "histogram_quantile(0.99, sum by (instance, le) (rate(margin_commit_seconds_bucket[$__rate_interval])))",
                    },
                    runbook="MarginCommitSlow",
                    unit="s",
                    width=8,
                    steps=[("transparent", None), ("red", 0.025)],
                ),
            ],
        ),
        Row(
            "Inputs and events",
            [
                line(
                    "Consumer lag",
                    "Records in the log and not yet applied, by topic.",
                    {
                        "{{topic}}": "topic:margin_consumer_lag_records:sum",
                    },
                    runbook="MarginConsumerLagHigh",
                    unit="short",
                    width=6,
                    steps=[("transparent", None), ("red", 5000)],
                ),
                line(
                    "Inputs applied",
                    "Fills and ledger entries applied to accounts.",
                    {
                        "{{topic}}": "sum by (topic) (rate(margin_inputs_applied_total[$__rate_interval]))",
                    },
                    runbook="MarginConsumerStuck",
                    unit="cps",
                    width=6,
                ),
                line(
                    "Duplicate inputs",
                    "Inputs seen before and not applied again. A few after a takeover are normal; many are a producer that repeats itself.",
                    {
                        "{{topic}}": "sum by (topic) (rate(margin_inputs_duplicate_total[$__rate_interval]))",
                    },
                    runbook="MarginQuarantineGrowing",
                    unit="cps",
                    width=6,
                ),
                line(
                    "Quarantined records",
                    "Records set aside since the workers started, by topic and reason. Their bytes are in the topic quarantine. Each worker counts a bad price record for itself.",
                    {
                        "{{topic}}: {{reason}}": "sum by (topic, reason) (margin_quarantined_total)",
                    },
                    runbook="MarginQuarantineGrowing",
                    unit="short",
                    width=6,
                ),
                line(
                    "Outbox",
                    "Events committed and not yet acknowledged by Kafka. It should touch 0 all the time.",
                    {
                        "{{instance}}": "margin_outbox_pending",
                        "{{instance}}, liquidations": "margin_liquidations_pending",
                    },
                    runbook="MarginOutboxGrowing",
                    unit="short",
                    width=6,
                ),
                stack(
                    "Events committed",
                    "Decisions written to the outbox together with the state they follow from, by type.",
                    {
                        "{{type}}": "sum by (type) (rate(margin_events_committed_total[$__rate_interval]))",
                    },
                    runbook="MarginOutboxGrowing",
                    unit="eps",
                    width=6,
                ),
                stack(
                    "Events published",
                    "Events acknowledged by Kafka, by type. Over any minute it must equal what was committed.",
                    {
                        "{{type}}": "sum by (type) (rate(margin_events_published_total[$__rate_interval]))",
                    },
                    runbook="MarginOutboxStuck",
                    unit="eps",
                    width=6,
                ),
                line(
                    "Commits repeated",
                    "Commits sent again because Redis did not answer. Repeating is safe; the cause is worth a look.",
                    {
                        "{{instance}}": "sum by (instance) (rate(margin_commit_retries_total[$__rate_interval]))",
                    },
                    runbook="MarginCommitRetrying",
                    unit="cps",
                    width=6,
                ),
                line(
                    "Watermark",
                    "Speed of the watermark of each partition. A flat one beside others that move has lost its owner or its producer.",
                    {
                        "{{topic}}/{{partition}}": "max by (topic, partition) (deriv(margin_watermark_offset[$__rate_interval]))",
                    },
                    runbook="MarginConsumerStuck",
                    unit="cps",
                    width=8,
                ),
                line(
                    "Open transactions",
                    "For how long the oldest open transaction of a partition holds up what is behind it.",
                    {
                        "{{topic}}/{{partition}}": "max by (topic, partition) (margin_input_transaction_open_seconds)",
                    },
                    runbook="MarginTransactionOpen",
                    unit="s",
                    width=8,
                    steps=[("transparent", None), ("red", 60)],
                ),
                line(
                    "Behind an open transaction",
                    "Offsets of a partition that wait for an open transaction before them.",
                    {
                        "{{topic}}/{{partition}}": "max by (topic, partition) (margin_input_uncommitted_records)",
                    },
                    runbook="MarginTransactionOpen",
                    unit="short",
                    width=8,
                ),
            ],
        ),
        Row(
            "Shards and recovery",
            [
                stack(
                    "Shards by condition",
                    "Recovering shards are being brought up to their log; stopped ones refuse to go on and need a person; fenced ones were taken over by another worker.",
                    {
                        "{{condition}}": "sum by (condition) (margin_shards)",
                    },
                    runbook="MarginShardsMissing",
                    unit="short",
                    width=5,
                    colors={"running": "green", "recovering": "orange", "stopped": "red", "fenced": "purple"},
                ),
                line(
                    "Records re-read in recovery",
                    "Inputs read again from the log while a shard is brought up.",
                    {
                        "{{instance}}": "sum by (instance) (rate(margin_recovered_records_total[$__rate_interval]))",
                    },
                    runbook="MarginShardRecoverySlow",
                    unit="cps",
                    width=5,
                ),
                line(
                    "Recovery time",
                    "From the assignment of a shard to its being ready, 99th percentile over an hour. Gaps: no shard moved.",
                    {
                        "p99": "histogram_quantile(0.99, sum by (le) (rate(margin_recovery_seconds_bucket[1h])))",
                    },
                    runbook="MarginShardRecoverySlow",
                    unit="s",
                    width=5,
                ),
                line(
                    "Rebalances",
                    "Times that the group gave a worker its shards anew. More than one when a worker comes or goes: the group does not settle.",
                    {
                        "{{instance}}": "sum by (instance) (increase(margin_rebalances_total[$__rate_interval]))"
                    },
                    runbook="MarginShardsMissing",
                    unit="short",
                    width=4,
                ),
                line(
                    "Standby takeovers",
                    "Shards that a standby took over because their owner gave no sign of life.",
                    {
                        "{{instance}}": "sum by (instance) (increase(margin_standby_takeovers_total[$__rate_interval]))",
                    },
                    runbook="MarginWorkerDown",
                    unit="short",
                    width=5,
                ),
            ],
        ),
        Row(
            "Broker and state",
            [
                line(
                    "Brokers",
                    "Brokers that the exporter sees. Fewer than the cluster has: one is down.",
                    {"brokers": "max(kafka_brokers)"},
                    runbook="MarginConsumerStuck",
                    unit="short",
                    width=6,
                ),
                line(
                    "Under-replicated partitions",
                    "Partitions with fewer copies in step than they should have. Above 0 the next failure may stop writes.",
                    {"{{topic}}": "sum by (topic) (kafka_topic_partition_under_replicated_partition)"},
                    runbook="MarginOutboxStuck",
                    unit="short",
                    width=6,
                ),
                line(
                    "Log growth",
                    "Records that come to each topic, per second, whoever reads them.",
                    {
                        "{{topic}}": "sum by (topic) (rate(kafka_topic_partition_current_offset[$__rate_interval]))"
                    },
                    runbook="MarginConsumerLagHigh",
                    unit="cps",
                    width=6,
                ),
                line(
                    "Lag of consumer groups",
                    "By group as the broker counts it. That of the workers follows a little behind: their offsets are hints. The others are"
                    " readers of events.",
                    {"{{consumergroup}}": "sum by (consumergroup) (kafka_consumergroup_lag)"},
                    runbook="MarginConsumerLagHigh",
                    unit="short",
                    width=6,
                ),
                line(
                    "Redis memory",
                    "Of what it may have. At the limit it refuses commits, which stops the pipeline and loses nothing.",
                    {
                        "used": "sum by (instance) (redis_memory_used_bytes)",
                        "limit": "sum by (instance) (redis_memory_max_bytes)",
                    },
                    runbook="MarginCommitRetrying",
                    unit="bytes",
                    width=6,
                ),
                line(
                    "Redis busy",
                    "Part of its one thread that is used. Near 1 every commit waits for the one before.",
                    {
                        "{{instance}}": "sum by (instance) (rate(redis_cpu_user_main_thread_seconds_total[$__rate_interval]))"
                    },
                    runbook="MarginCommitSlow",
                    unit="percentunit",
                    width=6,
                ),
                line(
                    "Redis commands",
                    "Per second, whoever sends them.",
                    {
                        "{{instance}}": "sum by (instance) (rate(redis_commands_processed_total[$__rate_interval]))"
                    },
                    runbook="MarginCommitSlow",
                    unit="ops",
                    width=6,
                ),
                line(
                    "Writes that waited for the disk",
                    "How often Redis had to wait until the disk had taken the append-only file.",
                    {
                        "{{instance}}": "sum by (instance) (increase(redis_aof_delayed_fsync[$__rate_interval]))"
                    },
                    runbook="MarginCommitSlow",
                    unit="short",
                    width=6,
                ),
            ],
        ),
        Row(
            "Workers",
            [
                line(
                    "Uptime",
                    "Time since each worker started. A saw is a worker that keeps ending itself.",
                    {
                        "{{instance}}": "time() - margin_worker_start_timestamp_seconds",
                    },
                    runbook="MarginWorkerRestarting",
                    unit="s",
                    width=6,
                ),
                line(
                    "Time since progress",
                    "Age of the last progress of each loop. Above 60 s the loop is taken for dead.",
                    {
                        "{{instance}} {{loop}}": "time() - margin_progress_timestamp_seconds",
                    },
                    runbook="MarginLoopStalled",
                    unit="s",
                    width=6,
                    steps=[("transparent", None), ("red", 60)],
                ),
                line(
                    "Loop lag",
                    "How late the event loop runs what is due, half and 99 % of the samples. Whatever holds it holds every mark and event.",
                    {
                        "p50": "histogram_quantile(0.5, sum by (le) (rate(margin_loop_lag_seconds_bucket[$__rate_interval])))",
                        "p99 {{instance}}": "histogram_quantile(0.99, sum by (instance, le) (rate(margin_loop_lag_seconds_bucket[$__rate_interval])))",
                    },
                    runbook="MarginLoopStalled",
                    unit="s",
                    width=6,
                ),
                stack(
                    "Version and policy",
                    "What runs where. More than one policy for longer than a rollout is an error.",
                    {
                        "{{version}}, policy {{policy}}": "count by (version, policy) (margin_worker_info)",
                    },
                    runbook="MarginPolicyMismatch",
                    unit="short",
                    width=6,
                ),
                line(
                    "CPU",
                    "Cores that each worker uses. One thread does the judging: near 1 it is behind, whatever the host has.",
                    {
                        "{{instance}}": 'sum by (instance) (rate(process_cpu_seconds_total{job="unimargin-worker"}[$__rate_interval]))'
                    },
                    runbook="MarginLoopStalled",
                    unit="short",
                    width=8,
                ),
                line(
                    "Memory",
                    "Resident memory of each worker: it keeps its accounts there. What grows without an end is a fault.",
                    {"{{instance}}": 'process_resident_memory_bytes{job="unimargin-worker"}'},
                    runbook="MarginWorkerDown",
                    unit="bytes",
                    width=8,
                ),
                line(
                    "Open files",
                    "Descriptors of each worker: connections mostly. What grows without an end is a fault.",
                    {"{{instance}}": 'process_open_fds{job="unimargin-worker"}'},
                    runbook="MarginWorkerRestarting",
                    unit="short",
                    width=8,
                ),
            ],
        ),
    ],
)
