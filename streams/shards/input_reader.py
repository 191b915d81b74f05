"""Reading the inputs of one shard from its watermarks on, live and in recovery, outside of the group.

Each shard has a consumer of its own: none waits for another, one that is stopped stops reading, and offsets are its own affair. Batches
wait here, at most `WAITING_RECORDS_MAX` and `WAITING_BYTES_MAX` a topic; then the topic is not polled, and Kafka keeps the rest.

A batch is *read*, then *handed over* by the agent that the reader wakes, then *taken* by the shard. It waits here and not in the agent's
channel, because Faust clears its channels at a rebalance: a lost wake-up is repeated, a lost batch would be a hole.
"""

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from typing import NamedTuple

import structlog
from aiokafka.errors import KafkaError, OffsetOutOfRangeError

from engine.inputs import Topic
from streams.contract.record import Record
from streams.kafka.log_reader import NONE_OPEN, LogReader, Uncommitted

WAITING_RECORDS_MAX = 20_000
WAITING_BYTES_MAX = 4 * 1024 * 1024
"""Per topic of a shard; beside it the client holds one answer of the broker, a megabyte a partition."""
RETRY_SECONDS = 1.0
LOOK_SECONDS = 0.005
"""Between two looks whether the client has passed over what is no record; nothing tells."""

Wake = Callable[[Topic], Awaitable[object]]

_log = structlog.get_logger()


class _Batch(NamedTuple):
    """Records that follow each other."""

    records: deque[Record]
    read_s: float
    """When (monotonic)."""
    bytes: int


class InputReader:
    """Both input topics of one shard."""

    def __init__(
        self,
        open_log: Callable[[], AbstractAsyncContextManager[LogReader]],
        shard: int,
        topics: Mapping[Topic, str],
        wake: Wake,
    ) -> None:
        """`wake` has `hand_over` called for a topic, as soon as there is a turn for it. Nothing is read before `run`."""
        self._open_log, self._shard, self._topics, self._wake = open_log, shard, topics, wake
        self._read: dict[Topic, deque[_Batch]] = {topic: deque() for topic in Topic}
        self._handed: dict[Topic, deque[_Batch]] = {topic: deque() for topic in Topic}
        self._records = dict.fromkeys(Topic, 0)
        self._bytes = dict.fromkeys(Topic, 0)
        self._log: LogReader | None = None
        self._position = dict.fromkeys(Topic, 0)
        self._moved, self._taken = asyncio.Event(), asyncio.Event()
        self.recovering = True
        """Nobody is woken, and what is read is handed over at once: the agents may sleep while the group settles."""

    async def run(self, next_offsets: Mapping[Topic, int]) -> None:
        """Read on from the first offset that is not here yet, until cancelled; an error of the broker is waited out.

        `next_offsets` are those that the shard would apply next, kept up to date by it. Raises OffsetOutOfRangeError where the log does
        not hold what comes next.
        """
        while True:
            try:
                async with self._open_log() as log:
                    await self._follow(log, next_offsets)
            except OffsetOutOfRangeError:
                raise
            except (KafkaError, OSError, TimeoutError) as error:
                _log.warning("input_reader_interrupted", shard=self._shard, error=repr(error))
            finally:
                self._log = None
            await asyncio.sleep(RETRY_SECONDS)

    def hand_over(self, topic: Topic) -> None:
        """Give the shard what was read of `topic`."""
        self._handed[topic] += self._read[topic]
        self._read[topic].clear()
        self._moved.set()

    @property
    def oldest_read_s(self) -> float:
        """When the oldest batch was read that waits to be taken (monotonic); now, where none does."""
        return min((it[0].read_s for it in self._handed.values() if it), default=time.monotonic())

    async def moves(self, watermarks: Mapping[Topic, int]) -> None:
        """Return when a record waits to be taken, or offsets above the watermarks turned out to hold none."""
        while not any(self._handed[it] or self._passed(it) > watermarks[it] for it in Topic):
            self._moved.clear()
            await self._moved.wait()

    async def arrives(self) -> None:
        """Wait a moment for more to be handed over, or passed over."""
        self._moved.clear()
        try:
            async with asyncio.timeout(LOOK_SECONDS):
                await self._moved.wait()
        except TimeoutError:
            await self._note_positions()

    def waits(self, topic: Topic, end: int) -> bool:
        """Whether a record of `topic` below offset `end` waits to be taken."""
        handed = self._handed[topic]
        return bool(handed) and handed[0].records[0].offset < end

    def passed(self, topic: Topic, end: int) -> bool:
        """Whether it is known that no record lies between the last one taken and offset `end`."""
        handed = self._handed[topic] or self._read[topic]
        return (handed[0].records[0].offset if handed else self._position[topic]) >= end

    def take(self, topic: Topic, end: int, count_max: int, read_before_s: float) -> list[Record]:
        """The oldest records of `topic` below offset `end` that were read before a moment, at most `count_max`."""
        handed, taken = self._handed[topic], list[Record]()
        while handed and len(taken) < count_max and handed[0].read_s < read_before_s:
            records = handed[0].records
            while records and len(taken) < count_max and records[0].offset < end:
                taken.append(records.popleft())
            if records:
                break
            self._bytes[topic] -= handed.popleft().bytes
        self._records[topic] -= len(taken)
        self._taken.set()
        return taken

    def uncommitted(self, topic: Topic) -> Uncommitted:
        """What of `topic` lies behind an open transaction, as far as is known."""
        return self._log.uncommitted(self._topics[topic]) if self._log else NONE_OPEN

    async def _follow(self, log: LogReader, next_offsets: Mapping[Topic, int]) -> None:
        starts = {it: self._first_missing(it, next_offsets[it]) for it in Topic}
        log.start({self._topics[it]: start for it, start in starts.items()}, self._shard)
        self._position, self._log = starts, log
        topic_of = {name: topic for topic, name in self._topics.items()}
        while True:
            while not (room := [it for it in Topic if self._has_room(it)]):
                self._taken.clear()
                await self._rouse()
                await self._taken.wait()
            polled = await log.poll([self._topics[it] for it in room])
            read_s = time.monotonic()
            for name, records in polled.items():
                topic, size = topic_of[name], sum(len(it.value or b"") + len(it.key or b"") for it in records)
                self._read[topic].append(_Batch(deque(records), read_s, size))
                self._records[topic] += len(records)
                self._bytes[topic] += size
            await self._note_positions()
            await self._rouse()

    async def _note_positions(self) -> None:
        if self._log is not None:
            log = self._log
            position = {it: await log.position(name) for it, name in self._topics.items()}
            if position != self._position:
                self._position = position
                self._moved.set()

    async def _rouse(self) -> None:
        for topic in Topic:
            if self._read[topic] and self.recovering:
                self.hand_over(topic)
            elif self._read[topic]:
                await self._wake(topic)

    def _passed(self, topic: Topic) -> int:
        return 0 if self._read[topic] else self._position[topic]

    def _first_missing(self, topic: Topic, next_offset: int) -> int:
        batches = self._read[topic] or self._handed[topic]
        return max(batches[-1].records[-1].offset + 1 if batches else 0, self._position[topic], next_offset)

    def _has_room(self, topic: Topic) -> bool:
        return self._records[topic] < WAITING_RECORDS_MAX and self._bytes[topic] < WAITING_BYTES_MAX
