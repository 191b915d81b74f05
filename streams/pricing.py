"""Prices: read by every worker from all partitions, believed or refused once, judged by every shard.

`PriceReader` is the I/O: a consumer outside the group polls batches of records into an inbox and wakes the agent through
a Faust channel, one item a batch. `PriceDesk` is what the agent calls: decode, ask the mark book, hand believed
marks to the shards.

The batches themselves wait in the inbox and not in the channel, because Faust clears its channels at a rebalance: a
lost wake-up is repeated, a lost batch of prices would be gone.
"""

import asyncio
import time
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import NamedTuple

import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition

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
"""One channel item; bounds how long the event loop is held by one batch."""
POLL_MS = 100
INBOX_BATCHES_MAX = 64
"""Polled batches that may wait for the agent (during a rebalance it sleeps); then polling waits, Kafka keeps them."""
LOOKBACK_SECONDS = 15
"""A starting worker reads prices from this far back; older last prices come from Redis."""

_log = structlog.get_logger()


class PriceRecord(NamedTuple):
    """A raw record of the prices topic."""

    partition: int
    offset: int
    key: bytes | None
    value: bytes | None


class PriceDesk:
    """Turns raw price records into judgements. One per worker."""

    def __init__(
        self,
        marks: MarkBook,
        *,
        topic: str,
        quarantine_topic: str,
        judge: Callable[[Sequence[Mark]], None],
        quarantine: Callable[[OutboxEntry], None],
        metrics: Metrics,
    ) -> None:
        """`judge` gets believed marks in order; `quarantine` gets records that are no prices."""
        self._marks, self._judge, self._quarantine, self._metrics = marks, judge, quarantine, metrics
        self._topic, self._quarantine_topic = topic, quarantine_topic

    def on_records(self, records: Sequence[PriceRecord]) -> None:
        """Take one polled batch."""
        began = time.perf_counter()
        believed: list[Mark] = []
        refused: Counter[str] = Counter()
        received_ns = time.time_ns()
        for record in records:
            marks = decode_prices(record.value)
            if isinstance(marks, Rejection):
                self._to_quarantine(record, marks)
                continue
            for mark in marks:
                verdict = self._marks.accept(mark, received_ns)
                if isinstance(verdict, Rejection):
                    refused[verdict.code] += 1
                else:
                    believed.append(verdict)
        if believed:
            self._judge(believed)
        self._count(believed, refused)
        self._metrics.mark_batch_seconds.observe(time.perf_counter() - began)

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

    def _count(self, believed: Sequence[Mark], refused: Counter[str]) -> None:
        newest = {mark.symbol: mark.time_ns for mark in believed}
        for symbol, count in Counter(mark.symbol for mark in believed).items():
            self._metrics.marks_accepted_total.labels(symbol).inc(count)
            self._metrics.mark_event_timestamp_seconds.labels(symbol).set(newest[symbol] / NANOSECONDS)
        for reason, count in refused.items():
            self._metrics.marks_refused_total.labels(reason).inc(count)
        self._metrics.mark_batch_marks.observe(len(believed))


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
                    polled_batches += 1
                    self._inbox.append(
                        [
                            PriceRecord(place.partition, record.offset, record.key, record.value)
                            for place, records in polled.items()
                            for record in records
                        ]
                    )
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


async def _reached(consumer: AIOKafkaConsumer, ends: dict[TopicPartition, int]) -> bool:
    for place, end in ends.items():
        if await consumer.position(place) < end:
            return False
    return True
