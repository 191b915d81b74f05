"""The checks of `unimargin doctor` that ask what is left when something fails: copies, memory, workers in the group."""

from collections.abc import Mapping, Sequence
from typing import Any

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from streams.cli.doctor.check import Check, ok, warn
from streams.config.settings import Settings
from streams.contract.topic_layout import pipeline_topics
from streams.kafka.topic_access import topic_configs

MEMORY_SHARE_MAX = 0.75
"""Of what Redis may have: rewriting its append-only file, and a crowd's events while the broker is away, need the rest."""
COPIES_MIN = 2
"""One that is lost is then not the last."""
LEAST = "min.insync.replicas"
STABLE, NEVER, NOBODY = "Stable", "Dead", "Empty"
"""States of a group, as Kafka names them: of one that nobody ever joined too."""


async def examine_copies(admin: AIOKafkaAdminClient, settings: Settings) -> Check:
    """Whether every topic of the pipeline survives the loss of a broker."""
    brokers = len((await admin.describe_cluster())["brokers"])
    topics = await admin.describe_topics()
    wanted = [it for it in pipeline_topics(settings) if it in {topic["topic"] for topic in topics}]
    configs = await topic_configs(admin, wanted) if wanted else {}
    return copies(settings, brokers, topics, configs or {})


def copies(
    settings: Settings,
    brokers: int,
    topics: Sequence[Mapping[str, Any]],
    configs: Mapping[str, Mapping[str, str]],
) -> Check:
    """The check, from what the broker says of its topics and, where it tells that, of their configuration."""
    if brokers == 1:
        return ok("copies", "one broker, so one copy of everything: for a trial")
    wanted, faults, untold = pipeline_topics(settings), [], []
    for name, partitions in ((it["topic"], it["partitions"]) for it in topics if it["topic"] in wanted):
        least = configs.get(name, {}).get(LEAST)
        if least is None:
            untold.append(name)
        if fault := _copies_fault(partitions, None if least is None else int(least)):
            faults.append(f"{name}: {fault}")
    if faults:
        return warn("copies", "; ".join(faults), f"three copies, {LEAST}=2")
    if untold:
        return warn(
            "copies",
            f"how many copies acknowledge a record is not known: the broker does not tell {LEAST} of {', '.join(untold)}",
            f"ask with the right DescribeConfigs on topics (deploy/kafka/acls.toml), or make sure that {LEAST} is 2",
        )
    return ok("copies", f"{brokers} brokers, every topic of the pipeline outlives one of them")


def _copies_fault(partitions: Sequence[Mapping[str, Any]], least: int | None) -> str | None:
    """What is wrong with the copies of a topic, or None; `least`: how many have to have a record, None where that is not known."""
    count = min((len(it["replicas"]) for it in partitions), default=0)
    in_step = min((len(it["isr"]) for it in partitions), default=0)
    if count < COPIES_MIN:
        return "one copy"
    if in_step < count:
        return f"{in_step} of {count} copies in step"
    if least is None:
        return None
    if least < COPIES_MIN:
        return f"acknowledged when one copy has it ({LEAST}={least})"
    if least >= count:
        return f"all {count} copies are needed, so one that is away stops writes"
    return None


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


async def examine_memory(client: Any) -> list[Check]:
    """How much of its memory a Redis server has left: at the limit it refuses commits."""
    return [memory(await client.info("memory"))]


def memory(told: Mapping[str, Any]) -> Check:
    """The check, from what the server says of its memory. Without a limit of its own the machine's memory is one: there it is killed."""
    used, own = int(told["used_memory"]), int(told.get("maxmemory", 0))
    machine = int(told.get("total_system_memory", 0))
    limit = min((it for it in (own, machine) if it), default=0)
    found = f"{used / 1e6:.0f} MB of {limit / 1e6:.0f}" if limit else f"{used / 1e6:.0f} MB"
    if not own:
        found += (
            ", all that the machine has: without a limit of its own"
            if machine
            else ", without a limit of its own"
        )
    if not limit or used <= MEMORY_SHARE_MAX * limit:
        return ok("redis memory", found)
    if limit == own:
        return warn(
            "redis memory", found, "raise maxmemory: at the limit no commit is taken, and every worker stops"
        )
    return warn(
        "redis memory",
        found,
        "more memory, or a maxmemory below it: the machine ends a server that takes all, and its last writes with it",
    )
