"""The outbox relay of one lane of a shard: what is committed reaches Kafka, at least once, in order, under the same ids.

Life of an entry
----------------
1. `offer`       it is durable in the outbox in Redis, and waits in memory; at first for the licence to publish at all (`licence`)
2. a round       takes the oldest entries, at most one Kafka batch per topic and partition, sends all batches, waits
                 for every acknowledgement; a batch that failed for a passing reason is sent again, the same records
                 in the same order. Before anything is sent, and sent again, the shard is known to be ours. A record that Kafka takes for no
                 price (too large) is for `refused`, and the others go on. A lane that another one is `ahead` of sends nothing before all that was offered
                 to that one until then is published: so the topic of the faster lane is never behind what the slower one tells
3. `published`   the whole round is cut from the outbox; only then comes the next one
A process that ends between 2 and 3 leaves the entries in the outbox, and the next owner publishes them again.

Why one batch per partition in flight: Kafka takes a batch as a whole or not at all, so no entry can overtake an older
one, whatever fails and is repeated. Throughput comes from the size of the batch (the producer's `max_batch_size`).

While Kafka is away the outbox grows in Redis, but not in memory: past `PENDING_ENTRIES_MAX` entries are only counted,
and read back from Redis when their turn has come.
"""

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, Collection, Sequence
from itertools import islice
from typing import Any, NamedTuple, TypeVar

import structlog
from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.errors import (
    CorruptRecordException,
    InvalidProducerEpoch,
    InvalidTimestampError,
    KafkaError,
    KafkaTimeoutError,
    KafkaUnavailableError,
    MessageSizeTooLargeError,
    ProducerFenced,
    RecordListTooLargeError,
    TopicAuthorizationFailedError,
    UnsupportedForMessageFormatError,
)
from aiokafka.partitioner import DefaultPartitioner

from streams.contract.commit import Lane, OutboxEntry
from streams.contract.operator_command import OUTCOME_TYPE, RESUME_TYPE
from streams.observe.metrics import Metrics, Stage
from streams.observe.traces import NO_TRACES, Traces
from streams.outbox.licence import Licence
from streams.store.shard_ownership import EpochLost, StoreRewound
from streams.store.shard_store import ShardStore

T = TypeVar("T")

PENDING_ENTRIES_MAX = 10_000
"""In memory per lane of a shard: about 20 MB of events."""

ROUND_ENTRIES_MAX = 1000
"""Published and not yet cut, so what a crash repeats; and the work of one round stays below some 20 ms."""

BACKOFF_FIRST_S = 0.05
BACKOFF_MAX_S = 2.0
"""From an election of a new leader to a pace that does not burden a broker that is coming back."""

NS_PER_S = 1_000_000_000

_log = structlog.get_logger()


REFUSED_RECORD = (
    CorruptRecordException,
    InvalidTimestampError,
    MessageSizeTooLargeError,
    RecordListTooLargeError,
    UnsupportedForMessageFormatError,
)
"""What is wrong with a record itself: others of the same topic are taken."""


class RelayError(Exception):
    """Kafka refuses what is sent for good (not allowed, no such topic): trying again cannot help, a person must."""


async def _cannot_pass_over(entry: OutboxEntry, error: KafkaError) -> None:
    """Whoever does not say what becomes of an entry that Kafka does not take ends with it."""
    raise RelayError(f"{entry.topic}: {error!r}") from error


class _Timed(NamedTuple):
    """The one entry whose way is timed: entry by entry would cost more than it tells."""

    place: int
    """How many entries are before it."""
    offered_s: float
    """Monotonic."""


class _Batch(NamedTuple):
    """Entries of one round that go to the same partition, as one Kafka batch."""

    place: TopicPartition
    entries: list[OutboxEntry]


