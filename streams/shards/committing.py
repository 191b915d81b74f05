"""Committing and publishing: one task makes durable what changed memory, two hand the events to Kafka.

Records and judgements become `Commit` parts in the order in which they changed memory; one task takes commits out of
`CommitQueue`, which lets the urgent parts go first, makes each durable, acknowledges the records, and hands the events to the
relay of their lane.
"""

import time
from collections.abc import Callable

from streams.contract.commit import Commit, Lane
from streams.observe.metrics import Stage
from streams.shards.account_copies import AccountCopies
from streams.shards.crash import crash_only
from streams.shards.shard_parts import ShardParts
from streams.store.shard_ownership import EpochLost, ShardLost


class Committing:
    """The way from memory to Redis, and on to Kafka."""

    def __init__(self, parts: ShardParts, copies: AccountCopies, lose: Callable[[ShardLost], None]) -> None:
        """`copies` hears what has become durable; `lose` is called when the shard is not ours any more."""
        self.processor, self._store, self._relays = parts.processor, parts.store, parts.relays
        self._queue, self._cascade, self._metrics = parts.queue, parts.cascade, parts.metrics
        self._traces, self._copies, self._lose = parts.traces, copies, lose

    @crash_only
    async def commit_parts(self) -> None:
        """Make durable what is queued, until cancelled or fenced."""
        while True:
            commit = await self._queue.next()
            try:
                if commit:
                    await self._commit(commit)
            except ShardLost as lost:
                self._lose(lost)
                return
            for acknowledge in self._queue.committed():
                acknowledge()

    async def _commit(self, commit: Commit) -> None:
        traced = self._traces.goes_on("commit", commit.outbox, shard=self.processor.shard)
        with traced, self._metrics.commit_seconds.time():
            await self._relays.committed_by(lambda: self._store.commit(commit))
        self._metrics.stage_seconds[Stage.COMMITTED].observe(time.monotonic() - self._queue.taken_since_s)
        self.processor.on_committed(commit)
        self._copies.on_committed(commit)
        self._relays.offer(commit.outbox)
        self._cascade.on_committed(commit.outbox)
        for entry in commit.outbox:
            self._metrics.events_committed_total.labels(entry.event_type).inc()

    @crash_only
    async def publish(self, lane: Lane) -> None:
        """Publish what is durable in one lane, until cancelled or fenced."""
        try:
            await self._relays.run(lane)
        except EpochLost as lost:
            await self._ask_redis(lost)
        except ShardLost as lost:
            self._lose(lost)

    async def _ask_redis(self, lost: EpochLost) -> None:
        """Kafka has a later owner: most often one by Redis' word too. If not, it has come and gone, and the shard is still ours."""
        try:
            await self._store.ask()
        except ShardLost as by_redis:
            self._lose(by_redis)
        else:
            self._lose(lost)
