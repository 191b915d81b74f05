"""The checks of `unimargin doctor` that ask Kafka."""

import re

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import KafkaError

from streams.cli.doctor.check import Check, failed, ok, warn
from streams.cli.doctor.doctor_reserves import examine_copies, examine_group
from streams.config.problem import Problem
from streams.config.settings import Settings
from streams.contract.topic_layout import account_keyed, count_fault, pipeline_topics
from streams.kafka.topic_access import (
    LogBounds,
    log_bounds,
    open_admin,
    open_reader,
    topic_configs,
    topic_partitions,
)

FOR_EVER = "-1"
KEPT_FOR_EVER = {"retention.ms": FOR_EVER, "retention.bytes": FOR_EVER, "cleanup.policy": "delete"}
KEPT_NEWEST = {"cleanup.policy": "compact"}
CREATE = "`unimargin topics create`"
SECURE = "correct the settings that it names: deploy/kafka/README.md"


Logs = dict[str, list[LogBounds]]
"""By topic, by partition; only topics that exist."""


async def examine_kafka(settings: Settings) -> tuple[list[Check], Logs]:
    """Check the broker and its topics; also what their logs hold, {} if the broker is away."""
    try:
        async with open_admin(settings) as admin, open_reader(settings) as consumer:
            counts = await topic_partitions(admin)
            logs = {
                topic: await log_bounds(consumer, topic, counts[topic])
                for topic in pipeline_topics(settings)
                if topic in counts
            }
            checks = [
                await _broker(admin, settings),
                _topics_exist(settings, counts),
                _equal_counts(settings, counts),
                *await _retention(admin, settings, counts),
                await examine_copies(admin, settings),
                await examine_group(admin, settings),
            ]
        checks.append(await _open_transactions(settings, logs))
    except Problem as problem:
        return [failed("broker", str(problem), _to_do(str(problem)))], {}
    if settings.topic_quarantine in logs:
        checks.append(_quarantine(settings.topic_quarantine, logs[settings.topic_quarantine]))
    return checks, logs


def _to_do(problem: str) -> str:
    """The codes of security begin with the name of the server."""
    return SECURE if re.search(r": kafka_\w+: ", problem) else "start it, or correct the address"


async def _broker(admin: AIOKafkaAdminClient, settings: Settings) -> Check:
    cluster = await admin.describe_cluster()
    brokers = cluster["brokers"]
    version = await _version(admin, brokers[0]["node_id"])
    return ok("broker", f"{settings.kafka_bootstrap_servers}: {len(brokers)} broker(s), version {version}")


async def _version(admin: AIOKafkaAdminClient, node: int) -> str:
    """The protocol says no version; brokers before 4.0 have one in their configuration."""
    try:
        answers = await admin.describe_configs([ConfigResource(ConfigResourceType.BROKER, str(node))])
    except KafkaError:
        return "not told"
    entries = {entry[0]: entry[1] for answer in answers for it in answer.resources for entry in it[4]}
    return entries.get("inter.broker.protocol.version") or "not told"


def _topics_exist(settings: Settings, counts: dict[str, int]) -> Check:
    missing = [topic for topic in pipeline_topics(settings) if topic not in counts]
    if missing:
        return failed("topics", f"missing: {', '.join(missing)}", CREATE)
    return ok("topics", ", ".join(f"{topic} ({counts[topic]})" for topic in pipeline_topics(settings)))


def _equal_counts(settings: Settings, counts: dict[str, int]) -> Check:
    keyed = {topic: counts[topic] for topic in account_keyed(settings) if topic in counts}
    fault = count_fault(keyed)
    if fault is not None:
        return failed("partition counts", fault, f"delete the empty ones among them, then {CREATE}")
    return ok("partition counts", f"{next(iter(keyed.values()), 0)} for each topic keyed by account")


async def _open_transactions(settings: Settings, logs: Logs) -> Check:
    """An open transaction holds up what is behind it; the second look is later, so one that ends meanwhile shows no more than is true."""
    async with open_reader(settings, isolation_level="read_uncommitted") as consumer:
        behind = {
            f"{topic}/{partition}": bounds.end - logs[topic][partition].end
            for topic in logs
            for partition, bounds in enumerate(await log_bounds(consumer, topic, len(logs[topic])))
        }
    held = ", ".join(f"{count} record(s) wait in {place}" for place, count in behind.items() if count > 0)
    if not held:
        return ok("transactions", "none holds up a reader")
    return warn(
        "transactions",
        f"behind an open transaction {held}",
        "`kafka-transactions.sh find-hanging`; its producer has to end it, or an operator: `kafka-transactions.sh abort`",
    )


async def _retention(admin: AIOKafkaAdminClient, settings: Settings, counts: dict[str, int]) -> list[Check]:
    copies = settings.topic_account_state
    present = [topic for topic in account_keyed(settings) if topic in counts]
    if not present:
        return []
    configs = await topic_configs(admin, present)
    if configs is None:
        return [
            warn(
                "retention",
                "this broker does not tell the configuration of topics",
                f"make sure that none of them is cut: retention.ms=-1, retention.bytes=-1, cleanup.policy=delete ({copies}: compact)",
            )
        ]
    return [
        _kept(topic, configs[topic], KEPT_NEWEST if topic == copies else KEPT_FOR_EVER) for topic in present
    ]


def _kept(topic: str, config: dict[str, str], wanted: dict[str, str]) -> Check:
    wrong = [f"{name}={config.get(name)}" for name, value in wanted.items() if config.get(name) != value]
    if not wrong:
        return ok(
            f"retention of {topic}", "the newest of each account" if wanted is KEPT_NEWEST else "for ever"
        )
    want = ",".join(f"{name}={value}" for name, value in wanted.items())
    return failed(
        f"retention of {topic}",
        f"records get lost: {', '.join(wrong)}",
        f"kafka-configs.sh --alter --entity-type topics --entity-name {topic} --add-config {want}",
    )


def _quarantine(topic: str, log: list[LogBounds]) -> Check:
    records = sum(bounds.end - bounds.begin for bounds in log)
    if not records:
        return ok("quarantine", f"{topic} is empty")
    return warn("quarantine", f"{records} record(s) in {topic}", "`unimargin quarantine list`")
