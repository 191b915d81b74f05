"""The licence to publish what a shard's outbox holds: given once a take-over is through, and lost with the shard.

Rules
-----
* Nothing is published before what was published has been read back, and its adoption is durable: until then nobody knows which ids have
  a meaning already.
* Nothing is sent by who has not heard a moment ago that the shard is its own, by Redis' word. An answer counts from when it was asked
  for: who was paused since asks again.
* What slips through between an answer and the log is refused by the broker (`streams.kafka.producer_epochs`).
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

from aiokafka import TopicPartition

from streams.kafka.producer_epochs import ProducerEpoch
from streams.store.shard_store import ShardStore

FRESH_SECONDS = 0.02
"""For so long an answer is taken to hold. Rounds that follow a commit or each other closely need not ask: writing it and cutting the outbox were answers."""
ANSWER_SECONDS_MAX = 1.0
"""An answer that came later, to a process that was paused or from a Redis that is hardly there, is asked for again."""
SEQUENCE_END = 2**31
"""Kafka counts the records of a producer in so many numbers, from 0 again."""


class Licence:
    """One shard's, for both its lanes."""

    def __init__(self, store: ShardStore, clock_s: Callable[[], float] = time.monotonic) -> None:
        """Not given. `clock_s` is a monotonic clock, which goes on while the process is paused."""
        self._store, self._clock_s = store, clock_s
        self._given = asyncio.Event()
        self._asked_s = float("-inf")
        self._epoch: ProducerEpoch | None = None
        self._sequences: dict[TopicPartition, int] = {}
        """By partition, the number of the next record."""

    def give(self, epoch: ProducerEpoch | None) -> None:
        """All that was published is known, and durable. `epoch`: under which the broker takes it; None where it counts none."""
        self._epoch = epoch
        self._given.set()

    async def given(self) -> None:
        """Return once it is."""
        await self._given.wait()

    async def prove(self) -> None:
        """Return if the shard is ours as of a moment ago, or now. Raises FenceLost, StoreRewound or StoreUnavailable."""
        within_s = FRESH_SECONDS
        while self._clock_s() - self._asked_s > within_s:
            await self.proved_by(self._store.ask)
            within_s = ANSWER_SECONDS_MAX

    async def proved_by(self, ask: Callable[[], Awaitable[None]]) -> None:
        """Await `ask`, a call to the store that fails unless the shard is ours."""
        asked_s = self._clock_s()
        await ask()
        self._asked_s = max(self._asked_s, asked_s)

    def sign(self, batch: Any, place: TopicPartition) -> None:
        """Have a batch carry who writes it, so that the broker refuses it from an older owner and takes it once only."""
        if self._epoch is not None:
            # a client that numbers by itself does so for one producer id; here each shard has its own
            batch._set_producer_state(*self._epoch, self._sequences.get(place, 0))  # noqa: SLF001
        batch.close()

    def taken(self, place: TopicPartition, records: int) -> None:
        """The broker has the batch."""
        self._sequences[place] = (self._sequences.get(place, 0) + records) % SEQUENCE_END
