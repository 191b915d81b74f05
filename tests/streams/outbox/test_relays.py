"""The lanes of a shard, from its commit queue through a real Redis to a real Kafka."""

import asyncio
from collections.abc import Callable

import msgspec
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from redis.asyncio import Redis

from streams.contract.commit import Commit, Lane, OutboxEntry
from streams.observe.metrics import Metrics
from streams.outbox.relays import OutboxRelays
from streams.shards.commit_queue import PIECE_ACCOUNTS_MAX, CommitQueue
from streams.store.shard_store import ShardStore
from streams.store.store_reader import StoreReader
from tests.support.kafka_server import RealKafka

PARTITION = 1
WAITING = 10_000
pytestmark = pytest.mark.system


def entry(topic: str, account: str, number: int) -> OutboxEntry:
    return OutboxEntry(topic, PARTITION, account.encode(), b"%d" % number, (), "any")


def update(number: int, topic: str) -> Commit:
    account = f"account-{number}"
    return Commit(risks={account: b"%d" % number}, outbox=(entry(topic, account, number),))


@pytest.fixture
async def store(client: Redis) -> ShardStore:
    store = ShardStore(client, PARTITION, "worker-a", Metrics())
    await store.take_over()
    return store


@pytest.fixture
def updates_topic(real_kafka: RealKafka, unique: Callable[[str], str]) -> str:
    """Where what can wait is published. `liquidations` has its one name, and may be there already."""
    topic = unique("margin-events")
    real_kafka.create_topics({topic: 2})
    if "liquidations" not in real_kafka.describe_topics():
        real_kafka.create_topics({"liquidations": 2})
    return topic


async def ends(kafka: RealKafka, *topics: str) -> list[int]:
    places = [TopicPartition(topic, PARTITION) for topic in topics]
    async with AIOKafkaConsumer(bootstrap_servers=kafka.bootstrap_servers, group_id=None) as consumer:
        found = await consumer.end_offsets(places)
    return [found[place] for place in places]


async def test_liquidation_when_ten_thousand_updates_wait_at_every_station_then_it_overtakes_them_all(
    store: ShardStore, producer: AIOKafkaProducer, real_kafka: RealKafka, updates_topic: str
) -> None:
    """As many wait in Redis for the relay as in the queue for their commit."""
    (before,) = await ends(real_kafka, "liquidations")
    relays, queue = OutboxRelays(store, dict.fromkeys(Lane, producer), Metrics(), lambda: 0), CommitQueue()

    async def commit_next() -> Commit:
        commit = await queue.next()
        await store.commit(commit)
        relays.offer(commit.outbox)
        queue.committed()
        return commit

    queue.add(update(number, updates_topic) for number in range(WAITING))
    for _ in range(WAITING // PIECE_ACCOUNTS_MAX):
        await commit_next()
    queue.add(update(number, updates_topic) for number in range(WAITING, 2 * WAITING))
    alice = Commit(
        risks={"alice": b"1"},
        outbox=(entry(updates_topic, "alice", 1), entry("liquidations", "alice", 1)),
    )
    queue.add([alice])

    assert await commit_next() == alice, "the next commit"
    tasks = {lane: asyncio.create_task(relays.run(lane)) for lane in (Lane.LIQUIDATIONS,)}
    while await store.oldest_unpublished(Lane.LIQUIDATIONS, 1):  # noqa: ASYNC110 - Redis tells nobody
        await asyncio.sleep(0.01)

    assert await ends(real_kafka, "liquidations", updates_topic) == [before + 1, 0]
    assert len(await store.oldest_unpublished(Lane.ORDINARY, 2 * WAITING)) == WAITING + 1

    tasks[Lane.ORDINARY] = asyncio.create_task(relays.run(Lane.ORDINARY))
    for _ in range(WAITING // PIECE_ACCOUNTS_MAX):
        await commit_next()
    await relays.drained()
    for task in tasks.values():
        task.cancel()
    await asyncio.gather(*tasks.values(), return_exceptions=True)
    assert await ends(real_kafka, "liquidations", updates_topic) == [before + 1, 2 * WAITING + 1]


async def test_inherited_when_an_older_edition_left_liquidations_among_all_else_then_they_are_published_first(
    client: Redis, producer: AIOKafkaProducer, real_kafka: RealKafka, updates_topic: str
) -> None:
    (before,) = await ends(real_kafka, "liquidations")
    old = [entry(updates_topic, "alice", 1), entry("liquidations", "alice", 1)]
    await client.rpush(f"unimargin:{{shard-{PARTITION}}}:outbox", *map(msgspec.msgpack.encode, old))
    store = ShardStore(client, PARTITION, "worker-a", Metrics())
    relays = OutboxRelays(store, dict.fromkeys(Lane, producer), Metrics(), lambda: 0)

    relays.inherit((await store.take_over()).outboxes)
    inherited = asyncio.create_task(relays.inherited())
    await asyncio.sleep(0)
    assert not inherited.done()
    task = asyncio.create_task(relays.run(Lane.ORDINARY))
    await inherited

    assert await ends(real_kafka, "liquidations", updates_topic) == [before + 1, 1]
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_inherited_when_this_edition_left_its_outboxes_then_nothing_waits_for_them(
    store: ShardStore, producer: AIOKafkaProducer, updates_topic: str
) -> None:
    await store.commit(Commit(outbox=(entry(updates_topic, "alice", 1), entry("liquidations", "alice", 1))))
    relays = OutboxRelays(store, dict.fromkeys(Lane, producer), Metrics(), lambda: 0)
    relays.inherit((await store.take_over()).outboxes)
    async with asyncio.timeout(1):
        await relays.inherited()


async def test_inherited_when_published_before_the_log_is_adopted_then_no_position_is_noted(
    client: Redis, store: ShardStore, producer: AIOKafkaProducer, updates_topic: str
) -> None:
    """Redis was rewound: who takes over next has to read again what lies in the topic before these entries."""
    await store.commit(Commit(outbox=(entry(updates_topic, "alice", 1),)))
    relays = OutboxRelays(store, dict.fromkeys(Lane, producer), Metrics(), lambda: 0)
    relays.inherit((await store.take_over()).outboxes)
    task = asyncio.create_task(relays.run(Lane.ORDINARY))
    await relays.drained()
    reader = StoreReader(client)
    assert (await reader.meta(PARTITION)).published == {}

    relays.adopted()
    committed = entry(updates_topic, "alice", 2)
    await store.commit(Commit(outbox=(committed,)))
    relays.offer([committed])
    await relays.drained()
    assert (await reader.meta(PARTITION)).published == {updates_topic: 2}
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
