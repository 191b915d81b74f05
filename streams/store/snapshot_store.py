"""A packed snapshot of a shard's accounts beside their states, so that a new owner need not read every state.

A snapshot is parts of bytes that mean something to a book of the same *edition* alone; to this file they are bytes. It holds at every moment:

    state of an account  =  what is stored, if commits have changed the account since the snapshot's begin, or the snapshot left it out
                            else what the snapshot says

How it is written
-----------------
1. `begin`   from here on each commit notes whom it changes, in the same script
2. `add`     part after part, while commits go on. A part may be ahead of the store: whoever it is ahead of will be noted
3. `finish`  once every commit with a change that a part may have is durable: snapshot and notes take the place of those before, at once

All three are refused to whoever lost the fence. A snapshot that is not finished counts for nothing; the next take-over removes it.

It lies in the same Redis as the states on purpose: a Redis that is restored from an older copy has snapshot, notes and states of one moment.
An owner of an edition without snapshots notes nothing, and with its take-over the snapshot is worth nothing: its token does not vouch.

    unimargin:{shard-N}:snapshot, snapshot-next   list of parts, the last one a `SnapshotEnd`
    unimargin:{shard-N}:changed, changed-next     set of accounts that commits have changed since its begin
    unimargin:{shard-N}:meta                      snapshot: its edition, snapshot_token: of the owner that vouches, snapshot_next: one is begun
"""

from collections.abc import Sequence
from typing import Any
from zlib import crc32

import msgspec
import structlog
from redis.asyncio import Redis

from engine.strict_decoding import UNREADABLE
from streams.store.redis_client import StoreError, bounded, repeat
from streams.store.store_keys import ShardKeys, ShardMeta
from streams.store.store_scripts import script
from streams.store.stored_orders import with_orders

CHANGED_SHARE_MAX = 0.5
"""Of all accounts: where more have changed since the snapshot, reading every state is as fast."""
PARTS_TOGETHER = 16
"""Parts in one answer: about 4 MB."""
NAMES_TOGETHER = 2_000
"""States asked for by name in one call."""
WRITE_FOR_S = 5.0
"""A snapshot can wait: what Redis does not take by then is given up."""

_log = structlog.get_logger()


class SnapshotLost(StoreError):  # noqa: N818 - it names what happened
    """Redis no longer holds what was begun, or the shard is another owner's. Nothing was put in place."""


class SnapshotEnd(msgspec.Struct, frozen=True, array_like=True):
    """The last part."""

    checksums: list[int]
    """CRC-32 of each part before it."""
    left_out: list[str]
    """Accounts that are in no part."""


class Snapshot(msgspec.Struct, frozen=True):
    """What a new owner reads in the place of most states."""

    parts: list[bytes]
    outdated: frozenset[str]
    """Accounts that may be in a part and are to be taken from what is stored."""


_encode = msgspec.msgpack.Encoder().encode
_decode_end = msgspec.msgpack.Decoder(SnapshotEnd).decode


