"""What was told to whom, and dead letters: in Redis, under keys of the notifier's own, so that restarts and replicas share them."""

import hashlib
from collections.abc import Sequence
from enum import StrEnum
from typing import Any

import msgspec
from redis.asyncio import Redis

from streams.desk.notify.desk_notices import Notice

SECONDS_PER_DAY = 86_400


class Suppressed(StrEnum):
    """Why an event that a rule asked for is not told."""

    ALREADY_TOLD = "already_told"
    """The target took it before."""
    SAME_CHANGE = "same_change"
    """The target was told of this change of the episode by another event."""
    EPISODE_OVER = "episode_over"
    """The target was told the end of the episode: an incident is not opened again by an event from before."""
    QUIET = "quiet"
    """The target's quiet hours."""


class DeadLetter(msgspec.Struct, frozen=True):
    """A message that its target did not take."""

    target: str
    notice: Notice
    error: str
    died_ns: int

    @property
    def field(self) -> str:
        """The same for the same message."""
        return f"{self.target}/{self.notice.id}"


class ToldStore:
    """Redis as the notifier uses it; every call is safe to repeat."""

    def __init__(self, client: Redis, prefix: str, remember_days: float) -> None:
        self._redis: Any = client
        self._prefix = f"{prefix}:notify"
        self._seconds = max(1, int(remember_days * SECONDS_PER_DAY))

    async def known(self, target: str, notice: Notice) -> Suppressed | None:
        """Why the target needs not be told; that the episode is over counts only for one that keeps incidents."""
        names = (notice.id, notice.change, _end(notice.episode_id or notice.id))
        pipe = self._redis.pipeline(transaction=False)
        for name in names:
            pipe.get(self._key(target, name))
        told, change, over = await pipe.execute()
        if told is not None:
            return Suppressed.ALREADY_TOLD
        if change is not None:
            return Suppressed.SAME_CHANGE
        return None if over is None else Suppressed.EPISODE_OVER

    async def remember(self, target: str, notices: Sequence[Notice]) -> None:
        """The target took them."""
        names = {name for it in notices for name in (it.id, it.change)}
        names |= {_end(it.episode_id) for it in notices if it.resolved and it.episode_id is not None}
        pipe = self._redis.pipeline(transaction=False)
        for name in names:
            pipe.set(self._key(target, name), b"1", ex=self._seconds)
        await pipe.execute()

    async def bury(self, letter: DeadLetter) -> None:
        """Keep it until it is replayed."""
        await self._redis.hset(f"{self._prefix}:dead", letter.field, msgspec.json.encode(letter))

    async def dead_letters(self) -> list[DeadLetter]:
        """All that are kept, the oldest first."""
        found = await self._redis.hvals(f"{self._prefix}:dead")
        letters = [msgspec.json.decode(it, type=DeadLetter) for it in found]
        return sorted(letters, key=lambda it: it.died_ns)

    async def dead_count(self) -> int:
        """How many are kept."""
        return int(await self._redis.hlen(f"{self._prefix}:dead"))

    async def forget(self, letter: DeadLetter) -> None:
        """It was delivered after all."""
        await self._redis.hdel(f"{self._prefix}:dead", letter.field)

    def _key(self, target: str, name: str) -> str:
        digest = hashlib.sha256(name.encode()).hexdigest()[:32]
        return f"{self._prefix}:told:{target}:{digest}"


def _end(episode_id: str) -> str:
    return f"the end of {episode_id}"
