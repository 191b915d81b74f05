"""The operators' topic on a real broker: every command from the first on, and what is none put aside."""

import asyncio

import msgspec
from confluent_kafka import Producer

from streams.config.settings import Settings
from streams.contract.operator_command import BreakerRelease, BreakerVoid
from streams.prices.operator_reader import OperatorReader

RELEASE = BreakerRelease(id="op-1", who="desk", why="checked", time_ns=7)
VOID = BreakerVoid(id="op-2", who="desk", why="repaired", time_ns=8, shard=3)


def settings_of(kafka, topic):
    return Settings(
        kafka_bootstrap_servers=kafka.bootstrap_servers,
        topic_operator=topic,
        operator_topic_enabled=True,
    )


async def read(settings, count):
    """What a reader delivers until it has delivered so many commands."""
    taken, refused, enough = [], [], asyncio.Event()

    async def take(command):
        taken.append(command)
        if len(taken) == count:
            enough.set()

    running = asyncio.create_task(OperatorReader(settings, take, refused.append).run())
    await asyncio.wait_for(enough.wait(), 30)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    return taken, refused


async def test_reader_when_it_starts_then_every_command_comes_in_order_and_the_rest_is_put_aside(
    cli_kafka, unique
):
    topic = unique("operator")
    cli_kafka.create_topics({topic: 1})
    producer = Producer({"bootstrap.servers": cli_kafka.bootstrap_servers})
    for value in (
        msgspec.json.encode(RELEASE),
        b'{"type":"breaker_release","id":"x"}',
        msgspec.json.encode(VOID),
    ):
        producer.produce(topic, value)
    assert producer.flush(30) == 0
    settings = settings_of(cli_kafka, topic)
    for _ in range(2):
        taken, refused = await read(settings, 2)
        assert taken == [RELEASE, VOID]
        ((entry),) = refused
        said = dict(entry.headers)
        assert (said["topic"], said["offset"], said["reason"]) == (topic.encode(), b"1", b"wrong_shape")


async def test_reader_when_operators_are_off_then_it_ends_without_a_topic(cli_kafka, unique):
    settings = settings_of(cli_kafka, unique("gone")).model_copy(update={"operator_topic_enabled": False})
    taken = []

    async def keep(command):
        taken.append(command)

    await asyncio.wait_for(OperatorReader(settings, keep, taken.append).run(), 5)
    assert taken == []
