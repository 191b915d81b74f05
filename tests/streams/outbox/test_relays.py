"""The lanes of a shard, from its commit queue through a real Redis to a real Kafka."""

import asyncio
from collections.abc import Callable

import msgspec
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from redis.asyncio import Redis

from streams.config.settings import Settings
from streams.contract.commit import Commit, Lane, OutboxEntry
from streams.kafka.clients import relay_producer
from streams.kafka.producer_epochs import ProducerEpoch, raise_epoch
from streams.observe.metrics import Metrics
from streams.outbox import licence
from streams.outbox import relay as relay_module
from streams.outbox.relays import OutboxRelays, RaiseEpoch
from streams.shards.commit_queue import PIECE_ACCOUNTS_MAX, CommitQueue
from streams.store.shard_ownership import EpochLost
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


async def no_epoch(_: int) -> None:
    """Of a broker that counts none."""


def made(store: ShardStore, producer: AIOKafkaProducer, raise_epoch: RaiseEpoch = no_epoch) -> OutboxRelays:
    return OutboxRelays(store, dict.fromkeys(Lane, producer), Metrics(), lambda: 0, raise_epoch)


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
    relays, queue = made(store, producer), CommitQueue()

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
    relays.adopted()
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
    relays = made(store, producer)

    relays.inherit((await store.take_over()).outboxes)
    inherited = asyncio.create_task(relays.inherited())
    await asyncio.sleep(0)
    assert not inherited.done()
    relays.adopted()
    task = asyncio.create_task(relays.run(Lane.ORDINARY))
    await inherited

    assert await ends(real_kafka, "liquidations", updates_topic) == [before + 1, 1]
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_inherited_when_this_edition_left_its_outboxes_then_nothing_waits_for_them(
    store: ShardStore, producer: AIOKafkaProducer, updates_topic: str
) -> None:
    await store.commit(Commit(outbox=(entry(updates_topic, "alice", 1), entry("liquidations", "alice", 1))))
    relays = made(store, producer)
    relays.inherit((await store.take_over()).outboxes)
    async with asyncio.timeout(1):
        await relays.inherited()


