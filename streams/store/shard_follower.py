"""Following a shard that another owns: what changes in it is read along, nothing is written.

How nothing is missed
---------------------
Every commit leaves an entry in the shard's trail, a Redis stream: its number is fence and commit, its content the accounts that it
changed. Every take-over leaves one too, with its token and that of the owner before. So a follower that stands at an entry reads the
later ones and then those accounts; it may get them newer than the entry says, and reads them again when it comes to that one.

What is followed is one history. The trail is lost, and everything has to be loaded anew, where

* the entry that the follower stands at is gone: so many commits have come since, or Redis was rewound behind it
* a take-over was from another owner than the one followed: Redis was rewound, and the numbers have begun to repeat
* the last entry is not the commit that the meta hash names: an edition without trails has written
"""

from collections.abc import Iterable
from enum import StrEnum
from typing import Any, NamedTuple

import msgspec
from redis.asyncio import Redis

from streams.store.redis_client import SCAN_FIELDS, StoreError, bounded, scan_hash
from streams.store.signs_of_life import Signs, signs_of_life
from streams.store.store_keys import ShardKeys
from streams.store.stored_orders import with_orders

NOWHERE = "0-0"
"""Before the first take-over."""

_names = msgspec.msgpack.Decoder(list[str])


class Role(StrEnum):
    """By what right a shard is owned."""

    WORKER = "worker"
    """The group assigned it."""
    STANDBY = "standby"
    """Its owner was gone; whoever the group assigns it to may have it back."""


class TrailLost(StoreError):  # noqa: N818 - it names what happened
    """What has changed in a followed shard cannot be known; it has to be loaded anew."""


class Changes(NamedTuple):
    """Accounts that changed, as they are stored now."""

    accounts: dict[str, bytes]
    risks: dict[str, bytes]


class ShardFollower:
    """One shard, read by somebody who does not own it. Nothing is repeated: calls raise what the client raises.

    A call that was cut short has changed nothing here and may be made again.
    """

    def __init__(self, client: Redis, shard: int, prefix: str) -> None:
        self._redis: Any = client
        self._shard, self._keys = shard, ShardKeys(prefix, shard)
        self._at = NOWHERE
        self.token = ""
        """Of the owner whose entries are followed; empty where there was none yet."""
        self.life: tuple[str, ...] = ()
        """Changes as long as the owner lives: its token, its newest commit and its count of beats, when last looked at."""

    async def held_by_standby(self) -> bool:
        """Whether whoever owned the shard last stands in for a worker."""
        return bool(await bounded(self._redis.hget(self._keys.meta, "role")) == Role.STANDBY.encode())

    async def signs(self) -> Signs:
        """The owner's signs of life, whoever it is."""
        return await signs_of_life(self._redis, self._keys)

    async def load(self) -> Changes:
        """Everything there is, to follow it from there on."""
        at, token, life, _ = await self._look()
        everything = Changes(
            await with_orders(
                self._redis,
                self._keys,
                {name: state async for name, state in scan_hash(self._redis, self._keys.accounts)},
            ),
            {name: risk async for name, risk in scan_hash(self._redis, self._keys.risks)},
        )
        self._at, self.token, self.life = at, token, life
        return everything

    async def follow(self) -> Changes:
        """What has changed since the last call. Raises TrailLost."""
        at, token, life, entries = await self._look()
        changes = Changes({}, {})
        if (at, token) != (self._at, self.token):
            changes = await self._read(self._changed(at, token, entries))
        self._at, self.token, self.life = at, token, life
        return changes

    async def _look(self) -> tuple[str, str, tuple[str, ...], list[tuple[bytes, dict[bytes, bytes]]]]:
        """Where the owner is, its token, its signs of life, and the trail from where this follower is: all of one moment."""
        pipe = self._redis.pipeline(transaction=True)
        pipe.get(self._keys.fence).hmget(self._keys.meta, "token", "commit", "beat")
        pipe.xrange(self._keys.trail, min=self._at)
        fence, fields, entries = await bounded(pipe.execute())
        token, commit, beat = ((field or b"").decode() for field in fields)
        return f"{int(fence or 0)}-{commit or 0}", token, (token, commit, beat), entries

    def _changed(self, at: str, token: str, entries: list[tuple[bytes, dict[bytes, bytes]]]) -> set[str]:
        """Accounts that the trail from `self._at` to `at` names."""
        if self._at != NOWHERE:
            if not entries or entries[0][0].decode() != self._at:
                raise TrailLost(f"shard {self._shard}: the trail does not hold {self._at} any more")
            entries = entries[1:]
        names: set[str] = set()
        owner = self.token
        for _, fields in entries:
            if b"token" in fields:
                if fields[b"from"].decode() != owner:
                    raise TrailLost(f"shard {self._shard}: taken from an owner who was not followed")
                owner = fields[b"token"].decode()
            else:
                names.update(_names.decode(fields[b"accounts"]))
        if owner != token or not entries or entries[-1][0].decode() != at:
            raise TrailLost(f"shard {self._shard}: the trail does not lead to {at}")
        return names

    async def _read(self, names: Iterable[str]) -> Changes:
        changes = Changes({}, {})
        waiting = sorted(names)
        while waiting:
            part, waiting = waiting[:SCAN_FIELDS], waiting[SCAN_FIELDS:]
            pipe = self._redis.pipeline(transaction=False)
            pipe.hmget(self._keys.accounts, part).hmget(self._keys.risks, part)
            for kept, found in zip(changes, await bounded(pipe.execute()), strict=True):
                kept.update((name, data) for name, data in zip(part, found, strict=True) if data is not None)
        await with_orders(self._redis, self._keys, changes.accounts)
        return changes
