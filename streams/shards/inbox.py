"""Records that Faust has delivered to a shard and that wait to be applied, by topic, in order."""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import NamedTuple

from engine.inputs import Topic
from streams.contract.record import Record

INBOX_RECORDS_MAX = 20_000
"""Per topic, a few seconds of records at Faust's top rate; past it the agent waits, and with it the fetcher."""


class Offered(NamedTuple):
    """A record delivered by Faust, with the call that acknowledges it."""

    topic: Topic
    record: Record
    acknowledge: Callable[[], object]


class Inbox:
    """One shard's waiting records. One task puts per topic, one takes."""

    def __init__(self) -> None:
        self._waiting: dict[Topic, deque[Offered]] = {topic: deque() for topic in Topic}
        self._arrived = asyncio.Event()
        self._taken = asyncio.Event()

    async def put(self, offered: Offered) -> None:
        """Add a record; waits while the topic's part is full."""
        waiting = self._waiting[offered.topic]
        while len(waiting) >= INBOX_RECORDS_MAX:
            self._taken.clear()
            await self._taken.wait()
        waiting.append(offered)
        self._arrived.set()

    async def filled(self) -> None:
        """Return when any record waits."""
        while not any(self._waiting.values()):
            self._arrived.clear()
            await self._arrived.wait()

    async def arrives(self, topic: Topic, within_seconds: float) -> bool:
        """Wait for another record of `topic`; False if none came within the time."""
        before = len(self._waiting[topic])
        try:
            async with asyncio.timeout(within_seconds):
                while len(self._waiting[topic]) == before:
                    self._arrived.clear()
                    await self._arrived.wait()
        except TimeoutError:
            return False
        return True

    def waiting(self, topic: Topic) -> int:
        """How many records of `topic` wait."""
        return len(self._waiting[topic])

    def empty(self) -> list[Offered]:
        """All records that wait; none does after."""
        left = [offered for waiting in self._waiting.values() for offered in waiting]
        for waiting in self._waiting.values():
            waiting.clear()
        self._taken.set()
        return left

    def take(self, topic: Topic, end: int, count_max: int) -> list[Offered]:
        """The oldest records of `topic` below offset `end`, at most `count_max`."""
        waiting = self._waiting[topic]
        taken: list[Offered] = []
        while waiting and len(taken) < count_max and waiting[0].record.offset < end:
            taken.append(waiting.popleft())
        self._taken.set()
        return taken