class SnapshotStore:
    """Writes the snapshots of a shard under one ownership of it."""

    def __init__(self, client: Redis, keys: ShardKeys, fence: int, token: str) -> None:
        """`fence` and `token` are those of the take-over."""
        self._keys, self._owner = keys, [fence, token]
        self._redis: Any = client
        self._begin, self._part, self._finish = (
            self._redis.register_script(script(f"snapshot_{name}")) for name in ("begin", "part", "finish")
        )
        self._checksums: list[int] = []

    async def is_due(self, edition: str, changed_share: float) -> bool:
        """Whether there is no snapshot of the edition, or so many of all accounts have changed since. Raises StoreUnavailable."""
        keys = self._keys

        async def read() -> bool:
            pipe = self._redis.pipeline(transaction=True)
            pipe.hget(keys.meta, "snapshot").hlen(keys.accounts).scard(keys.changed)
            written, accounts, changed = await bounded(pipe.execute())
            return bool(accounts) and (
                (written or b"").decode() != edition or changed > changed_share * accounts
            )

        return await repeat(read, "looking at the snapshot", retry_for_s=WRITE_FOR_S)

    async def begin(self) -> None:
        """Begin anew. Raises SnapshotLost or StoreUnavailable; so do the others."""
        keys = self._keys
        self._checksums = []
        await self._call(
            self._begin,
            [keys.fence, keys.meta, keys.snapshot_next, keys.changed_next],
            [],
            "beginning a snapshot",
        )

    async def add(self, part: bytes) -> None:
        """Add the next part."""
        await self._push(part)
        self._checksums.append(crc32(part))

    async def finish(self, edition: str, left_out: list[str], commits: int) -> None:
        """Put it in place; `commits` of this ownership are confirmed, among them all with changes that a part may have."""
        await self._push(_encode(SnapshotEnd(self._checksums, left_out)))
        keys = self._keys
        places = [keys.fence, keys.meta, keys.snapshot, keys.changed, keys.snapshot_next, keys.changed_next]
        await self._call(
            self._finish, places, [commits, len(self._checksums) + 1, edition], "finishing a snapshot"
        )

    async def _push(self, part: bytes) -> None:
        keys = self._keys
        places = [keys.fence, keys.meta, keys.snapshot_next]
        await self._call(self._part, places, [len(self._checksums), part], "writing a snapshot")

    async def _call(self, run: Any, keys: list[str], args: list[Any], what: str) -> None:
        answer = await repeat(
            lambda: bounded(run(keys=keys, args=[*self._owner, *args])), what, retry_for_s=WRITE_FOR_S
        )
        if answer[0] not in {b"ok", b"already"}:
            raise SnapshotLost(f"{what}: {answer[0].decode()}")


async def read_snapshot(client: Any, keys: ShardKeys, meta: ShardMeta, edition: str) -> Snapshot | None:
    """The snapshot, for the owner; None, and a line in the log, where there is none that is of use. Raises what the client does."""
    if not meta.snapshot:
        return None
    why = "it is of another edition of the engine or the policy"
    if meta.snapshot == edition:
        accounts, changed = (
            await bounded(client.hlen(keys.accounts)),
            await bounded(client.scard(keys.changed)),
        )
        why = f"{changed} of {accounts} accounts have changed since"
        if changed <= CHANGED_SHARE_MAX * accounts:
            parts = await _parts(client, keys)
            left_out = _checked(parts)
            if left_out is not None:
                changed_names = await bounded(client.smembers(keys.changed))
                return Snapshot(parts, frozenset([*left_out, *(name.decode() for name in changed_names)]))
            why = "its end is missing, or has other checksums"
    _log.warning("snapshot_not_used", shard=keys.shard, why=why)
    return None


async def _parts(client: Any, keys: ShardKeys) -> list[bytes]:
    parts: list[bytes] = []
    while more := await bounded(client.lrange(keys.snapshot, len(parts), len(parts) + PARTS_TOGETHER - 1)):
        parts += more
    return parts


def _checked(parts: list[bytes]) -> list[str] | None:
    """Take the end off the parts; the accounts that these leave out, None where parts and end do not fit."""
    try:
        end = _decode_end(parts.pop())
    except (IndexError, *UNREADABLE):
        return None
    return end.left_out if end.checksums == list(map(crc32, parts)) else None


async def read_states(client: Any, keys: ShardKeys, names: Sequence[str]) -> dict[str, bytes]:
    """What is stored of these accounts; one that is not there is left out."""
    states: dict[str, bytes] = {}
    for first in range(0, len(names), NAMES_TOGETHER):
        some = names[first : first + NAMES_TOGETHER]
        found = await bounded(client.hmget(keys.accounts, some))
        states |= {name: state for name, state in zip(some, found, strict=True) if state is not None}
    return await with_orders(client, keys, states)
