"""Workers listen to each other: an owner that falls silent is taken out of the group, so that its shards are given away at once.

What it saves: the group knows of a kill -9 only when the session of the dead runs out. Every owner counts beats in Redis twice a second
(`streams.worker.worker_loops`), so the others know within the patience.

    hear      the signs of life of every shard's owner, every quarter of a second; silence counts by our own clock, and only where we
              have heard the owner before: who never spoke (a shard that stands still, a restore) cannot fall silent
    conclude  an owner is gone when *all* shards that are its own by Redis have been silent for the patience
    act       take its member out of the group, once for each ownership; whoever is given its shards takes their fences

Safe whatever is concluded: the fence in Redis decides who may write, and membership only who tries. A worker that was merely paused finds
itself fenced, joins again, and costs the others a rebalance.

Rejected: a shorter session (the broker measures it by heartbeats of a thread that a busy machine starves, and 3 s of it end workers that
live; and it is the broker's clock, not the shard's silence, that counts then); standing in without the group until it has caught up (two
authorities over who has a shard, and offsets committed for partitions that are somebody else's); following every shard as a standby does (a
third of the processor time of its owner).
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from collections.abc import Set as AbstractSet

import structlog
from aiokafka.errors import KafkaError
from redis.exceptions import RedisError

from streams.shards.succession import LOOK_SECONDS, Silence
from streams.store.redis_client import passes
from streams.store.signs_of_life import Signs

RETRY_SECONDS = 2.0
"""After a removal that the broker did not do; the session's timeout goes on meanwhile."""

_log = structlog.get_logger()


class Vigil:
    """One worker's, over all shards."""

    def __init__(
        self,
        own_id: str,
        hear: Callable[[], Awaitable[Sequence[Signs]]],
        remove: Callable[[AbstractSet[str]], Awaitable[list[str]]],
        *,
        patience_seconds: float,
    ) -> None:
        """`hear` tells the signs of life of every shard; `remove` takes members out of the group by their client ids."""
        self._own_id, self._hear, self._remove = own_id, hear, remove
        self._patience_s = patience_seconds
        self._watches: dict[int, _Watch] = {}

    async def run(self) -> None:
        """Keep it until cancelled."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            try:
                signs = await self._hear()
            except (RedisError, OSError) as error:
                if not passes(error):
                    raise
                for watch in self._watches.values():
                    watch.silence.deafen()
                continue
            gone = self.gone(signs, time.monotonic())
            if gone:
                await self._act(gone)

    def gone(self, signs: Sequence[Signs], now_s: float) -> frozenset[str]:
        """Take what is heard at `now_s`, on a clock that never goes back; returns owners that are gone and were not told as gone before."""
        for shard, heard in enumerate(signs):
            watch = self._watches.get(shard)
            if watch is None or watch.signs.token != heard.token:
                watch = self._watches[shard] = _Watch(heard)
            watch.look(heard, now_s)
        by_owner: dict[str, list[_Watch]] = {}
        for watch in self._watches.values():
            by_owner.setdefault(watch.signs.owner, []).append(watch)
        return frozenset(
            owner
            for owner, watches in by_owner.items()
            if owner != self._own_id
            and all(it.was_heard and it.silence.seconds >= self._patience_s for it in watches)
            and not all(it.told for it in watches)
        )

    async def _act(self, gone: frozenset[str]) -> None:
        try:
            removed = await self._remove(gone)
        except (KafkaError, OSError) as error:  # a timeout is an OSError too
            _log.warning("silent_owner_not_removed", owners=sorted(gone), error=repr(error))
            await asyncio.sleep(RETRY_SECONDS)
            return
        for watch in self._watches.values():
            watch.told |= watch.signs.owner in gone
        _log.warning("silent_owner_removed", owners=sorted(gone), members=removed)


class _Watch:
    """Over one ownership of one shard."""

    def __init__(self, signs: Signs) -> None:
        self.signs, self.silence = signs, Silence()
        self.was_heard = self.told = False

    def look(self, signs: Signs, now_s: float) -> None:
        self.was_heard |= signs.life != self.signs.life
        self.signs = signs
        self.silence.look(signs.life, now_s)
