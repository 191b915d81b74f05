"""Committing and publishing: one task makes durable what changed memory, two hand the events to Kafka.

Records and judgements become `Commit` parts in the order in which they changed memory; one task takes commits out of
`CommitQueue`, which lets the urgent parts go first, makes each durable, acknowledges the records, and hands the events to the
relay of their lane.
"""

from collections.abc import Callable

from streams.contract.commit import Commit, Lane
from streams.shards.crash import crash_only
from streams.shards.shard_parts import ShardParts
from streams.store.shard_store import FenceLost


class Committing:
    """The way from memory to Redis, and on to Kafka."""

    def __init__(self, parts: ShardParts, lose_fence: Callable[[], None]) -> None:
        """`lose_fence` is called when another owner has the shard."""
        self.processor, self._store, self._relays = parts.processor, parts.store, parts.relays
        self._queue, self._cascade, self._metrics = parts.queue, parts.cascade, parts.metrics
        self._lose_fence = lose_fence

    @crash_only
    async def commit_parts(self) -> None:
        """Make durable what is queued, until cancelled or fenced."""
        while True:
            commit = await self._queue.next()
            try:
                if commit:
                    await self._commit(commit)
            except FenceLost:
                self._lose_fence()
                return
            for acknowledge in self._queue.committed():
                acknowledge()

    async def _commit(self, commit: Commit) -> None:
        with self._metrics.commit_seconds.time():
            await self._store.commit(commit)
        self.processor.on_committed(commit)
        self._relays.offer(commit.outbox)
        self._cascade.on_committed(commit.outbox)
        for entry in commit.outbox:
            self._metrics.events_committed_total.labels(entry.event_type).inc()

    @crash_only
    async def publish(self, lane: Lane) -> None:
        """Publish what is durable in one lane, until cancelled or fenced."""
        try:
            await self._relays.run(lane)
        except FenceLost:
            self._lose_fence()
