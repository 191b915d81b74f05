"""A broker that is away when a client of a worker first reaches for it is ridden out, for so long and no longer."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
from aiokafka.errors import KafkaConnectionError
from confluent_kafka import Producer

from streams.config.settings import Settings
from streams.kafka import clients
from streams.kafka.log_reader import open_log
from streams.kafka.topic_identity import TopicIdentities
from streams.kafka.whole_topic import open_whole_topic
from tests.support.kafka_server import RealKafka

AWAY_S = 2.0


@pytest.fixture(scope="module")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> RealKafka:
    with RealKafka(tmp_path_factory.mktemp("patience")) as made:
        made.create_topics({"fund": 2})
        producer = Producer({"bootstrap.servers": made.bootstrap_servers})
        for partition in range(2):
            producer.produce("fund", b"x", partition=partition)
        assert producer.flush(30) == 0
        yield made  # type: ignore[misc]


@asynccontextmanager
async def away_for_a_while(kafka: RealKafka) -> AsyncIterator[None]:
    """The broker is down when the body begins, and comes back during it."""
    await asyncio.to_thread(kafka.kill)

    async def come_back() -> None:
        await asyncio.sleep(AWAY_S)
        await asyncio.to_thread(kafka.start)

    back = asyncio.create_task(come_back())
    yield
    await back


async def log_of(settings: Settings) -> tuple[int, int]:
    async with open_log(settings) as log:
        return await log.bounds("fund", 0)


async def whole_of(settings: Settings) -> int:
    count = 0
    async with open_whole_topic(settings, "fund") as topic:
        while not await topic.caught_up():
            count += sum(map(len, (await topic.poll(100)).values()))
    return count


@pytest.mark.parametrize(("read", "expected"), [(log_of, (0, 1)), (whole_of, 2)])
async def test_reader_when_the_broker_is_away_at_first_then_it_waits_and_reads(
    kafka: RealKafka, read: Callable[[Settings], object], expected: object
) -> None:
    settings = Settings(kafka_bootstrap_servers=kafka.bootstrap_servers)
    async with away_for_a_while(kafka):
        assert await asyncio.wait_for(read(settings), 60) == expected  # type: ignore[arg-type]


async def test_reader_when_the_broker_stays_away_then_the_error_comes_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(clients, "RECONNECT_SECONDS", 0.1)
    nowhere = Settings(kafka_bootstrap_servers="127.0.0.1:1")
    began = time.monotonic()
    with pytest.raises(KafkaConnectionError):
        async with clients.open_reader(nowhere, patience_seconds=1.0):
            pytest.fail("nobody is there")
    assert time.monotonic() - began >= 1.0


async def test_identities_when_a_topic_is_made_anew_grows_and_is_missing_then_told(kafka: RealKafka) -> None:
    settings = Settings(kafka_bootstrap_servers=kafka.bootstrap_servers)
    kafka.create_topics({"one": 3})
    admin = kafka._admin()
    async with clients.open_reader(settings) as consumer:
        identities = TopicIdentities(consumer, ["one"])
        first = (await identities.now())["one"]
        assert first.topic_id
        assert first.partitions == 3
        assert (await identities.now())["one"] == first
        await asyncio.to_thread(admin.delete_topics(["one"], operation_timeout=30)["one"].result, 30)
        async with asyncio.timeout(20):
            while (await identities.now())["one"].partitions:  # noqa: ASYNC110 - nobody tells
                await asyncio.sleep(0.05)
            while True:
                try:
                    await asyncio.to_thread(kafka.create_topics, {"one": 4})
                    break
                except Exception:  # noqa: BLE001 - its name is free a moment later
                    await asyncio.sleep(0.1)
            while (second := (await identities.now())["one"]).partitions != 4:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
    assert second.topic_id not in {"", first.topic_id}
