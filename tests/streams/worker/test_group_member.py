"""Faust as a member of the group and nothing else: it is given partitions and fetches none of their records."""

import asyncio
from collections.abc import Callable
from typing import Any

import confluent_kafka
from aiokafka import TopicPartition
from confluent_kafka import Consumer, Producer

from engine.inputs import Topic
from streams.config.settings import Settings
from streams.observe.metrics import Metrics
from streams.worker.group_member import GroupMember
from tests.support.kafka_server import RealKafka

RECORDS = 500


class Assigned:
    """What the group hands out, and how far each shard says it is."""

    def __init__(self) -> None:
        self.shards: set[int] = set()
        self.runners: list[Any] = []
        self.handed = 0
        self.came = asyncio.Event()

    async def assigned(self, shards: set[int]) -> None:
        self.shards = shards
        self.came.set()

    def hand_over(self, _: Topic) -> None:
        self.handed += 1
        self.came.set()


class At:
    """A shard that has come so far."""

    def __init__(self, shard: int, durable: dict[Topic, int]) -> None:
        self.shard, self.durable = shard, durable


async def test_member_when_assigned_partitions_with_records_then_fetches_none_and_tells_how_far_the_shards_are(
    cli_kafka: RealKafka, unique: Callable[[str], str]
) -> None:
    topics = {topic: unique(topic) for topic in Topic}
    cli_kafka.create_topics(dict.fromkeys(topics.values(), 2))
    producer = Producer({"bootstrap.servers": cli_kafka.bootstrap_servers})
    for number in range(RECORDS):
        producer.produce(topics[Topic.FILLS], b"x" * 100, partition=number % 2)
    assert producer.flush(30) == 0
    settings = Settings(
        kafka_bootstrap_servers=cli_kafka.bootstrap_servers,
        group=unique("group"),
        kafka_session_timeout_seconds=6,
    )
    shards: Any = Assigned()
    member = GroupMember(settings, topics, shards, None, Metrics())  # type: ignore[arg-type]
    await member.start(None)  # type: ignore[arg-type]
    try:
        await asyncio.wait_for(shards.came.wait(), 30)
        assert shards.shards == {0, 1}
        shards.runners = [At(1, {Topic.FILLS: 77})]
        committed = TopicPartition(topics[Topic.FILLS], 1)
        async with asyncio.timeout(20):
            while await asyncio.to_thread(_committed, cli_kafka, settings.group, committed) != 77:  # noqa: ASYNC110
                await asyncio.sleep(0.2)
        shards.came.clear()
        await member.wake_inputs(Topic.FILLS)
        await asyncio.wait_for(shards.came.wait(), 30)
        assert shards.handed == 1
        subscribed = member._app.consumer._thread._consumer._subscription.subscription
        states = [subscribed.assignment.state_value(place) for place in subscribed.assignment.tps]
        assert len(states) == 4
        assert [state.highwater for state in states] == [None] * 4  # an answer to a fetch would have told it
    finally:
        await member.stop()


def _committed(kafka: RealKafka, group: str, place: TopicPartition) -> int:
    consumer = Consumer({"bootstrap.servers": kafka.bootstrap_servers, "group.id": group, "log_level": 0})
    try:
        (found,) = consumer.committed(
            [confluent_kafka.TopicPartition(place.topic, place.partition)], timeout=30
        )
    finally:
        consumer.close()
    return int(found.offset)
