"""The outbox relay between a real Redis and a real Kafka."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.errors import KafkaError, MessageSizeTooLargeError, RequestTimedOutError
from redis.asyncio import Redis

from streams.config.settings import Settings
from streams.contract.commit import Commit, Lane, OutboxEntry
from streams.kafka.producer_epochs import raise_epoch
from streams.observe.metrics import Metrics, Stage
from streams.outbox import relay as relay_module
from streams.outbox.licence import Licence
from streams.outbox.relay import OutboxRelay, RelayError
from streams.store.shard_ownership import FenceLost
from streams.store.shard_store import ShardStore
from streams.store.store_reader import StoreReader
from tests.support.kafka_server import RealKafka

PARTITION = 1
NOW_NS = 2_000_000_000
pytestmark = pytest.mark.system


class Topics:
    """Fresh topics for one test, and what lies in them."""

    def __init__(self, kafka: RealKafka, unique: Callable[[str], str]) -> None:
        self.kafka = kafka
        self.margin_events = unique("margin-events")
        self.liquidations = unique("liquidations")
        kafka.create_topics({self.margin_events: 2, self.liquidations: 2})

    def entry(self, number: int, topic: str | None = None, **changes: object) -> OutboxEntry:
        fields = {
            "topic": topic or self.margin_events,
            "partition": PARTITION,
            "key": b"alice",
            "value": b"%d" % number,
            "headers": (("ce_id", b"alice/%d" % number), ("raw", bytes(range(256)))),
            "event_type": "margin.call.opened",
        }
        return OutboxEntry(**{**fields, **changes})

    async def values(self, topic: str | None = None, partition: int = PARTITION) -> list[int]:
        return [int(record.value) for record in await self.records(topic or self.margin_events, partition)]

    async def records(self, topic: str, partition: int) -> list:
        place = TopicPartition(topic, partition)
        consumer = AIOKafkaConsumer(bootstrap_servers=self.kafka.bootstrap_servers, group_id=None)
        await consumer.start()
        try:
            end = (await consumer.end_offsets([place]))[place]
            consumer.assign([place])
            await consumer.seek_to_beginning(place)
            records: list = []
            while await consumer.position(place) < end:
                records += (await consumer.getmany(place, timeout_ms=500)).get(place, [])
            return records
        finally:
            await consumer.stop()


@pytest.fixture
def topics(real_kafka: RealKafka, unique: Callable[[str], str]) -> Topics:
    return Topics(real_kafka, unique)


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


@pytest.fixture
async def store(client: Redis, metrics: Metrics) -> ShardStore:
    store = ShardStore(client, PARTITION, "worker-a", metrics)
    await store.take_over()
    return store


def licensed(store: ShardStore) -> Licence:
    """As after a take-over, of a broker that counts no epochs."""
    licence = Licence(store)
    licence.give(None)
    return licence


@pytest.fixture
def relay(store: ShardStore, producer: AIOKafkaProducer, metrics: Metrics) -> OutboxRelay:
    return OutboxRelay(store, Lane.ORDINARY, licensed(store), producer, metrics, lambda: NOW_NS)


@asynccontextmanager
async def running(relay: OutboxRelay) -> AsyncIterator[asyncio.Task[None]]:
    task = asyncio.create_task(relay.run())
    try:
        yield task
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def committed(store: ShardStore, relay: OutboxRelay, *entries: OutboxEntry) -> None:
    await store.commit(Commit(outbox=entries))
    relay.offer(entries)


async def test_run_when_entries_are_offered_then_each_topic_has_them_in_order_and_the_outbox_is_empty(
    store: ShardStore, relay: OutboxRelay, topics: Topics, client: Redis, metrics: Metrics
) -> None:
    async with running(relay):
        for start in range(0, 2500, 500):
            await committed(
                store,
                relay,
                *(
                    topics.entry(n, topics.liquidations if n % 5 == 0 else None)
                    for n in range(start, start + 500)
                ),
            )
        await relay.drained()

    assert await topics.values() == [n for n in range(2500) if n % 5]
    assert await topics.values(topics.liquidations) == list(range(0, 2500, 5))
    assert await topics.values(partition=0) == []
    record = (await topics.records(topics.margin_events, PARTITION))[0]
    expected = topics.entry(1)
    assert (record.key, record.value, record.headers) == (expected.key, expected.value, expected.headers)

    reader = StoreReader(client)
    assert await reader.outbox_entries(PARTITION) == 0
    assert (await reader.meta(PARTITION)).published == {topics.margin_events: 2000, topics.liquidations: 500}
    assert metrics.events_published_total.labels("margin.call.opened")._value.get() == 2500
    assert metrics.outbox_pending._value.get() == 0


async def test_run_when_a_mark_caused_an_event_then_its_latency_is_observed(
    store: ShardStore, relay: OutboxRelay, topics: Topics, metrics: Metrics
) -> None:
    async with running(relay):
        await committed(store, relay, topics.entry(1, cause_time_ns=NOW_NS - 4_000_000), topics.entry(2))
        await relay.drained()
    observed = metrics.registry.get_sample_value
    assert observed("margin_tick_to_event_seconds_count") == 1
    assert observed("margin_tick_to_event_seconds_sum") == pytest.approx(0.004)


async def test_run_when_entries_fill_several_rounds_then_the_stages_of_one_at_a_time_are_observed(
    store: ShardStore,
    relay: OutboxRelay,
    topics: Topics,
    metrics: Metrics,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("streams.outbox.relay.ROUND_ENTRIES_MAX", 2)
    await committed(store, relay, topics.entry(0))
    await asyncio.sleep(0.05)
    async with running(relay):
        await relay.drained()
        await committed(store, relay, *(topics.entry(number) for number in range(1, 6)))
        await committed(store, relay, topics.entry(6))
        await relay.drained()
    observed = metrics.registry.get_sample_value
    for stage in (Stage.PUBLISHED, Stage.ACKNOWLEDGED):
        assert observed("margin_stage_seconds_count", {"stage": stage}) in {2, 3}
    assert observed("margin_stage_seconds_sum", {"stage": Stage.PUBLISHED}) > 0.05
    assert observed("margin_stage_seconds_bucket", {"stage": Stage.PUBLISHED, "le": "0.025"}) >= 1


async def test_run_when_it_ends_between_publishing_and_cutting_then_the_next_owner_repeats_the_same_ids(
    store: ShardStore,
    relay: OutboxRelay,
    topics: Topics,
    client: Redis,
    producer: AIOKafkaProducer,
    metrics: Metrics,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    published = asyncio.Event()

    async def crash(*_: object) -> None:
        published.set()
        await asyncio.Event().wait()

    monkeypatch.setattr(store, "published", crash)
    async with running(relay):
        await committed(store, relay, topics.entry(1), topics.entry(2))
        await published.wait()

    successor = ShardStore(client, PARTITION, "worker-b", metrics)
    image = await successor.take_over()
    second = OutboxRelay(successor, Lane.ORDINARY, licensed(successor), producer, metrics, lambda: NOW_NS)
    second.offer(image.outboxes[Lane.ORDINARY])
    async with running(second):
        await committed(successor, second, topics.entry(3))
        await second.drained()

    records = await topics.records(topics.margin_events, PARTITION)
    ids = [dict(record.headers)["ce_id"] for record in records]
    assert ids == [b"alice/1", b"alice/2", b"alice/1", b"alice/2", b"alice/3"]
    assert metrics.outbox_pending._value.get() == 0


async def test_run_when_an_acknowledgement_is_lost_then_the_batch_is_sent_again_and_nothing_overtakes_it(
    store: ShardStore,
    relay: OutboxRelay,
    topics: Topics,
    producer: AIOKafkaProducer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    send, sent = producer.send_batch, []

    async def lose_the_first(*args: object, **options: object) -> object:
        acknowledged = await send(*args, **options)
        sent.append(args)
        if len(sent) == 1:
            await acknowledged
            raise RequestTimedOutError
        return acknowledged

    monkeypatch.setattr(producer, "send_batch", lose_the_first)
    async with running(relay):
        await committed(store, relay, *(topics.entry(n) for n in range(3)))
        await asyncio.sleep(0)
        await committed(store, relay, *(topics.entry(n) for n in range(3, 6)))
        await relay.drained()

    values = await topics.values()
    assert values[:3] == [0, 1, 2]
    assert list(dict.fromkeys(values)) == list(range(6))
    assert len(values) > 6


async def test_run_when_kafka_is_killed_and_restarted_then_every_event_arrives_in_order(
    store: ShardStore, relay: OutboxRelay, topics: Topics, client: Redis, real_kafka: RealKafka
) -> None:
    number, ended = 0, asyncio.Event()

    async def commits() -> None:
        nonlocal number
        while not ended.is_set():
            await committed(store, relay, *(topics.entry(n) for n in range(number, number + 5)))
            number += 5
            await asyncio.sleep(0.002)

    async with running(relay):
        stream = asyncio.create_task(commits())
        await asyncio.sleep(1)
        await asyncio.to_thread(real_kafka.kill)
        await asyncio.sleep(1)
        assert await StoreReader(client).outbox_entries(PARTITION) > 100
        await asyncio.to_thread(real_kafka.start)
        await asyncio.sleep(1)
        ended.set()
        await stream
        async with asyncio.timeout(60):
            await relay.drained()

    assert list(dict.fromkeys(await topics.values())) == list(range(number))
    assert await StoreReader(client).outbox_entries(PARTITION) == 0


async def test_offer_when_more_than_memory_takes_then_the_rest_is_read_back_in_order(
    store: ShardStore, relay: OutboxRelay, topics: Topics, metrics: Metrics, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relay_module, "PENDING_ENTRIES_MAX", 10)
    monkeypatch.setattr(relay_module, "ROUND_ENTRIES_MAX", 4)
    await committed(store, relay, *(topics.entry(n) for n in range(7)))
    await committed(store, relay, *(topics.entry(n) for n in range(7, 33)))
    assert len(relay._pending) == 10
    assert metrics.outbox_pending._value.get() == 33
    async with running(relay):
        while relay._pending_in_redis == 23:  # noqa: ASYNC110 - offered while part of the rest is on its way back
            await asyncio.sleep(0)
        await committed(store, relay, *(topics.entry(n) for n in range(33, 50)))
        await relay.drained()
    assert await topics.values() == list(range(50))
    assert metrics.outbox_pending._value.get() == 0


async def test_run_when_an_entry_is_larger_than_kafka_takes_then_relay_error_and_it_stays_in_the_outbox(
    store: ShardStore, relay: OutboxRelay, topics: Topics, client: Redis
) -> None:
    await committed(store, relay, topics.entry(1), topics.entry(2, value=bytes(2_000_000)))
    with pytest.raises(RelayError, match="MessageSizeTooLarge"):
        await relay.run()
    assert await topics.values() == [1]
    assert await StoreReader(client).outbox_entries(PARTITION) == 1


@pytest.mark.parametrize("counts", [True, False], ids=["the broker counts epochs", "it counts none"])
async def test_run_when_entries_are_larger_than_kafka_takes_then_told_of_and_passed_over_and_all_others_go_on(
    store: ShardStore, relay: OutboxRelay, topics: Topics, client: Redis, *, counts: bool
) -> None:
    told: list[bytes] = []
    if counts:
        settings = Settings(kafka_bootstrap_servers=topics.kafka.bootstrap_servers)
        places = [TopicPartition(topic, PARTITION) for topic in (topics.margin_events, topics.liquidations)]
        relay._licence.give(await raise_epoch(settings, topics.margin_events, places))

    async def pass_over(entry: OutboxEntry, error: KafkaError) -> None:
        assert isinstance(error, MessageSizeTooLargeError)
        # nothing is cut before it was told what becomes of it
        assert await StoreReader(client).outbox_entries(PARTITION) > 0
        told.append(dict(entry.headers)["ce_id"])

    relay.refused = pass_over
    large = bytes(2_000_000)
    entries = [topics.entry(n, **({"value": large} if n in {2, 3, 7} else {})) for n in range(10)]
    async with running(relay):
        await committed(store, relay, *entries)
        await relay.drained()
        await committed(store, relay, topics.entry(10), topics.entry(11, topics.liquidations))
        await relay.drained()
    assert await topics.values() == [0, 1, 4, 5, 6, 8, 9, 10]
    assert told == [b"alice/2", b"alice/3", b"alice/7"]
    assert await StoreReader(client).outbox_entries(PARTITION) == 0


async def test_run_when_the_shard_was_taken_over_then_it_ends_with_fence_lost(
    store: ShardStore, relay: OutboxRelay, topics: Topics, client: Redis, metrics: Metrics
) -> None:
    await committed(store, relay, topics.entry(1))
    await ShardStore(client, PARTITION, "worker-b", metrics).take_over()
    with pytest.raises(FenceLost):
        await relay.run()
    assert await topics.values() == [], "and nothing was sent"


async def test_run_when_an_entry_names_no_partition_then_its_key_chooses_as_in_any_kafka_client(
    store: ShardStore, relay: OutboxRelay, topics: Topics, producer: AIOKafkaProducer
) -> None:
    keys = [b"account-%d" % n for n in range(20)]
    async with running(relay):
        await committed(
            store, relay, *(topics.entry(n, partition=None, key=key) for n, key in enumerate(keys))
        )
        await relay.drained()
    usual = [await producer.send_and_wait(topics.liquidations, b"0", key=key) for key in keys]
    for partition in (0, 1):
        expected = [n for n, place in enumerate(usual) if place.partition == partition]
        assert await topics.values(partition=partition) == expected
