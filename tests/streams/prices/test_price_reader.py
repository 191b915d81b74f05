"""The price reader on a real Kafka: partitions that are added, a broker that goes away, records that do not come."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewPartitions

from streams.config.settings import Settings
from streams.observe.metrics import Metrics
from streams.prices import price_reader as module
from streams.prices.price_reader import PriceReader
from tests.support.kafka_server import RealKafka
from tests.support.waiting import wait_for

pytestmark = pytest.mark.system
PATIENCE_S = 60.0


class Reading:
    """A reader at work, and what it has delivered."""

    def __init__(self, settings: Settings, *, takes: bool = True) -> None:
        self.metrics, self.ready = Metrics(), asyncio.Event()
        self.values: list[bytes] = []
        self.takes = takes
        self.polls = 0
        self.reader = PriceReader(settings, self._wake, self.ready, self._turned, self.metrics)

    async def _wake(self) -> None:
        if self.takes:
            self.values += [record.value or b"" for batch in self.reader.take() for record in batch]

    def _turned(self) -> None:
        self.polls += 1

    def counted(self, name: str) -> float:
        return self.metrics.registry.get_sample_value(name) or 0.0

    @property
    def restarts(self) -> float:
        return self.counted("margin_price_reader_restarts_total")


async def until(what: str, happens: Callable[[], bool]) -> None:
    deadline_s = time.monotonic() + PATIENCE_S
    while not happens():
        assert time.monotonic() < deadline_s, what
        await asyncio.sleep(0.02)


@asynccontextmanager
async def running(settings: Settings) -> AsyncIterator[Reading]:
    reading = Reading(settings)
    task = asyncio.create_task(reading.reader.run())
    try:
        yield reading
        assert not task.done()
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@pytest.fixture
def topic(real_kafka: RealKafka, unique: Callable[[str], str]) -> str:
    name = unique("prices")
    real_kafka.create_topics({name: 2})
    return name


@pytest.fixture
def settings(real_kafka: RealKafka, topic: str) -> Settings:
    return Settings(kafka_bootstrap_servers=real_kafka.bootstrap_servers, topic_prices=topic, stall_seconds=6)


@pytest.fixture
def send(real_kafka: RealKafka, topic: str) -> Callable[..., None]:
    def sent(partition: int, *values: str) -> None:
        # a new one, which knows of every partition
        producer = Producer({"bootstrap.servers": real_kafka.bootstrap_servers})
        # a broker that has just come back may not know them yet
        wait_for(
            "the partition is known",
            lambda: partition in producer.list_topics(topic, PATIENCE_S).topics[topic].partitions,
        )
        for value in values:
            producer.produce(topic, value.encode(), partition=partition)
        assert producer.flush(PATIENCE_S) == 0

    return sent


async def test_reader_when_partitions_are_added_then_they_are_read_from_their_beginning_and_nothing_twice(
    real_kafka: RealKafka,
    topic: str,
    settings: Settings,
    send: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "METADATA_SECONDS", 3.0)
    send(0, "a0")
    async with running(settings) as reading:
        await until("caught up", reading.ready.is_set)
        admin = AdminClient({"bootstrap.servers": real_kafka.bootstrap_servers})
        admin.create_partitions([NewPartitions(topic, 4)])[topic].result(PATIENCE_S)
        # before the reader can know of them
        send(3, "d0", "d1")
        send(1, "b0")
        await until("the new partition", lambda: "d1" in {it.decode() for it in reading.values})
        send(2, "c0")
        send(3, "d2")
        send(0, "a1")
        await until("all", lambda: len(reading.values) >= 7)
        await asyncio.sleep(0.5)
        assert sorted(reading.values) == [b"a0", b"a1", b"b0", b"c0", b"d0", b"d1", b"d2"]
        assert (reading.ready.is_set(), reading.restarts) == (True, 0)


async def test_reader_when_the_broker_goes_away_then_not_ready_and_back_by_itself_with_nothing_missed_or_twice(
    real_kafka: RealKafka, settings: Settings, send: Callable[..., None]
) -> None:
    send(0, "a0")
    async with running(settings) as reading:
        await until("caught up", reading.ready.is_set)
        assert reading.counted("margin_price_reader_ready") == 1
        real_kafka.kill()
        try:
            await until("not ready", lambda: not reading.ready.is_set())
            assert reading.counted("margin_price_reader_ready") == 0
            assert reading.restarts >= 1
        finally:
            real_kafka.start()
        send(0, "a1")
        send(1, "b0")
        await until("ready again", reading.ready.is_set)
        await until("what came meanwhile", lambda: len(reading.values) >= 3)
        assert sorted(reading.values) == [b"a0", b"a1", b"b0"]
        assert reading.counted("margin_price_reader_ready") == 1


@pytest.mark.parametrize("error", [ConnectionError("the client is dead"), asyncio.CancelledError()])
async def test_reader_when_its_client_raises_then_it_connects_anew_where_it_was(
    settings: Settings, send: Callable[..., None], monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    send(0, "a0")
    polls = module.AIOKafkaConsumer.getmany
    broken = []

    async def breaks(self: object, *places: object, **options: object) -> object:
        if broken:
            raise broken.pop()
        return await polls(self, *places, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(module.AIOKafkaConsumer, "getmany", breaks)
    async with running(settings) as reading:
        await until("caught up", reading.ready.is_set)
        broken.append(error)
        await until("restarted", lambda: reading.restarts == 1)
        send(0, "a1")
        await until("ready", reading.ready.is_set)
        await until("read on", lambda: reading.values == [b"a0", b"a1"])


async def test_reader_when_records_wait_and_none_comes_then_it_connects_anew_and_reads_them(
    settings: Settings, send: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    polls = module.AIOKafkaConsumer.getmany
    consumers: list[object] = []

    async def first_is_dead(self: object, *places: object, **options: object) -> object:
        """The fetcher of the first connection has died: it polls, and nothing comes."""
        if self not in consumers:
            consumers.append(self)
        if self is consumers[0] and reading.ready.is_set():
            await asyncio.sleep(0.1)
            return {}
        return await polls(self, *places, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(module.AIOKafkaConsumer, "getmany", first_is_dead)
    send(1, "b0")
    async with running(settings) as reading:
        await until("caught up", reading.ready.is_set)
        send(1, "b1")
        await until("restarted", lambda: reading.restarts == 1)
        await until("read", lambda: reading.values == [b"b0", b"b1"])
        await until("ready", reading.ready.is_set)


async def test_reader_when_a_poll_hangs_then_it_connects_anew(
    settings: Settings, send: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    polls = module.AIOKafkaConsumer.getmany
    hangs = [False]

    async def hanging(self: object, *places: object, **options: object) -> object:
        if hangs[0]:
            hangs[0] = False
            await asyncio.sleep(3_600)
        return await polls(self, *places, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(module.AIOKafkaConsumer, "getmany", hanging)
    async with running(settings) as reading:
        await until("caught up", reading.ready.is_set)
        hangs[0] = True
        await until("restarted", lambda: reading.restarts == 1)
        await until("ready", reading.ready.is_set)
        send(0, "a0")
        await until("read", lambda: reading.values == [b"a0"])


async def test_reader_when_nobody_takes_for_long_then_it_waits_and_is_not_restarted(
    settings: Settings, send: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "INBOX_BATCHES_MAX", 1)
    async with running(settings) as reading:
        await until("caught up", reading.ready.is_set)
        reading.takes = False
        send(0, "a0")
        await until("one waits", lambda: reading.reader.batches_waiting == 1)
        send(0, "a1")
        await asyncio.sleep(settings.stall_seconds)  # three times what a silence may last
        assert (reading.restarts, reading.ready.is_set()) == (0, True)
        reading.takes = True
        await until("both", lambda: reading.values == [b"a0", b"a1"])


async def test_reader_when_a_transaction_marker_ends_the_log_then_it_stays_ready(
    real_kafka: RealKafka, topic: str, settings: Settings
) -> None:
    producer = Producer({"bootstrap.servers": real_kafka.bootstrap_servers, "transactional.id": topic})
    producer.init_transactions(PATIENCE_S)
    async with running(settings) as reading:
        await until("caught up", reading.ready.is_set)
        producer.begin_transaction()
        producer.produce(topic, b"a0", partition=0)
        producer.commit_transaction(PATIENCE_S)
        await until("read", lambda: reading.values == [b"a0"])
        await asyncio.sleep(settings.stall_seconds)
        assert (reading.restarts, reading.ready.is_set()) == (0, True)