class OutboxRelay:
    """Publishes what `store` committed to `lane`, once it is given the `licence`.

    `clock_ns` is the wall clock in Unix ns; `producer` is started, acks=all, and numbers nothing by itself: the licence does.
    """

    def __init__(
        self,
        store: ShardStore,
        lane: Lane,
        licence: Licence,
        producer: AIOKafkaProducer,
        metrics: Metrics,
        clock_ns: Callable[[], int],
        ahead: "OutboxRelay | None" = None,
        traces: Traces = NO_TRACES,
    ) -> None:
        self._traces = traces
        self._store, self._lane, self._licence = store, lane, licence
        self._ahead = ahead
        self._producer = producer
        self._metrics = metrics
        self._clock_ns = clock_ns
        self._partitioner = DefaultPartitioner()
        self.refused: Callable[[OutboxEntry, KafkaError], Awaitable[None]] = _cannot_pass_over
        """Called for an entry that Kafka takes for no price; once it returns the entry is passed over, so what became of it is durable."""
        self._pending: deque[OutboxEntry] = deque()
        self._pending_in_redis = 0
        self._offered = self._done = 0
        """Entries since the take-over; those that are published, or passed over."""
        self._progress = asyncio.Condition()
        self._timed: _Timed | None = None
        self._work = asyncio.Event()
        self._drained = asyncio.Event()
        self._drained.set()

    def offer(self, entries: Sequence[OutboxEntry]) -> None:
        """Take entries that are durable, in the order of the outbox: after a take-over those it holds, then each commit's.

        Never waits and never refuses; see the module for what bounds it.
        """
        if not entries:
            return
        room = 0 if self._pending_in_redis else max(0, PENDING_ENTRIES_MAX - len(self._pending))
        if room and self._timed is None:
            self._timed = _Timed(len(self._pending), time.monotonic())
        self._pending.extend(entries[:room])
        self._pending_in_redis += len(entries[room:])
        self._offered += len(entries)
        self._count_pending(len(entries))
        self._drained.clear()
        self._work.set()

    def withdraw(self, places: Collection[int]) -> None:
        """Forget the entries at these places of what was offered: they are not in the outbox any more. Nothing was published yet."""
        held, self._timed = len(self._pending), None
        self._pending = deque(entry for place, entry in enumerate(self._pending) if place not in places)
        self._pending_in_redis -= sum(place >= held for place in places)
        self._offered -= len(places)
        self._count_pending(-len(places))
        if not self.waiting:
            self._work.clear()
            self._drained.set()

    @property
    def waiting(self) -> int:
        """Entries that were offered and are not known to be published."""
        return len(self._pending) + self._pending_in_redis

    async def drained(self) -> None:
        """Return once everything offered is published and cut from the outbox."""
        await self._drained.wait()

    async def said(self) -> None:
        """Return once everything that was offered until now is published; what is offered meanwhile is not waited for."""
        until = self._offered
        async with self._progress:
            await self._progress.wait_for(lambda: self._done >= until)

    async def run(self) -> None:
        """Publish until cancelled. Raises RelayError, or StoreError when the shard is not ours or the outbox cannot be cut."""
        try:
            await self._licence.given()
            while True:
                await self._work.wait()
                await self._round()
                if not self.waiting:
                    self._work.clear()
                    self._drained.set()
        finally:
            # The gauges are shared by the worker's shards; what this one leaves behind is its next owner's.
            self._count_pending(-self.waiting)
            self._pending.clear()
            self._pending_in_redis, self._timed = 0, None
            self._drained.set()

    async def _round(self) -> None:
        if not self._pending:
            await self._read_back()
        batches = await _until_it_works(self._next_batches, "preparing a round")
        if self._ahead is not None:
            await self._ahead.said()
        sent_s = time.monotonic()
        try:
            async with asyncio.TaskGroup() as group:
                sends = [group.create_task(self._send(batch)) for batch in batches]
        except ExceptionGroup as several:  # one reason is enough to stop for
            first = several.exceptions[0]
            raise first from first.__cause__
        ends = (send.result() for send in sends)
        positions = {topic: end for topic, end in ends if end is not None}
        count = sum(len(batch.entries) for batch in batches)
        self._tell_stages(count, sent_s)
        await self._licence.proved_by(lambda: self._store.published(self._lane, count, positions))
        for _ in range(count):
            self._pending.popleft()
        self._count_pending(-count)
        async with self._progress:
            self._done += count
            self._progress.notify_all()

    def _tell_stages(self, count: int, sent_s: float) -> None:
        """The oldest `count` entries were sent at `sent_s` and are acknowledged now."""
        if self._timed is None:
            return
        if self._timed.place >= count:
            self._timed = self._timed._replace(place=self._timed.place - count)
            return
        stages = self._metrics.stage_seconds
        stages[Stage.PUBLISHED].observe(sent_s - self._timed.offered_s)
        stages[Stage.ACKNOWLEDGED].observe(time.monotonic() - sent_s)
        self._timed = None

    def _count_pending(self, change: int) -> None:
        self._metrics.outbox_pending.inc(change)
        if self._lane is Lane.LIQUIDATIONS:
            self._metrics.liquidations_pending.inc(change)

    async def _read_back(self) -> None:
        count = min(self._pending_in_redis, PENDING_ENTRIES_MAX)
        entries = await self._store.oldest_unpublished(self._lane, count)
        if len(entries) < count:
            raise StoreRewound(f"the outbox holds {len(entries)} entries where {count} were committed")
        self._pending.extend(entries)
        self._pending_in_redis -= count

    async def _next_batches(self) -> list[_Batch]:
        """The oldest entries, up to the first that its partition's batch has no room for."""
        batches: dict[TopicPartition, _Batch] = {}
        sizes: dict[TopicPartition, Any] = {}
        for entry in list(islice(self._pending, ROUND_ENTRIES_MAX)):
            place = await self._place(entry)
            if place not in batches:
                batches[place], sizes[place] = _Batch(place, []), self._producer.create_batch()
            if not _append(sizes[place], entry):
                break
            batches[place].entries.append(entry)
        return list(batches.values())

    async def _place(self, entry: OutboxEntry) -> TopicPartition:
        partition = entry.partition
        if partition is None:
            every = sorted(await self._producer.partitions_for(entry.topic))
            partition = self._partitioner(entry.key, every, every)
        return TopicPartition(entry.topic, partition)

    async def _send(self, batch: _Batch) -> tuple[str, int | None]:
        """Send until acknowledged; return the topic and the offset after the batch, None if unknown."""

        async def attempt() -> int:
            builder = self._producer.create_batch()
            for entry in batch.entries:
                _append(builder, entry)
            self._licence.sign(builder, batch.place)
            await self._licence.prove()
            acknowledged = await self._producer.send_batch(
                builder, batch.place.topic, partition=batch.place.partition
            )
            offset: int = (await acknowledged).offset
            return offset

        try:
            with self._traces.goes_on("publish", batch.entries, topic=batch.place.topic):
                offset = await _until_it_works(attempt, f"{batch.place.topic}/{batch.place.partition}")
        except RelayError as error:
            if not isinstance(error.__cause__, REFUSED_RECORD) and not _is_not_allowed(batch, error):
                raise
            return await self._one_by_one(batch, error.__cause__)
        self._licence.taken(batch.place, len(batch.entries))
        now_ns = self._clock_ns()
        for entry in batch.entries:
            self._metrics.events_published_total.labels(entry.event_type).inc()
            if entry.cause_time_ns is not None:
                self._metrics.tick_to_event_seconds.observe((now_ns - entry.cause_time_ns) / NS_PER_S)
        # Of a batch that is sent again the broker may say only that it has it, not where (offset -1); and a position
        # is one of the shard's own partition, which an entry without a partition does not have.
        known = offset >= 0 and batch.entries[0].partition is not None
        return batch.place.topic, offset + len(batch.entries) if known else None

    async def _one_by_one(self, batch: _Batch, error: KafkaError) -> tuple[str, int | None]:
        """One of them is refused for good: all others are sent, in their order."""
        if len(batch.entries) == 1:
            await self.refused(batch.entries[0], error)
            return batch.place.topic, None
        ends = [await self._send(_Batch(batch.place, [entry])) for entry in batch.entries]
        return batch.place.topic, next((end for _, end in reversed(ends) if end is not None), None)