async def test_run_when_what_was_published_is_not_adopted_yet_then_nothing_is_published_and_nothing_cut(
    client: Redis, store: ShardStore, producer: AIOKafkaProducer, real_kafka: RealKafka, updates_topic: str
) -> None:
    """Redis was rewound: whether these ids have a meaning already is known only when the topics have been read back."""
    await store.commit(Commit(outbox=(entry(updates_topic, "alice", 1),)))
    relays = made(store, producer)
    relays.inherit((await store.take_over()).outboxes)
    tasks = [asyncio.create_task(relays.run(lane)) for lane in Lane]
    newer = entry(updates_topic, "alice", 2)
    await store.commit(Commit(outbox=(newer,)))
    relays.offer([newer])
    await relays.shut_out()
    await asyncio.sleep(0.5)
    assert await ends(real_kafka, updates_topic) == [0]
    assert await StoreReader(client).outbox_entries(PARTITION) == 2

    relays.adopted()
    await relays.drained()
    assert await ends(real_kafka, updates_topic) == [2]
    assert (await StoreReader(client).meta(PARTITION)).published == {updates_topic: 2}
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def test_run_when_its_commit_was_answered_a_moment_ago_then_published_without_asking_redis_once_more(
    store: ShardStore, producer: AIOKafkaProducer, updates_topic: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []
    whole = store.ask

    async def ask() -> None:
        asked.append(1)
        await whole()

    monkeypatch.setattr(store, "ask", ask)
    monkeypatch.setattr(licence, "FRESH_SECONDS", 5.0)  # of a machine that is busy with other things
    relays = made(store, producer)
    relays.inherit((await store.take_over()).outboxes)
    await relays.shut_out()
    relays.adopted()
    said = entry(updates_topic, "alice", 1)
    await relays.committed_by(lambda: store.commit(Commit(outbox=(said,))))
    relays.offer([said])
    task = asyncio.create_task(relays.run(Lane.ORDINARY))
    await relays.drained()
    assert not asked
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_withdraw_when_some_ids_have_another_meaning_then_only_the_others_are_published(
    client: Redis,
    store: ShardStore,
    producer: AIOKafkaProducer,
    real_kafka: RealKafka,
    updates_topic: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """More was inherited than is held in memory, and what was committed since stays behind it."""
    monkeypatch.setattr(relay_module, "PENDING_ENTRIES_MAX", 4)
    await store.commit(Commit(outbox=tuple(entry(updates_topic, "alice", n) for n in range(8))))
    relays = made(store, producer)
    relays.inherit((await store.take_over()).outboxes)
    newer = entry(updates_topic, "alice", 8)
    await store.commit(Commit(outbox=(newer,)))
    relays.offer([newer])
    await relays.withdraw({Lane.ORDINARY: [1, 3, 4, 7], Lane.LIQUIDATIONS: []})
    relays.adopted()
    task = asyncio.create_task(relays.run(Lane.ORDINARY))
    async with asyncio.timeout(10):
        await relays.drained()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)

    assert await values(real_kafka, updates_topic) == [0, 2, 5, 6, 8]
    assert await StoreReader(client).outbox_entries(PARTITION) == 0


async def test_run_when_a_liquidation_of_the_same_commit_waits_then_nothing_that_is_only_to_be_known_overtakes_it(
    store: ShardStore, producer: AIOKafkaProducer, real_kafka: RealKafka, updates_topic: str
) -> None:
    """Else a detail might be out before its verdict, which a Redis that is emptied in between would never say."""
    (before,) = await ends(real_kafka, "liquidations")
    commit = Commit(outbox=(entry(updates_topic, "alice", 1), entry("liquidations", "alice", 1)))
    await store.commit(commit)
    relays = made(store, producer)
    relays.offer(commit.outbox)
    relays.adopted()
    tasks = [asyncio.create_task(relays.run(Lane.ORDINARY))]
    await asyncio.sleep(0.5)
    assert await ends(real_kafka, "liquidations", updates_topic) == [before, 0]

    tasks.append(asyncio.create_task(relays.run(Lane.LIQUIDATIONS)))
    async with asyncio.timeout(60):
        await relays.drained()
    assert await ends(real_kafka, "liquidations", updates_topic) == [before + 1, 1]
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def test_run_when_an_older_owner_sends_after_the_topics_were_read_back_then_kafka_takes_none_of_it(
    client: Redis, real_kafka: RealKafka, updates_topic: str
) -> None:
    """It was paused after it had asked for the fence, or its batch lay in a buffer: only the log itself can refuse it."""
    settings = Settings(kafka_bootstrap_servers=real_kafka.bootstrap_servers)
    place = TopicPartition(updates_topic, PARTITION)

    async def next_epoch(_: int) -> ProducerEpoch:
        return await raise_epoch(settings, f"of-{updates_topic}", [place])

    async with relay_producer(settings) as old_producer, relay_producer(settings) as new_producer:
        old_store, relays = ShardStore(client, PARTITION, "worker-a", Metrics()), {}
        for name, store, producer in (
            ("old", old_store, old_producer),
            ("new", ShardStore(client, PARTITION, "worker-b", Metrics()), new_producer),
        ):
            relays[name] = made(store, producer, next_epoch)
            relays[name].inherit((await store.take_over()).outboxes)
            await relays[name].shut_out()
            relays[name].adopted()
            if name == "old":
                sent = entry(updates_topic, "alice", 1)
                await store.commit(Commit(outbox=(sent,)))
                relays[name].offer([sent])
                first = asyncio.create_task(relays[name].run(Lane.ORDINARY))
                await relays[name].drained()

        async def answered_long_ago() -> None:
            """That the shard is its own."""

        old_store.ask = answered_long_ago  # type: ignore[method-assign]
        relays["old"].offer([entry(updates_topic, "alice", 2)])
        with pytest.raises(EpochLost):
            await first
        assert await values(real_kafka, updates_topic) == [1]

        successor = asyncio.create_task(relays["new"].run(Lane.ORDINARY))
        said = entry(updates_topic, "alice", 20)
        await relays["new"]._store.commit(Commit(outbox=(said,)))
        relays["new"].offer([said])
        await relays["new"].drained()
        assert await values(real_kafka, updates_topic) == [1, 20]
        successor.cancel()
        await asyncio.gather(successor, return_exceptions=True)


async def values(kafka: RealKafka, topic: str) -> list[int]:
    place, found = TopicPartition(topic, PARTITION), list[int]()
    async with AIOKafkaConsumer(bootstrap_servers=kafka.bootstrap_servers, group_id=None) as consumer:
        end = (await consumer.end_offsets([place]))[place]
        consumer.assign([place])
        await consumer.seek_to_beginning(place)
        while await consumer.position(place) < end:
            found += [int(it.value) for it in (await consumer.getmany(place, timeout_ms=500)).get(place, [])]
    return found
