"""The check of `unimargin doctor` that compares the input topics with what the shards in Redis were built from."""

from streams.cli.doctor.check import Check, failed, ok
from streams.config.problem import Problem
from streams.config.settings import Settings
from streams.kafka.topic_access import open_reader
from streams.kafka.topic_identity import TopicIdentities, TopicIdentity
from streams.store.redis_access import open_redis, shard_count
from streams.store.store_reader import StoreReader

CHECK = "input topics"


async def examine_logs(settings: Settings) -> list[Check]:
    """One check; none where Kafka or Redis is away, which others tell."""
    names = {"fills": settings.topic_fills, "ledger": settings.topic_ledger}
    try:
        async with open_reader(settings) as consumer, open_redis(settings) as client:
            now = await TopicIdentities(consumer, list(names.values())).now()
            store = StoreReader(client, settings.redis_prefix)
            shards = range(await shard_count(client, settings.redis_prefix))
            remembered = {shard: (await store.meta(shard)).logs for shard in shards}
    except Problem:
        return []
    faults: dict[str, list[int]] = {}
    for shard, logs in remembered.items():
        for topic, text in logs.items():
            fault = _fault(names[topic], TopicIdentity.parse(text), now[names[topic]])
            if fault is not None:
                faults.setdefault(fault, []).append(shard)
    if not faults:
        return [ok(CHECK, "the ones that the shards were built from")]
    told = "; ".join(f"{fault} (shards {', '.join(map(str, of))})" for fault, of in faults.items())
    return [failed(CHECK, told, "runbook MarginShardStopped: the log is another one")]


def _fault(name: str, before: TopicIdentity, now: TopicIdentity) -> str | None:
    if before.partitions != now.partitions:
        return f"{name} has {now.partitions} partitions, and had {before.partitions}"
    if before.topic_id and now.topic_id and before.topic_id != now.topic_id:
        return f"{name} was made anew: {before.topic_id} before, {now.topic_id} now"
    return None