def _is_not_allowed(batch: _Batch, error: RelayError) -> bool:
    """A worker may have no right to write among the inputs, or to the operators' topic: then operators' words come to nothing, and all else goes on."""
    of_operators = batch.entries[0].event_type in {RESUME_TYPE, OUTCOME_TYPE}
    return of_operators and isinstance(error.__cause__, TopicAuthorizationFailedError)


def _append(builder: Any, entry: OutboxEntry) -> bool:
    """Add `entry` to a Kafka batch; False if it has no room. An empty one takes any size: the broker judges that."""
    headers = list(entry.headers)
    return builder.append(timestamp=None, key=entry.key, value=entry.value, headers=headers) is not None


async def _until_it_works(attempt: Callable[[], Awaitable[T]], what: str) -> T:
    """Repeat without end what failed for a passing reason: an event that was decided must be said.

    The outbox meanwhile grows and is watched. Raises EpochLost, and RelayError for a reason that stays.
    """
    backoff_s = BACKOFF_FIRST_S
    while True:
        try:
            return await attempt()
        except (ProducerFenced, InvalidProducerEpoch) as error:
            raise EpochLost(f"{what}: Kafka takes no more of us, a later owner has written") from error
        except KafkaError as error:
            if not (error.retriable or isinstance(error, KafkaTimeoutError | KafkaUnavailableError)):
                raise RelayError(f"{what}: {error!r}") from error
            _log.warning("publishing_repeated", what=what, error=repr(error), pause_seconds=backoff_s)
        await asyncio.sleep(backoff_s)
        backoff_s = min(2 * backoff_s, BACKOFF_MAX_S)
