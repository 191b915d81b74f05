"""Who is near a line, since when, and whether it was told: in Redis, so that a restart and another replica go on from there.

One process watches at a time, the one that holds the lock; the others wait for it to fall silent. Two that watch at once, because one
was paused, tell under the same ids, which hang on `since_ns`, and that is kept by the first.
"""

from collections.abc import Mapping
from typing import Any, Protocol

import msgspec
from redis.asyncio import Redis
from redis.asyncio.lock import Lock
from redis.exceptions import LockError

from streams.store.redis_client import scan_hash

LOCK_SECONDS = 5.0
"""Held for so long without a sign of life."""


class NearRecord(msgspec.Struct, frozen=True):
    """An account's pool near a line."""

    since_ns: int
    told: bool = False
    """Every target took it, or it was suppressed for a counted reason."""


class NearKeeper(Protocol):
    """Where it is kept."""

    async def hold(self) -> bool:
        """Take the watch, or say that it is still held here."""

    async def let_go(self) -> None:
        """Another may watch at once."""

    async def records(self) -> Mapping[str, NearRecord]:
        """All that are kept, by name."""

    async def begin(self, name: str, since_ns: int) -> NearRecord:
        """Keep that it is near since then; if it is kept already, that."""

    async def told(self, name: str, record: NearRecord) -> None:
        """The targets know."""

    async def end(self, name: str) -> None:
        """It is near no more, and the targets know."""


class NearMemory:
    """A keeper that keeps nothing, for a watch that tells nobody."""

    async def hold(self) -> bool:
        """See `NearKeeper`."""
        return True

    async def let_go(self) -> None:
        """See `NearKeeper`."""

    async def records(self) -> Mapping[str, NearRecord]:
        """See `NearKeeper`."""
        return {}

    async def begin(self, name: str, since_ns: int) -> NearRecord:
        """See `NearKeeper`."""
        del name
        return NearRecord(since_ns)

    async def told(self, name: str, record: NearRecord) -> None:
        """See `NearKeeper`."""

    async def end(self, name: str) -> None:
        """See `NearKeeper`."""


class NearStore:
    """A keeper in Redis; every call is safe to repeat."""

    def __init__(self, client: Redis, prefix: str) -> None:
        self._redis: Any = client
        self._key = f"{prefix}:notify:near"
        self._lock = Lock(client, f"{prefix}:notify:watch", timeout=LOCK_SECONDS, blocking=False)

    async def hold(self) -> bool:
        """See `NearKeeper`."""
        try:
            if await self._lock.owned():
                await self._lock.reacquire()
                return True
            return bool(await self._lock.acquire())
        except LockError:
            return False

    async def let_go(self) -> None:
        """See `NearKeeper`."""
        if await self._lock.owned():
            await self._lock.release()

    async def records(self) -> Mapping[str, NearRecord]:
        """See `NearKeeper`."""
        return {
            name: msgspec.json.decode(data, type=NearRecord)
            async for name, data in scan_hash(self._redis, self._key)
        }

    async def begin(self, name: str, since_ns: int) -> NearRecord:
        """See `NearKeeper`."""
        await self._redis.hsetnx(self._key, name, msgspec.json.encode(NearRecord(since_ns)))
        data = await self._redis.hget(self._key, name)
        return NearRecord(since_ns) if data is None else msgspec.json.decode(data, type=NearRecord)

    async def told(self, name: str, record: NearRecord) -> None:
        """See `NearKeeper`."""
        await self._redis.hset(self._key, name, msgspec.json.encode(NearRecord(record.since_ns, told=True)))

    async def end(self, name: str) -> None:
        """See `NearKeeper`."""
        await self._redis.hdel(self._key, name)
