"""Reading the log directly, outside the consumer group: recovery, gaps, and the inputs of a shard that no group assigned.

Much faster than through Faust, and independent of where the group thinks it is.
"""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from aiokafka import AIOKafkaConsumer, TopicPartition

from streams.config.settings import Settings
from streams.contract.record import Record, taken_in_ns
from streams.kafka.clients import open_reader

BATCH_RECORDS_MAX = 2000
"""One recovery commit: large enough to be fast, small enough not to hold up the event loop (about 50 ms)."""
POLL_MS = 500
RETRY_BACKOFF_MS = 20
"""The client learns of a topic when it is first asked for it, and asks again after this pause: some six times in a recovery. By its own
default, 100 ms, they are most of the time that a small recovery takes."""


class LogReader:
    """Reads stretches of any topic; get one with `open_log` for one recovery."""

    def __init__(self, consumer: AIOKafkaConsumer) -> None:
        """Use a connected consumer outside any group."""
        self._consumer = consumer

    async def bounds(self, topic: str, partition: int) -> tuple[int, int]:
        """First offset still in the log, and the offset after its last record."""
        place = TopicPartition(topic, partition)
        begin = await self._consumer.beginning_offsets([place])
        end = await self._consumer.end_offsets([place])
        return begin[place], end[place]

    async def read(self, topic: str, partition: int, start: int, end: int) -> AsyncIterator[list[Record]]:
        """Records with start <= offset < end, in batches."""
        if start >= end:
            return
        place = TopicPartition(topic, partition)
        self._consumer.assign([place])
        self._consumer.seek(place, start)
        while await self._consumer.position(place) < end:
            polled = await self._consumer.getmany(place, timeout_ms=POLL_MS, max_records=BATCH_RECORDS_MAX)
            records = [
                Record(record.offset, record.key, record.value, taken_in_ns(record.timestamp), record.headers)
                for record in polled.get(place, [])
                if record.offset < end
            ]
            if records:
                yield records

    async def follow(
        self, starts: Mapping[str, int], partition: int
    ) -> AsyncIterator[tuple[str, list[Record]]]:
        """Records of one partition of several topics from these offsets on, as they come, without end."""
        places = [TopicPartition(topic, partition) for topic in starts]
        self._consumer.assign(places)
        for place in places:
            self._consumer.seek(place, starts[place.topic])
        while True:
            polled = await self._consumer.getmany(timeout_ms=POLL_MS, max_records=BATCH_RECORDS_MAX)
            for place, found in polled.items():
                yield (
                    place.topic,
                    [Record(it.offset, it.key, it.value, taken_in_ns(it.timestamp)) for it in found],
                )


@asynccontextmanager
async def open_log(settings: Settings) -> AsyncIterator[LogReader]:
    """Connect a reader and close it after."""
    options = {"fetch_max_wait_ms": settings.kafka_fetch_wait_ms, "retry_backoff_ms": RETRY_BACKOFF_MS}
    async with open_reader(settings, **options) as consumer:
        yield LogReader(consumer)
