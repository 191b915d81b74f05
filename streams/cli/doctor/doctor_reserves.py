"""The checks of `unimargin doctor` that ask what is left when something fails: copies, memory, workers in the group."""

from collections.abc import Mapping, Sequence
from typing import Any

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from streams.cli.doctor.check import Check, ok, warn
from streams.config.settings import Settings
from streams.contract.topic_layout import account_keyed
from streams.kafka.topic_access import topic_configs

MEMORY_SHARE_MAX = 0.75
"""Of what Redis may have: rewriting its append-only file, and a crowd's events while the broker is away, need the rest."""
COPIES_MIN = 2
"""One that is lost is then not the last."""
STABLE, NEVER, NOBODY = "Stable", "Dead", "Empty"
"""States of a group, as Kafka names them: of one that nobody ever joined too."""


async def examine_copies(admin: AIOKafkaAdminClient, settings: Settings) -> Check:
    """Whether every topic keyed by account survives the loss of a broker."""
    brokers = len((await admin.describe_cluster())["brokers"])
    wanted = set(account_keyed(settings))
    topics = [topic for topic in await admin.describe_topics() if topic["topic"] in wanted]
    configs = await topic_configs(admin, [topic["topic"] for topic in topics]) if topics else {}
    return copies(brokers, topics, configs or {})


def copies(
    brokers: int, topics: Sequence[Mapping[str, Any]], configs: Mapping[str, Mapping[str, str]]
) -> Check:
    """The check, from what the broker says of topics and of their configuration."""
    if brokers == 1:
        return ok("copies", "one broker, so one copy of everything: for a trial")
    faults = []
    for topic in topics:
        name, partitions = topic["topic"], topic["partitions"]
        count = min((len(it["replicas"]) for it in partitions), default=0)
        in_step = min((len(it["isr"]) for it in partitions), default=0)
        least = int(configs.get(name, {}).get("min.insync.replicas", 1))
        if count < COPIES_MIN:
            faults.append(f"{name}: one copy")
        elif in_step < count:
            faults.append(f"{name}: {in_step} of {count} copies in step")
        elif least < COPIES_MIN:
            faults.append(f"{name}: acknowledged when one copy has it (min.insync.replicas={least})")
        elif least >= count:
            faults.append(f"{name}: all {count} copies are needed, so one that is away stops writes")
    if faults:
        return warn("copies", "; ".join(faults), "three copies, min.insync.replicas=2")
    return ok("copies", f"{brokers} brokers, every topic keyed by account outlives one of them")


async def examine_group(admin: AIOKafkaAdminClient, settings: Settings) -> Check:
    """Whether the workers' group has settled."""
    try:
        (answer,) = await admin.describe_consumer_groups([settings.group])
    except (KafkaError, ValueError) as error:
        return warn(
            "group", f"{settings.group}: not told ({error!r})", "ask the broker with kafka-consumer-groups.sh"
        )
    _, name, state, _, _, members, *_ = answer.groups[0]
    found = f"{name}: {state}, {len(members)} worker(s)"
    if state == STABLE:
        return ok("group", found)
    if state == NEVER:
        return ok("group", f"{name}: no worker has joined yet")
    if state == NOBODY:
        return warn("group", found, "start a worker: runbook MarginNoWorker")
    return warn(
        "group", found, "look again: if it does not settle, a worker comes and goes (MarginWorkerRestarting)"
    )


async def examine_memory(client: Any) -> Check:
    """How much of its memory Redis has left: at the limit it refuses commits."""
    told = await client.info("memory")
    used, limit = int(told["used_memory"]), int(told.get("maxmemory", 0))
    if not limit:
        return ok("redis memory", f"{used / 1e6:.0f} MB, without a limit of its own")
    found = f"{used / 1e6:.0f} MB of {limit / 1e6:.0f}"
    if used > MEMORY_SHARE_MAX * limit:
        return warn(
            "redis memory", found, "raise maxmemory: at the limit no commit is taken, and every worker stops"
        )
    return ok("redis memory", found)
