"""Reading every price partition outside the group, in bounded batches that wait in an inbox of our own.

The batches wait here and not in the agent's channel, because Faust clears its channels at a rebalance: a lost wake-up is
repeated, a lost batch of prices would be gone.
"""

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError
from aiokafka.structs import ConsumerRecord

from streams.config.settings import Settings
from streams.kafka.clients import open_reader, partition_counts
from streams.observe.metrics import Metrics

POLL_RECORDS_MAX = 2000
BATCH_BYTES_MAX = 256 * 1024
"""A batch holds no more records, and no more bytes unless it is a single record: about 2,500 marks. Together they bound
how long the event loop is held by one batch, however many marks a producer puts into a record."""
POLL_MS = 100
INBOX_BATCHES_MAX = 64
"""Polled batches that may wait for the agent (during a rebalance it sleeps); then polling waits, Kafka keeps them."""
UNTAKEN_NS_MAX = 15_000_000_000
"""A rebalance takes less; whoever takes no marks for longer has none."""
WATCH_SECONDS = 1.0
METADATA_SECONDS = 5.0
"""How soon new partitions are found."""
SILENT_SECONDS_MAX = 10.0
"""A broker silent for longer, or records that do not come for longer, end readiness and a connection. A third of what a stalled loop
is given, at most."""
RESTART_SECONDS = 1.0
LOOKBACK_SECONDS = 15
"""A starting worker reads prices from this far back; older last prices come from Redis."""

_log = structlog.get_logger()


class PriceRecord(NamedTuple):
    """A raw record of the prices topic."""

    partition: int
    offset: int
    key: bytes | None
    value: bytes | None


class ReaderStalled(Exception):  # noqa: N818 - it names what happened
    """The broker is silent, or has records that do not come."""


