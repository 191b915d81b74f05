"""Waiting until the workers have taken in what was seeded, as their group's committed offsets tell."""

import asyncio
from collections.abc import Awaitable, Callable

from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient

from streams.config.settings import Settings
from streams.kafka.clients import client_options, open_reader, partition_counts

POLL_SECONDS = 0.25


async def until_taken_in(settings: Settings, meanwhile: Callable[[], Awaitable[None]]) -> None:
    """Return once the group has committed all that fills and ledger hold now, calling `meanwhile` while waiting.

    A group that does not run is waited for without end. Raises `KafkaError` when the broker cannot be used.
    """
    counts = await partition_counts(settings, (settings.topic_fills, settings.topic_ledger))
    places = [TopicPartition(topic, number) for topic, count in counts.items() for number in range(count)]
    async with open_reader(settings) as consumer:
        ends = {place: end for place, end in (await consumer.end_offsets(places)).items() if end}
    admin = AIOKafkaAdminClient(**client_options(settings))
    await admin.start()
    try:
        while True:
            committed = await admin.list_consumer_group_offsets(settings.group, partitions=list(ends))
            if all(committed[place].offset >= end for place, end in ends.items()):
                return
            await meanwhile()
            await asyncio.sleep(POLL_SECONDS)
    finally:
        await admin.close()
