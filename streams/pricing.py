"""Prices: read by every worker from all partitions, believed or refused once, judged by every shard.

`PriceReader` is the I/O: a consumer outside the group polls batches of records into an inbox and wakes the agent through
a Faust channel, one item a batch. `PriceDesk` is what the agent calls.

Life of a batch
---------------
1. `decode_prices`          raw bytes -> marks, or a rejection and quarantine
2. `MarkBook.accept_all`    believed or refused, each mark once per worker
3. `conflate`               only if the setting says so, or the desk is behind: then no crossing extreme is lost, but what
                            lies between is passed over, and counted. Falling further behind would be worse
4. `MarkEncoder.encode`     into the columns' numbers, once per worker
5. `judge`                  the book of every shard walks the batch

The batches themselves wait in the inbox and not in the channel, because Faust clears its channels at a rebalance: a
lost wake-up is repeated, a lost batch of prices would be gone.
"""

import asyncio
import time
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from enum import StrEnum
from typing import NamedTuple

import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition

from engine.book.conflation import conflate
from engine.book.mark_batch import EncodedMarks, MarkEncoder
from engine.inputs import Mark
from engine.marks import NANOSECONDS, MarkBook
from engine.rejections import Rejection
from streams.codec import decode_prices
from streams.commit import OutboxEntry
from streams.kafka import open_reader, partition_counts
from streams.metrics import Metrics
from streams.quarantine import quarantine_entry
from streams.settings import Settings

POLL_RECORDS_MAX = 2000
BATCH_BYTES_MAX = 256 * 1024
"""A batch holds no more records, and no more bytes unless it is a single record: about 2,500 marks. Together they bound
how long the event loop is held by one batch, however many marks a producer puts into a record."""
POLL_MS = 100
INBOX_BATCHES_MAX = 64
"""Polled batches that may wait for the agent (during a rebalance it sleeps); then polling waits, Kafka keeps them."""
BEHIND_NS_MAX = NANOSECONDS // 10
"""A large batch whose newest mark is older than this on receipt has waited for the desk: ten times the promised latency."""
BEHIND_MARKS_MIN = 500
"""A smaller batch is judged mark by mark, however old: behind is then the feed, and conflating would gain nothing."""
BEHIND_BATCHES_MIN = 4
"""So many batches waiting in the inbox mean the desk is behind too: some 50 ms of its time."""
LOOKBACK_SECONDS = 15
"""A starting worker reads prices from this far back; older last prices come from Redis."""

_log = structlog.get_logger()


class PriceRecord(NamedTuple):
    """A raw record of the prices topic."""

    partition: int
    offset: int
    key: bytes | None
    value: bytes | None


class Judged(StrEnum):
    """Which marks of a batch were judged."""

    EVERY = "every"
    CONFLATED = "conflated"
    """The extremes and the last of each symbol, because the setting says so."""
    OVERLOAD = "overload"
    """The same, because the desk was behind."""


class PriceDesk:
    """Turns raw price records into judgements. One per worker."""

    def __init__(
        self,
        marks: MarkBook,
        encoder: MarkEncoder,
        *,
        topic: str,
        quarantine_topic: str,
        judge: Callable[[EncodedMarks], None],
        quarantine: Callable[[OutboxEntry], None],
        metrics: Metrics,
        conflates: bool = False,
    ) -> None:
        """`judge` gets believed marks in order; `quarantine` gets records that are no prices.

        `conflates`: always, and not only when behind.
        """
        self._marks, self._encoder, self._judge, self._quarantine = marks, encoder, judge, quarantine
        self._metrics, self._conflates = metrics, conflates
        self._topic, self._quarantine_topic = topic, quarantine_topic

    def on_records(self, records: Sequence[PriceRecord], batches_waiting: int = 0) -> None:
        """Take one polled batch, behind which `batches_waiting` others wait."""
        began = time.perf_counter()
        marks: list[Mark] = []
        for record in records:
            decoded = decode_prices(record.value)
            if isinstance(decoded, Rejection):
                self._to_quarantine(record, decoded)
            else:
                marks += decoded
        received_ns = time.time_ns()
        believed, refused = self._marks.accept_all(marks, received_ns)
        if believed:
            self._count_believed(believed)
            how = self._how(believed, received_ns, batches_waiting)
            judged = believed if how is Judged.EVERY else conflate(believed)
            self._metrics.mark_batches_total.labels(how).inc()
            self._metrics.marks_conflated_total.inc(len(believed) - len(judged))
            self._judge(self._encoder.encode(judged))
        for reason, count in Counter(it.code for it in refused).items():
            self._metrics.marks_refused_total.labels(reason).inc(count)
        self._metrics.mark_batch_marks.observe(len(believed))
        self._metrics.mark_batch_seconds.observe(time.perf_counter() - began)

    def _how(self, believed: Sequence[Mark], received_ns: int, batches_waiting: int) -> Judged:
        if self._conflates:
            return Judged.CONFLATED
        if batches_waiting >= BEHIND_BATCHES_MIN:
            return Judged.OVERLOAD
        if len(believed) < BEHIND_MARKS_MIN:
            return Judged.EVERY
        behind_ns = received_ns - max(mark.time_ns for mark in believed)
        return Judged.OVERLOAD if behind_ns > BEHIND_NS_MAX else Judged.EVERY

    def _to_quarantine(self, record: PriceRecord, rejection: Rejection) -> None:
        self._metrics.quarantined_total.labels(self._topic, rejection.code).inc()
        self._quarantine(
            quarantine_entry(
                self._quarantine_topic,
                self._topic,
                record.partition,
                record.offset,
                record.key,
                record.value,
                rejection,
            )
        )

    def _count_believed(self, believed: Sequence[Mark]) -> None:
        newest = {mark.symbol: mark.time_ns for mark in believed}
        for symbol, count in Counter([mark.symbol for mark in believed]).items():
            self._metrics.marks_accepted_total.labels(symbol).inc(count)
            self._metrics.mark_event_timestamp_seconds.labels(symbol).set(newest[symbol] / NANOSECONDS)


