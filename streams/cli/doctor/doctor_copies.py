"""What `unimargin doctor` says of the second copies of accounts: whether a shard that Redis loses could be rebuilt."""

import time
from collections.abc import Mapping

from redis.asyncio import Redis

from engine.inputs import Topic
from streams.cli.doctor.check import Check, ok, warn
from streams.cli.doctor.doctor_kafka import Logs
from streams.config.settings import Settings
from streams.kafka.topic_access import LogBounds
from streams.store.copy_source import CopySource, Covered
from streams.store.redis_access import shard_count
from streams.store.store_keys import ShardKeys, ShardMeta
from streams.store.store_reader import StoreReader

CHECK = "second copies"
AGE_MAX = 2
"""Times that the settings give: the alert MarginAccountCopiesOld has the same."""


async def examine_copies(client: Redis, settings: Settings, logs: Logs) -> list[Check]:
    """One line for all shards, and one for each of which something is amiss; nothing is known where Kafka is away."""
    inputs = {Topic.FILLS: settings.topic_fills, Topic.LEDGER: settings.topic_ledger}
    if not all(name in logs for name in inputs.values()):
        return []
    amiss, covered_shards = list[Check](), 0
    shards = await shard_count(client, settings.redis_prefix)
    for shard in range(shards):
        bounds = {topic: logs[name][shard] for topic, name in inputs.items() if shard < len(logs[name])}
        covered = await CopySource(client, ShardKeys(settings.redis_prefix, shard)).covered()
        if not settings.account_state_minutes:
            covered = None
        covered_shards += covered is not None
        meta = await StoreReader(client, settings.redis_prefix).meta(shard)
        why = _amiss(covered, meta, bounds, 60 * settings.account_state_minutes)
        if why is not None:
            amiss.append(warn(f"{CHECK} of shard {shard}", *why))
    whole = f"of {covered_shards} of {shards} shards in {settings.topic_account_state}"
    if not settings.account_state_minutes:
        whole = "switched off (UNIMARGIN_ACCOUNT_STATE_MINUTES is 0)"
    elif covered_shards < shards:
        whole += ", of the others not yet: their logs go back to offset 0" if not amiss else ""
    return [ok(CHECK, whole), *amiss]


def _amiss(
    covered: Covered | None, meta: ShardMeta, logs: Mapping[Topic, LogBounds], due_s: float
) -> tuple[str, str] | None:
    """What is found, and what to do; None where the shard could be rebuilt, from copies or from the logs alone."""
    reached = {Topic.FILLS: 0, Topic.LEDGER: 0}
    if covered is not None:
        reached = {Topic.FILLS: covered.fills, Topic.LEDGER: covered.ledger}
    for topic, log in logs.items():
        if reached[topic] < log.begin:
            return (
                f"they reach {topic} {reached[topic]}, and its log begins at {log.begin}: Redis lost could not be made good from them",
                "cut no more; runbook MarginAccountCopiesOld; until then `unimargin backup create FILE`",
            )
    if covered is not None and any(
        meta.watermarks.get(topic, 0) > offset for topic, offset in reached.items()
    ):
        age_s = time.time() - covered.time_ns / 1e9
        if age_s > AGE_MAX * due_s:
            return f"{age_s:.0f} s old, and {due_s:g} s are given", "runbook MarginAccountCopiesOld"
    return None
