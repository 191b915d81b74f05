"""Reading a stretch of the log directly, outside the consumer group: recovery and gaps.

Much faster than through Faust, and independent of where the group thinks it is.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiokafka import AIOKafkaConsumer, TopicPartition

from streams.kafka import open_reader
from streams.processor import Record
from streams.settings import Settings

BATCH_RECORDS_MAX = 2000
"""One recovery commit: large enough to be fast, small enough not to hold up the event loop (about 50 ms)."""
POLL_MS = 500


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
                Record(record.offset, record.key, record.value)
                for record in polled.get(place, [])
                if record.offset < end
            ]
            if records:
                yield records


@asynccontextmanager
async def open_log(settings: Settings) -> AsyncIterator[LogReader]:
    """Connect a reader and close it after."""
    async with open_reader(settings, fetch_max_wait_ms=settings.kafka_fetch_wait_ms) as consumer:
        yield LogReader(consumer)
