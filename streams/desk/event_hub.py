"""One Kafka consumer for all listeners: it fills the ring and hands every event on.

A listener has a queue with a bound. Who does not keep up with it is *dropped*, with a reason, and may come back under the id that it has;
nobody waits for anybody.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Collection
from enum import StrEnum
from typing import Any

import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition

from engine.events.effects import Stream
from streams.config.settings import Settings
from streams.desk.api_metrics import ApiMetrics
from streams.desk.event_ring import EventRing, Kept, Place
from streams.desk.following import keep_following
from streams.desk.stream_events import StreamEvent, StreamKind, stream_event
from streams.kafka.clients import open_reader, partition_counts

STREAMS = tuple(Stream)
POLL_MS = 200
QUEUE_EVENTS_MAX = 2_000
"""A cascade of so many events reaches a listener whose line is slow; the events are shared, a queue costs 8 bytes each."""
BATCH_RECORDS_MAX = 500
"""Decoded at a stretch: some 10 ms of the event loop."""

_log = structlog.get_logger()


class DropReason(StrEnum):
    """Why the API ends a stream."""

    SLOW = "slow"
    """It did not take its events."""
    CLOSING = "closing"
    """The API ends; come back under the id that you have."""
    LOG_CHANGED = "log_changed"
    """The event topics are others than before; load everything anew."""


class Listener:
    """One client of the stream."""

    def __init__(self, kinds: Collection[StreamKind], account: str | None) -> None:
        """Hear of these kinds, and, of what is about an account, only of this one where it is given."""
        self._kinds, self._account = frozenset(kinds), account
        self._waiting: deque[Kept] = deque()
        self._woken = asyncio.Event()
        self.dropped: DropReason | None = None

    def offer(self, kept: Kept) -> None:
        """Queue the event where it is asked for; one too many ends the stream."""
        if self.dropped is not None or not self.wants(kept):
            return
        if len(self._waiting) >= QUEUE_EVENTS_MAX:
            self.drop(DropReason.SLOW)
            return
        self._waiting.append(kept)
        self._woken.set()

    def wants(self, kept: Kept) -> bool:
        """Whether it is asked for."""
        about = kept.event.account
        return kept.event.kind in self._kinds and (self._account is None or about in {None, self._account})

    def drop(self, reason: DropReason) -> None:
        """End it; what waits is thrown away, for the client comes back under the last id that it got."""
        self.dropped = self.dropped or reason
        self._waiting.clear()
        self._woken.set()

    async def take(self, seconds: float) -> list[Kept]:
        """What waits, once something does; [] after `seconds` without anything, and where it was dropped."""
        if not self._waiting and self.dropped is None:
            try:
                async with asyncio.timeout(seconds):
                    await self._woken.wait()
            except TimeoutError:
                return []
        self._woken.clear()
        taken, self._waiting = list(self._waiting), deque()
        return taken


class EventHub:
    """Reads the event topics and tells the listeners."""

    def __init__(self, settings: Settings, metrics: ApiMetrics) -> None:
        """Nothing is read before `run`."""
        self._settings, self._metrics = settings, metrics
        self._ring: EventRing | None = None
        self._listeners: set[Listener] = set()
        self.hears: Callable[[StreamEvent], None] = _nobody
        """Told of every event that is read, also of those from before the start."""
        self.problem = "the event topics were not read yet"
        """Why they are not followed; "" while they are."""

    @property
    def ring(self) -> EventRing | None:
        """The newest events; None until the log was read to where it ended at first."""
        return self._ring

    def hold(self, ring: EventRing) -> None:
        """Have these events, and follow no topic."""
        self._ring, self.problem = ring, ""

    def add(self, listener: Listener) -> None:
        """Tell it of every event from now on."""
        self._listeners.add(listener)
        self._metrics.stream_clients.set(len(self._listeners))

    def remove(self, listener: Listener) -> None:
        """Tell it no more."""
        self._listeners.discard(listener)
        self._metrics.stream_clients.set(len(self._listeners))
        if listener.dropped is not None:
            self._metrics.streams_dropped_total.labels(listener.dropped.value).inc()

    @property
    def listeners(self) -> int:
        """How many there are."""
        return len(self._listeners)

    def drop_all(self, reason: DropReason) -> None:
        """End every stream."""
        for listener in self._listeners:
            listener.drop(reason)

    async def run(self) -> None:
        """Follow until cancelled; a broker that is away is waited out, and nothing is missed meanwhile."""
        await keep_following(self._follow, self._say_away)

    def _say_away(self, problem: str) -> None:
        self.problem = problem
        self._metrics.events_reader_ready.set(0)

    async def _follow(self) -> None:
        counts = await partition_counts(self._settings, STREAMS)
        shape = [counts.get(stream, 0) for stream in STREAMS]
        if not all(shape):
            self.problem = f"missing topics: {', '.join(it for it in STREAMS if not counts.get(it))}"
            return
        places = {
            TopicPartition(stream, it): Place(number, it)
            for number, stream in enumerate(STREAMS)
            for it in range(shape[number])
        }
        async with open_reader(
            self._settings, fetch_max_wait_ms=self._settings.kafka_fetch_wait_ms
        ) as consumer:
            consumer.assign(list(places))
            ring, ends = await self._start(consumer, places, shape)
            while True:
                polled = await consumer.getmany(timeout_ms=POLL_MS, max_records=BATCH_RECORDS_MAX)
                for at, records in polled.items():
                    self._take(ring, places[at], records)
                if self._ring is not ring and await _reached(consumer, ends):
                    self._ring = ring
                if self._ring is ring:
                    self.problem = ""
                    self._metrics.events_reader_ready.set(1)

    async def _start(
        self, consumer: AIOKafkaConsumer, places: dict[TopicPartition, Place], shape: list[int]
    ) -> tuple[EventRing, dict[TopicPartition, int]]:
        """Go on where the ring stands, or begin one with the newest events that the log holds."""
        begins, ends = (
            await consumer.beginning_offsets(list(places)),
            await consumer.end_offsets(list(places)),
        )
        ring = self._ring
        if ring is not None and all(
            begins[at] <= ring.next.get(it, -1) <= ends[at] for at, it in places.items()
        ):
            for at, place in places.items():
                consumer.seek(at, ring.next[place])
            return ring, ends
        if ring is not None:
            self._ring = None
            self.drop_all(DropReason.LOG_CHANGED)
        events_max = self._settings.api_stream_buffer_events
        back = max(1, events_max // len(places))
        starts = {at: max(begins[at], ends[at] - back) for at in places}
        for at, start in starts.items():
            consumer.seek(at, start)
        fresh = EventRing(events_max, shape)
        fresh.begin({places[at]: start for at, start in starts.items()})
        return fresh, ends

    def _take(self, ring: EventRing, place: Place, records: list[Any]) -> None:
        self._metrics.events_read_total.inc(len(records))
        for record in records:
            kept = ring.add(place, record.offset, stream_event(STREAMS[place.topic], record))
            if kept is not None:
                self.hears(kept.event)
                for listener in self._listeners:
                    listener.offer(kept)


def _nobody(_: StreamEvent) -> None:
    """Where nobody counts events."""


async def _reached(consumer: AIOKafkaConsumer, ends: dict[TopicPartition, int]) -> bool:
    return all([await consumer.position(at) >= end for at, end in ends.items()])