class PriceReader:
    """Reads every price partition and delivers batches, in order per partition.

    It ends its own standstill: on an error of its client, on a broker that does not answer, and on records that lie in the log and do
    not come, it is not ready, connects anew and goes on where it was. New partitions are found while it runs, and read from
    their beginning.
    """

    def __init__(
        self,
        settings: Settings,
        wake: Callable[[], Awaitable[object]],
        ready: asyncio.Event,
        progress: Callable[[], None],
        metrics: Metrics,
    ) -> None:
        """`wake` tells the agent to `take`; `ready` is set while the log's end at (re)start was reached and taken."""
        self._settings, self._metrics = settings, metrics
        self._wake, self._ready, self._progress = wake, ready, progress
        self._inbox: deque[tuple[int, list[PriceRecord]]] = deque()
        """With the time at which it was polled (Unix ns)."""
        self._in_hand_ns: int | None = None
        """When the batch was polled that is being taken."""
        self._silent_s = min(SILENT_SECONDS_MAX, settings.stall_seconds / 3)
        self._next: dict[int, int] = {}
        """By partition: the offset to read next."""
        self._hollow: dict[int, int] = {}
        """By partition: an end below which nothing lies that can be read, found by reading anew."""
        self._stuck: dict[int, tuple[int | None, int]] = {}
        """By partition: where it stood still when the reader was last connected anew, and the end then."""
        self._heard_s = self._answered_s = 0.0
        """When the last record was polled, or none was missing; when the broker last answered."""

    def take(self) -> Iterator[list[PriceRecord]]:
        """Every batch that waits, oldest first. One counts as taken when the next is asked for."""
        try:
            while self._inbox:
                self._in_hand_ns, batch = self._inbox.popleft()
                yield batch
        finally:
            self._in_hand_ns = None

    def taken_until_ns(self, now_ns: int) -> int:
        """Until when all that was polled has been taken (Unix ns); not longer ago than `UNTAKEN_NS_MAX`.

        A symbol must not be called stale while its mark waits here: during a rebalance nobody takes any.
        """
        oldest_ns = self._inbox[0][0] if self._in_hand_ns is None and self._inbox else self._in_hand_ns
        return now_ns if oldest_ns is None else max(min(oldest_ns, now_ns), now_ns - UNTAKEN_NS_MAX)

    @property
    def polled_ns(self) -> int | None:
        """When the batch was polled that is being taken (Unix ns)."""
        return self._in_hand_ns

    @property
    def batches_waiting(self) -> int:
        """How many batches nobody has taken yet."""
        return len(self._inbox)

    async def run(self) -> None:
        """Read until cancelled."""
        while True:
            try:
                await self._read()
            except (KafkaError, OSError, TimeoutError, ReaderStalled) as error:
                self._say_ready(is_ready=False)
                self._metrics.price_reader_restarts_total.inc()
                _log.error("price_reader_restarts", error=repr(error), at=dict(self._next))
            await asyncio.sleep(RESTART_SECONDS)

    async def _read(self) -> None:
        """Connect and read until something goes wrong. Raises what did."""
        options = {
            "fetch_max_wait_ms": self._settings.kafka_fetch_wait_ms,
            "metadata_max_age_ms": int(METADATA_SECONDS * 1000),
        }
        async with open_reader(self._settings, **options) as consumer:
            async with asyncio.timeout(self._silent_s):
                count = (await partition_counts(self._settings, [self._topic]))[self._topic]
                await self._assign(consumer, count)
                ends = await consumer.end_offsets(list(consumer.assignment()))
            self._heard_s = self._answered_s = time.monotonic()
            await _until_one_fails(self._poll(consumer, ends), self._watch(consumer))

    async def _poll(self, consumer: AIOKafkaConsumer, ends: dict[TopicPartition, int]) -> None:
        polled_batches = len(self._inbox)
        # How many batches lead up to `ends`, once they are polled. Prices may never pause, so that the worker is
        # ready when the agent has taken these and not when nothing waits.
        needed_batches: int | None = None
        caught_up = False
        while True:
            while len(self._inbox) >= INBOX_BATCHES_MAX:
                await self._wake()
                self._heard_s = time.monotonic()  # it is the agent that does not take
                await asyncio.sleep(POLL_MS / 1000)
            known = consumer.partitions_for_topic(self._topic) or ()
            if len(known) > len(consumer.assignment()):
                await self._assign(consumer, len(known))
            async with asyncio.timeout(POLL_MS / 1000 + self._silent_s):
                polled = await consumer.getmany(timeout_ms=POLL_MS, max_records=POLL_RECORDS_MAX)
            self._progress()
            if polled:
                polled_batches += self._add(polled)
            else:
                await self._pass_over(consumer)
            if self._inbox:
                await self._wake()
            if caught_up:
                continue
            if needed_batches is None and self._reached(ends):
                needed_batches = polled_batches
            if needed_batches is not None and polled_batches - len(self._inbox) >= needed_batches:
                caught_up = True
                _log.info("prices_caught_up", partitions=len(ends))
                self._say_ready(is_ready=True)

    def _add(self, polled: Mapping[TopicPartition, Sequence[ConsumerRecord]]) -> int:
        """Put polled records into the inbox; returns how many batches they make."""
        self._heard_s = time.monotonic()
        for place, records in polled.items():
            self._next[place.partition] = records[-1].offset + 1
        batches = list(
            bounded(
                PriceRecord(place.partition, record.offset, record.key, record.value)
                for place, records in polled.items()
                for record in records
            )
        )
        polled_ns = time.time_ns()
        self._inbox += ((polled_ns, batch) for batch in batches)
        return len(batches)

    async def _pass_over(self, consumer: AIOKafkaConsumer) -> None:
        """Take note of offsets that hold no record: the client has passed over them."""
        for place in consumer.assignment():
            self._next[place.partition] = max(
                self._next.get(place.partition, 0), await consumer.position(place)
            )

    async def _watch(self, consumer: AIOKafkaConsumer) -> None:
        """Raises `ReaderStalled` where the broker does not answer, or has records that do not come."""
        while True:
            await asyncio.sleep(WATCH_SECONDS)
            places = list(consumer.assignment())
            try:
                async with asyncio.timeout(self._silent_s):
                    ends = await consumer.end_offsets(places)
            except (KafkaError, TimeoutError) as error:
                silent_s = time.monotonic() - self._answered_s
                if silent_s > self._silent_s:
                    raise ReaderStalled(f"the broker has not answered for {silent_s:.0f} s") from error
                continue
            self._answered_s = time.monotonic()
            if self._reached(ends):
                self._heard_s = self._answered_s
                continue
            still_s = self._answered_s - self._heard_s
            if still_s > self._silent_s:
                self._learn_hollow(ends)
                raise ReaderStalled(f"records wait in the log, none has come for {still_s:.0f} s")

    def _learn_hollow(self, ends: Mapping[TopicPartition, int]) -> None:
        """What did not come after reading anew either is nothing that can be read: the marker of a transaction, say."""
        behind = {
            place.partition: end for place, end in ends.items() if self._next.get(place.partition, 0) < end
        }
        for partition, end in behind.items():
            if self._stuck.get(partition) == (self._next.get(partition), end):
                self._hollow[partition] = end
        self._stuck = {partition: (self._next.get(partition), end) for partition, end in behind.items()}

    def _reached(self, ends: Mapping[TopicPartition, int]) -> bool:
        return all(
            self._next.get(place.partition, 0) >= end or self._hollow.get(place.partition) == end
            for place, end in ends.items()
        )

    async def _assign(self, consumer: AIOKafkaConsumer, count: int) -> None:
        """Read `count` partitions: those known from where we were, at a start from the lookback on, new ones from their beginning."""
        places = [TopicPartition(self._topic, partition) for partition in range(count)]
        starts = not self._next
        added = [place.partition for place in places if place.partition not in self._next]
        consumer.assign(places)
        begins = await consumer.beginning_offsets(places)
        ends = await consumer.end_offsets(places)
        since_ms = int((time.time() - LOOKBACK_SECONDS) * 1000)
        found = await consumer.offsets_for_times(dict.fromkeys(places, since_ms)) if starts else {}
        for place in places:
            at, begin = self._next.get(place.partition), begins[place]
            if at is None:
                # Without a record that new (or a broker that cannot say) the whole log is read: it is short then.
                at = found[place].offset if found.get(place) else begin
            elif not begin <= at <= ends[place]:
                _log.error("prices_missed", partition=place.partition, at=at, begin=begin, end=ends[place])
                at = begin
            self._next[place.partition] = at
            consumer.seek(place, at)
        if added and not starts:
            _log.warning("price_partitions_found", partitions=added)

    @property
    def _topic(self) -> str:
        return self._settings.topic_prices

    def _say_ready(self, *, is_ready: bool) -> None:
        self._metrics.price_reader_ready.set(is_ready)
        if is_ready:
            self._ready.set()
        else:
            self._ready.clear()


async def _until_one_fails(*endless: Coroutine[Any, Any, None]) -> None:
    """Run them side by side until one raises, and raise that; the others are cancelled."""
    tasks = [asyncio.create_task(it) for it in endless]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            if task.cancelled():  # not by us
                raise ReaderStalled("the client gave a call up")
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        # bounded: a client that is closing may swallow a cancellation
        await asyncio.wait(tasks, timeout=POLL_MS / 1000)


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