class PriceReader:
    """Reads every price partition and delivers batches, in order per partition."""

    def __init__(
        self,
        settings: Settings,
        wake: Callable[[], Awaitable[object]],
        ready: asyncio.Event,
        progress: Callable[[], None],
    ) -> None:
        """`wake` tells the agent to `take`; `ready` is set once the log's end at start was reached and taken."""
        self._settings = settings
        self._wake, self._ready, self._progress = wake, ready, progress
        self._inbox: deque[list[PriceRecord]] = deque()

    def take(self) -> Iterator[list[PriceRecord]]:
        """Every batch that waits, oldest first."""
        while self._inbox:
            yield self._inbox.popleft()

    @property
    def batches_waiting(self) -> int:
        """How many batches nobody has taken yet."""
        return len(self._inbox)

    async def run(self) -> None:
        """Read until cancelled."""
        wait_ms = self._settings.kafka_fetch_wait_ms
        async with open_reader(self._settings, fetch_max_wait_ms=wait_ms) as consumer:
            places = await self._assign(consumer)
            ends = await consumer.end_offsets(places)
            polled_batches = 0
            # How many batches lead up to `ends`, once they are polled. Prices may never pause, so that the worker is
            # ready when the agent has taken these and not when nothing waits.
            needed_batches: int | None = None
            while True:
                while len(self._inbox) >= INBOX_BATCHES_MAX:
                    await self._wake()
                    await asyncio.sleep(POLL_MS / 1000)
                polled = await consumer.getmany(timeout_ms=POLL_MS, max_records=POLL_RECORDS_MAX)
                self._progress()
                if polled:
                    batches = list(
                        bounded(
                            PriceRecord(place.partition, record.offset, record.key, record.value)
                            for place, records in polled.items()
                            for record in records
                        )
                    )
                    polled_batches += len(batches)
                    self._inbox += batches
                if self._inbox:
                    await self._wake()
                if self._ready.is_set():
                    continue
                if needed_batches is None and await _reached(consumer, ends):
                    needed_batches = polled_batches
                if needed_batches is not None and polled_batches - len(self._inbox) >= needed_batches:
                    _log.info("prices_caught_up", partitions=len(places))
                    self._ready.set()

    async def _assign(self, consumer: AIOKafkaConsumer) -> list[TopicPartition]:
        topic = self._settings.topic_prices
        count = (await partition_counts(self._settings, [topic]))[topic]
        places = [TopicPartition(topic, partition) for partition in range(count)]
        consumer.assign(places)
        since_ms = int((time.time() - LOOKBACK_SECONDS) * 1000)
        found = await consumer.offsets_for_times(dict.fromkeys(places, since_ms))
        begins = await consumer.beginning_offsets(places)
        for place in places:
            # Without a record that new (or a broker that cannot say) the whole log is read: it is short then.
            consumer.seek(place, found[place].offset if found.get(place) else begins[place])
        return places


def bounded(records: Iterable[PriceRecord]) -> Iterator[list[PriceRecord]]:
    """Records in batches of at most `BATCH_BYTES_MAX`; a larger record is a batch of its own."""
    batch: list[PriceRecord] = []
    size = 0
    for record in records:
        added = len(record.value or b"")
        if batch and size + added > BATCH_BYTES_MAX:
            yield batch
            batch, size = [], 0
        batch.append(record)
        size += added
    if batch:
        yield batch


async def _reached(consumer: AIOKafkaConsumer, ends: dict[TopicPartition, int]) -> bool:
    for place, end in ends.items():
        if await consumer.position(place) < end:
            return False
    return True
