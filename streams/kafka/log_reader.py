"""Reading the log directly, outside the consumer group: the inputs of a shard, live and in recovery, and what it has published.

Much faster than through Faust, and independent of where the group thinks it is.
"""

from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.errors import UnknownTopicOrPartitionError

from streams.config.settings import Settings
from streams.contract.record import Record, taken_in_ns
from streams.kafka.clients import BROKER_PATIENCE_SECONDS, open_reader
from streams.kafka.topic_identity import TopicIdentities, TopicIdentity

BATCH_RECORDS_MAX = 2000
"""One recovery commit: large enough to be fast, small enough not to hold up the event loop (about 50 ms)."""
POLL_MS = 100
"""A log may end with what is passed over in silence: the marker of a transaction, say."""
FOLLOW_MS = 100
FOLLOW_WAIT_MS = 200
"""Of a fetch of who follows and asks nothing else. A broker answers as soon as there is something; an idle shard costs five requests a second."""
RETRY_BACKOFF_MS = 20
"""The client learns of a topic when it is first asked for it, and asks again after this pause: some six times in a recovery. By its own
default, 100 ms, they are most of the time that a small recovery takes."""


class Uncommitted(NamedTuple):
    """The end of a log that is not committed yet."""

    stable_offset: int
    """Where the oldest open transaction begins."""
    offsets: int
    """How many lie behind that."""


NONE_OPEN = Uncommitted(0, 0)


class LogReader:
    """Reads stretches of any topic, or follows some; get one with `open_log`."""

    def __init__(self, consumer: AIOKafkaConsumer) -> None:
        """Use a connected consumer outside any group."""
        self._consumer = consumer
        self._places: dict[str, TopicPartition] = {}

    async def bounds(self, topic: str, partition: int) -> tuple[int, int]:
        """First offset still in the log, and the offset after its last record."""
        place = TopicPartition(topic, partition)
        begin = await self._consumer.beginning_offsets([place])
        end = await self._consumer.end_offsets([place])
        return begin[place], end[place]

    async def identity(self, topic: str) -> TopicIdentity:
        """Which topic the name stands for now. Raises a KafkaError where the broker does not tell, or has no such topic."""
        found = (await TopicIdentities(self._consumer, [topic]).now())[topic]
        if not found.partitions:
            raise UnknownTopicOrPartitionError(topic)
        return found

    async def read(self, topic: str, partition: int, start: int, end: int) -> AsyncIterator[list[Record]]:
        """Records with start <= offset < end, in batches."""
        if start >= end:
            return
        place = TopicPartition(topic, partition)
        self._consumer.assign([place])
        self._consumer.seek(place, start)
        while await self._consumer.position(place) < end:
            polled = await self._consumer.getmany(place, timeout_ms=POLL_MS, max_records=BATCH_RECORDS_MAX)
            records = [it for it in _records(polled.get(place, ())) if it.offset < end]
            if records:
                yield records

    def start(self, starts: Mapping[str, int], partition: int) -> None:
        """Follow one partition of several topics from these offsets on: `poll` says what comes."""
        self._places = {topic: TopicPartition(topic, partition) for topic in starts}
        self._consumer.assign(list(self._places.values()))
        for topic, place in self._places.items():
            self._consumer.seek(place, starts[topic])

    async def poll(self, topics: Iterable[str]) -> dict[str, list[Record]]:
        """What has come to these of the topics that are followed; {} where nothing came for `FOLLOW_MS`.

        Raises OffsetOutOfRangeError where the log has no such offset (any more), and what else aiokafka does not ride out.
        """
        asked = [self._places[topic] for topic in topics]
        polled = await self._consumer.getmany(*asked, timeout_ms=FOLLOW_MS, max_records=BATCH_RECORDS_MAX)
        return {place.topic: _records(found) for place, found in polled.items()}

    async def position(self, topic: str) -> int:
        """Below this offset of a topic that is followed everything was polled: aborted records and markers are passed over."""
        position: int = await self._consumer.position(self._places[topic])
        return position

    def uncommitted(self, topic: str) -> Uncommitted:
        """What lies behind the last stable offset of a topic that is followed, as far as the last answer said."""
        place = self._places[topic]
        end, stable = self._consumer.highwater(place), self._consumer.last_stable_offset(place)
        return NONE_OPEN if not end or stable is None or stable < 0 else Uncommitted(stable, end - stable)


def _records(polled: Iterable[ConsumerRecord]) -> list[Record]:
    return [Record(it.offset, it.key, it.value, taken_in_ns(it.timestamp), it.headers) for it in polled]


@asynccontextmanager
async def open_log(
    settings: Settings, *, fetch_wait_ms: int | None = None, committed: bool = True
) -> AsyncIterator[LogReader]:
    """Connect a reader and close it after; a broker that is away is ridden out.

    `fetch_wait_ms` is for how long the broker may hold an empty fetch, and with it all other requests; None: as the settings say.
    Where not only what is `committed` is read, a log ends where it has been replicated to, and records of open and aborted transactions
    are among what is read.
    """
    wait_ms = settings.kafka_fetch_wait_ms if fetch_wait_ms is None else fetch_wait_ms
    options: dict[str, Any] = {"fetch_max_wait_ms": wait_ms, "retry_backoff_ms": RETRY_BACKOFF_MS}
    if not committed:
        options["isolation_level"] = "read_uncommitted"
    async with open_reader(settings, patience_seconds=BROKER_PATIENCE_SECONDS, **options) as consumer:
        yield LogReader(consumer)
