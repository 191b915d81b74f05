"""A shard's reader on a real broker: what it gives and when, within its bounds, through the broker's absence."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from functools import partial

import pytest
from aiokafka.errors import OffsetOutOfRangeError
from confluent_kafka import Producer

from engine.inputs import Topic
from streams.config.settings import Settings
from streams.kafka.log_reader import BATCH_RECORDS_MAX, open_log
from streams.shards import input_reader
from streams.shards.input_reader import WAITING_RECORDS_MAX, InputReader
from tests.support.kafka_server import RealKafka

FOR_EVER = float("inf")
FROM_THE_BEGINNING = {Topic.FILLS: 0, Topic.LEDGER: 0}


@pytest.fixture
def topics(cli_kafka: RealKafka, unique: Callable[[str], str]) -> dict[Topic, str]:
    names = {topic: unique(topic) for topic in Topic}
    cli_kafka.create_topics(dict.fromkeys(names.values(), 1))
    return names


def send(kafka: RealKafka, topic: str, count: int, first: int = 0, value: bytes = b"") -> None:
    producer = Producer({"bootstrap.servers": kafka.bootstrap_servers, "linger.ms": 5, "log_level": 0})
    for number in range(first, first + count):
        while True:
            try:
                producer.produce(topic, value or str(number).encode())
                break
            except BufferError:
                producer.poll(0.1)
    assert producer.flush(30) == 0


async def _nobody(_: Topic) -> None:
    """No agent."""


@asynccontextmanager
async def reading(
    kafka: RealKafka, topics: Mapping[Topic, str], starts: Mapping[Topic, int] = FROM_THE_BEGINNING
) -> AsyncIterator[InputReader]:
    settings = Settings(kafka_bootstrap_servers=kafka.bootstrap_servers)
    reader = InputReader(partial(open_log, settings), 0, topics, _nobody)
    task = asyncio.create_task(reader.run(starts))
    try:
        yield reader
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def until(condition: Callable[[], bool], seconds_max: float = 30) -> None:
    async with asyncio.timeout(seconds_max):
        while not condition():  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.01)


def offsets(reader: InputReader, topic: Topic, end: int = 10**9) -> list[int]:
    return [record.offset for record in reader.take(topic, end, 10**9, FOR_EVER)]


async def test_take_when_read_after_the_logs_were_looked_at_then_nothing_is_taken(
    cli_kafka: RealKafka, topics: dict[Topic, str]
) -> None:
    looked_s = time.monotonic()
    send(cli_kafka, topics[Topic.FILLS], 3)
    async with reading(cli_kafka, topics) as reader:
        await until(lambda: reader.waits(Topic.FILLS, 3))
        assert reader.take(Topic.FILLS, 3, 10, looked_s) == []
        assert [it.value for it in reader.take(Topic.FILLS, 2, 10, time.monotonic())] == [b"0", b"1"]
        assert not reader.waits(Topic.FILLS, 2)
        assert reader.passed(Topic.FILLS, 2)
        assert not reader.passed(Topic.FILLS, 3)
        assert [it.value for it in reader.take(Topic.FILLS, 3, 10, FOR_EVER)] == [b"2"]


async def test_reader_when_one_topic_is_not_taken_then_it_stops_at_its_bound_and_the_other_goes_on(
    cli_kafka: RealKafka, topics: dict[Topic, str]
) -> None:
    count = 2 * WAITING_RECORDS_MAX
    send(cli_kafka, topics[Topic.FILLS], count)
    async with reading(cli_kafka, topics) as reader:
        await until(lambda: not reader._has_room(Topic.FILLS))
        send(cli_kafka, topics[Topic.LEDGER], 5)
        await until(lambda: reader.waits(Topic.LEDGER, 5))
        assert offsets(reader, Topic.LEDGER) == list(range(5))
        read = offsets(reader, Topic.FILLS)
        assert WAITING_RECORDS_MAX <= len(read) < WAITING_RECORDS_MAX + BATCH_RECORDS_MAX
        while len(read) < count:
            await until(lambda: reader.waits(Topic.FILLS, count))
            read += offsets(reader, Topic.FILLS)
    assert read == list(range(count))


async def test_reader_when_records_are_large_then_their_bytes_are_bounded(
    cli_kafka: RealKafka, topics: dict[Topic, str]
) -> None:
    send(cli_kafka, topics[Topic.FILLS], 64, value=b"x" * 500_000)
    async with reading(cli_kafka, topics) as reader:
        await until(lambda: not reader._has_room(Topic.FILLS))
        waiting = reader.take(Topic.FILLS, 10**9, 10**9, FOR_EVER)
    assert sum(len(it.value or b"") for it in waiting) < input_reader.WAITING_BYTES_MAX + 2 * 1024 * 1024


async def test_reader_when_the_broker_is_away_then_goes_on_with_nothing_missed_or_twice(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    names = {topic: str(topic) for topic in Topic}
    with RealKafka(tmp_path_factory.mktemp("away")) as kafka:
        kafka.create_topics(dict.fromkeys(names.values(), 1))
        send(kafka, "fills", 100)
        async with reading(kafka, names) as reader:
            await until(lambda: reader.waits(Topic.FILLS, 100))
            read = offsets(reader, Topic.FILLS, 50)
            await asyncio.to_thread(kafka.kill)
            await asyncio.sleep(3)
            await asyncio.to_thread(kafka.start)
            await asyncio.to_thread(send, kafka, "fills", 100, 100)
            while len(read) < 200:
                await until(lambda: reader.waits(Topic.FILLS, 200))
                read += offsets(reader, Topic.FILLS)
    assert read == list(range(200))


async def test_run_when_the_log_has_no_such_offset_then_it_says_so(
    cli_kafka: RealKafka, topics: dict[Topic, str]
) -> None:
    settings = Settings(kafka_bootstrap_servers=cli_kafka.bootstrap_servers)
    reader = InputReader(partial(open_log, settings), 0, topics, _nobody)
    with pytest.raises(OffsetOutOfRangeError):
        await asyncio.wait_for(reader.run({Topic.FILLS: 7, Topic.LEDGER: 0}), 30)
