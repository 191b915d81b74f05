"""Keeps a snapshot of a running shard fresh, in the background, so that a new owner has few states to read beside it.

What a part says may be ahead of the store, by what waits for its commit, and behind it, by states that are durable and not yet judged.
For the first a snapshot is finished only when all that had been queued is durable; for the second the accounts of such states are
left out. `streams.store.snapshot_store` has the rest of the argument.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable

import structlog

from streams.observe.metrics import Metrics
from streams.shards.processor import ShardProcessor
from streams.store.redis_client import StoreUnavailable
from streams.store.shard_store import ShardStore
from streams.store.snapshot_store import SnapshotLost

CHANGED_SHARE_MAX = 0.1
"""Of all accounts: when so many have changed since, a snapshot is written anew. To read them takes a new owner as long as to load all others."""
PAUSE_SECONDS = 0.02
"""Between two parts, each of which holds the event loop for some 2 ms: a tenth of it, and 10 MB a second for Redis."""

_log = structlog.get_logger()


class SnapshotWriter:
    """Writes the snapshots of one shard, one after the other."""

    def __init__(
        self,
        processor: ShardProcessor,
        store: ShardStore,
        turn: asyncio.Lock,
        metrics: Metrics,
        *,
        every_seconds: float,
    ) -> None:
        """`turn` is held by the shard of this worker that writes; `every_seconds`: it is looked at so often, 0 is never."""
        self._processor, self._store, self._turn, self._metrics = processor, store, turn, metrics
        self._every_seconds = every_seconds

    async def run(self, durable: Callable[[], Awaitable[None]]) -> None:
        """Go on until cancelled. `durable` returns once all that the shard has queued until now is durable."""
        while self._every_seconds:
            await asyncio.sleep(self._every_seconds)
            try:
                async with self._turn:
                    if await self._store.snapshots().is_due(self._processor.book.edition, CHANGED_SHARE_MAX):
                        await self._write(durable)
            except (SnapshotLost, StoreUnavailable) as error:
                _log.warning("snapshot_given_up", shard=self._processor.shard, error=str(error))

    async def _write(self, durable: Callable[[], Awaitable[None]]) -> None:
        began, size, book = time.monotonic(), 0, self._processor.book
        snapshots = self._store.snapshots()
        await snapshots.begin()
        left_out = set(self._processor.unsettled)
        for part in book.packed_in_parts():
            left_out.update(part.left_out)
            await snapshots.add(part.data)
            size += len(part.data)
            await asyncio.sleep(PAUSE_SECONDS)
        await durable()
        await snapshots.finish(book.edition, sorted(left_out), self._store.commits)
        self._metrics.snapshots_written_total.inc()
        _log.info(
            "snapshot_written",
            shard=self._processor.shard,
            bytes=size,
            left_out=len(left_out),
            seconds=round(time.monotonic() - began, 3),
        )
