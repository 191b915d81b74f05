"""Reading the input topics to their end, of a broker that gives one batch of a partition at a time."""

import asyncio
import time
from collections.abc import Callable, Iterator
from decimal import Decimal

import msgspec
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from engine.inputs import Mark, Topic
from streams.config.settings import Settings
from streams.embedded.embedded_broker import EmbeddedBroker
from streams.kafka.topic_access import LogBounds, open_reader
from streams.replay import topics_log
from streams.replay.arrivals import PRICES
from streams.replay.topics_log import TopicsLog

PARTITIONS, BATCHES, TOGETHER = 8, 20, 3
"""Of prices, batches of each, and records of a batch."""
PRIMED_S = 1.0
BEGIN_NS, SECOND_NS = 1_700_000_000_000_000_000, 1_000_000_000

WANTED = [
    f"{PRICES}/{partition}/{number}"
    for _, partition, number in sorted(
        (number * (partition + 1), partition, number)
        for partition in range(PARTITIONS)
        for number in range(BATCHES * TOGETHER)
    )
]
"""Prices come in order of event time, whatever partition they are in."""


@pytest.fixture(scope="module")
def broker() -> Iterator[EmbeddedBroker]:
    with EmbeddedBroker() as running:
        yield running


@pytest.fixture
def kinds(broker: EmbeddedBroker, unique: Callable[[str], str]) -> dict[str, str]:
    """Topics with many prices, in turn, and a single fill; some partitions hold nothing."""
    kinds = {unique("fills"): Topic.FILLS.value, unique("prices"): PRICES}
    for topic in kinds:
        broker.create_topic(topic, PARTITIONS)
    asyncio.run(written(broker, *kinds))
    return kinds


async def written(broker: EmbeddedBroker, fills: str, prices: str) -> None:
    async with AIOKafkaProducer(bootstrap_servers=broker.bootstrap_servers, acks="all") as producer:
        await producer.send_and_wait(fills, b"not a message", key=b"alice", partition=0)
        for batch in range(BATCHES):
            records = [
                (partition, batch * TOGETHER + number)
                for number in range(TOGETHER)
                for partition in range(PARTITIONS)
            ]
            sent = [
                await producer.send(prices, mark(partition, number), partition=partition)
                for partition, number in records
            ]
            await asyncio.gather(*sent)


def mark(partition: int, number: int) -> bytes:
    """The higher its partition, the rarer."""
    time_ns = BEGIN_NS + number * (partition + 1) * SECOND_NS + partition
    return msgspec.json.encode(Mark(f"PERP-{partition}", Decimal(50_000), number + 1, time_ns))


async def found_places(consumer: AIOKafkaConsumer, kinds: dict[str, str]) -> dict[TopicPartition, LogBounds]:
    places = [TopicPartition(topic, partition) for topic in kinds for partition in range(PARTITIONS)]
    begins, ends = await consumer.beginning_offsets(places), await consumer.end_offsets(places)
    return {it: LogBounds(begins[it], ends[it]) for it in places}


async def read(broker: EmbeddedBroker, kinds: dict[str, str]) -> tuple[list[str], float]:
    """Where each arrival stood, and how many seconds the reading took."""
    async with open_reader(Settings(kafka_bootstrap_servers=broker.bootstrap_servers)) as consumer:
        log = TopicsLog(consumer, kinds, await found_places(consumer, kinds))
        began = time.monotonic()
        arrived = [f"{it.topic}/{it.partition}/{it.offset}" async for it in log.arrivals()]
        assert log.passed == log.offsets == len(arrived)
        return arrived, time.monotonic() - began


async def read_plainly(broker: EmbeddedBroker, kinds: dict[str, str]) -> float:
    """Seconds for the same records in whatever order they come."""
    async with open_reader(Settings(kafka_bootstrap_servers=broker.bootstrap_servers)) as consumer:
        bounds = await found_places(consumer, kinds)
        consumer.assign([place for place, (begin, end) in bounds.items() if begin < end])
        for place in consumer.assignment():
            consumer.seek(place, 0)
        began, count = time.monotonic(), 0
        while count < sum(end for _, end in bounds.values()):
            count += sum(map(len, (await consumer.getmany(timeout_ms=100)).values()))
        return time.monotonic() - began


def test_arrivals_when_partitions_are_read_in_turn_then_in_order_and_about_as_fast_as_in_any(
    broker: EmbeddedBroker, kinds: dict[str, str]
) -> None:
    plainly = asyncio.run(read_plainly(broker, kinds))

    arrived, seconds = asyncio.run(read(broker, kinds))

    assert [it for it in arrived if it.startswith(PRICES)] == WANTED
    assert [it for it in arrived if not it.startswith(PRICES)] == [f"{Topic.FILLS.value}/0/0"]
    # a tenth of a second for each batch of which others wait would make it 4 s and more
    assert seconds < 3 * plainly + PRIMED_S


def test_arrivals_when_a_partition_is_far_behind_then_no_more_than_enough_of_the_others_is_held(
    broker: EmbeddedBroker, kinds: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(topics_log, "HELD_ENOUGH", 2)

    arrived, _ = asyncio.run(read(broker, kinds))

    assert [it for it in arrived if it.startswith(PRICES)] == WANTED
