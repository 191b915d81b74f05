"""Following a whole topic outside of the group, from its beginning and without end: the operators', the fund's and that of policies, which are small."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition

from streams.config.settings import Settings
from streams.kafka.clients import BROKER_PATIENCE_SECONDS, open_reader, partition_counts


class WholeTopic:
    """All partitions of one topic; get one with `open_whole_topic`."""

    def __init__(self, consumer: AIOKafkaConsumer, ends: dict[TopicPartition, int]) -> None:
        """`consumer` is assigned, and at the beginning; `ends` are where the logs ended then."""
        self._consumer, self._ends = consumer, ends

    async def poll(self, timeout_ms: int) -> dict[TopicPartition, list[Any]]:
        """What has come, by partition; {} where nothing came for so long. While the broker is away nothing comes."""
        polled: dict[TopicPartition, list[Any]] = await self._consumer.getmany(timeout_ms=timeout_ms)
        return polled

    async def polled_to(self) -> bool:
        """Whether all was polled that the topic holds now. Raises what aiokafka raises where the broker does not say."""
        self._ends = await self._consumer.end_offsets(list(self._ends))
        return await self.caught_up()

    async def caught_up(self) -> bool:
        """Whether all was polled that the topic held when it was opened. Compaction leaves gaps, so the position tells and no record."""
        return all([await self._consumer.position(place) >= end for place, end in self._ends.items()])


@asynccontextmanager
async def open_whole_topic(settings: Settings, topic: str) -> AsyncIterator[WholeTopic]:
    """Connect to `topic` and close it after; a broker that is away is ridden out."""
    counts = await partition_counts(settings, [topic], patience_seconds=BROKER_PATIENCE_SECONDS)
    places = [TopicPartition(topic, number) for number in range(counts[topic])]
    options = {"fetch_max_wait_ms": settings.kafka_fetch_wait_ms}
    async with open_reader(settings, patience_seconds=BROKER_PATIENCE_SECONDS, **options) as consumer:
        consumer.assign(places)
        ends = await consumer.end_offsets(places)
        for place, begin in (await consumer.beginning_offsets(places)).items():
            consumer.seek(place, begin)
        yield WholeTopic(consumer, ends)
