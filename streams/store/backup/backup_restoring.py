"""Writing what a backup says into Redis, for workers that start afterwards.

Each shard is marked as being restored before anything is written, and has no fence: whoever would take it over is refused, and so is every
script of an owner from before. The marks go at the very end, so that a restore that was cut short is seen, and is done again.
"""

import asyncio
import re
from collections.abc import Callable, Iterable
from itertools import chain
from typing import Any, BinaryIO

import msgspec
from redis.asyncio import Redis
from redis.exceptions import WatchError

from engine.ledger.accounts import decode
from streams.store.backup.backup_file import BackupReader
from streams.store.backup.backup_records import (
    AccountRecord,
    BackupHeader,
    MarksRecord,
    OutboxRecord,
    OwnerRecord,
    ShardEnd,
    ShardRecord,
)
from streams.store.format_store import FormatInForce, format_key
from streams.store.id_hashes import remembered_keys
from streams.store.policy_store import in_force_key, versions_key
from streams.store.redis_client import StoreError, bounded, scan_keys
from streams.store.store_format import FORMAT_FIRST
from streams.store.store_keys import ShardKeys

LISTEN_SECONDS = 2.5
"""An owner says twice a second that it lives."""
COMMANDS_TOGETHER = 500
BYTES_TOGETHER = 1 << 20


class RestoreRefused(StoreError):  # noqa: N818 - it names what happened
    """Redis is in use, or another policy is in force there."""


class Found(msgspec.Struct, frozen=True):
    """A shard that has keys in Redis."""

    shard: int
    owner: str
    restoring: bool
    """Whether a restore was cut short here."""
    life: tuple[bytes | None, ...]
    """Fence, token, number of the commit and count of beats: they change as long as an owner lives."""


async def look_around(client: Redis, prefix: str) -> list[Found]:
    """Every shard that has any key, once no owner has given a sign of life for `LISTEN_SECONDS`. Raises RestoreRefused."""
    before = await _found(client, prefix)
    if before:
        await asyncio.sleep(LISTEN_SECONDS)
    after = await _found(client, prefix)
    lives = {it.shard: it.life for it in before}
    alive = [it for it in after if lives.get(it.shard) != it.life]
    if alive:
        named = ", ".join(f"{it.shard} (owner {it.owner or 'unknown'})" for it in alive)
        raise RestoreRefused(
            f"these shards are owned by a worker that lives: {named}. Stop every worker and standby"
        )
    return after


async def check_policy(client: Redis, prefix: str, header: BackupHeader, *, replace: bool) -> None:
    """Refuse where another policy is in force than at the backup. Raises RestoreRefused."""
    any_client: Any = client
    now = await bounded(any_client.get(in_force_key(prefix)))
    if now is not None and header.policy is not None and now.decode() != header.policy and not replace:
        raise RestoreRefused(
            "another policy is in force in Redis than at the backup; --replace puts that of the backup in force"
        )


async def restore(
    client: Redis,
    prefix: str,
    file: BinaryIO,
    found: Iterable[Found],
    on_accounts: Callable[[int], None],
) -> list[ShardEnd]:
    """Put the backup in the place of all that the shards hold. Raises RestoreRefused, BackupDamaged and what the client raises.

    `found` is what `look_around` has just seen.
    """
    reader = BackupReader(file)
    lives = {it.shard: it.life for it in found}
    shards = sorted({*lives, *reader.header.shards})
    for shard in shards:
        await _mark(client, ShardKeys(prefix, shard), lives.get(shard), str(reader.header.created_ns))
    for shard in shards:
        await _empty(client, ShardKeys(prefix, shard))
    ends, owners = await _write_records(client, prefix, reader, on_accounts)
    await _restore_policies(client, prefix, reader.header)
    await _restore_format(client, prefix, reader.header)
    for shard in shards:
        await _unmark(client, ShardKeys(prefix, shard), owners.get(shard))
    return ends


async def _found(client: Redis, prefix: str) -> list[Found]:
    any_client: Any = client
    shard_of = re.compile(re.escape(f"{prefix}:{{shard-").encode() + rb"([0-9]+)\}:")
    numbers: set[int] = set()
    async for keys in scan_keys(client, f"{_escaped(prefix)}:{{shard-*"):
        numbers.update(int(it[1]) for key in keys if (it := shard_of.match(key)))
    found = []
    for shard in sorted(numbers):
        pipe = any_client.pipeline(transaction=True)
        own = ShardKeys(prefix, shard)
        pipe.get(own.fence).hmget(own.meta, "token", "commit", "beat", "owner", "restoring")
        fence, (token, commit, beat, owner, restoring) = await bounded(pipe.execute())
        life = (fence, token, commit, beat)
        found.append(Found(shard, (owner or b"").decode(errors="replace"), restoring is not None, life))
    return found


def _escaped(text: str) -> str:
    return re.sub(r"([*?\[\]\\^])", r"\\\1", text)


async def _mark(client: Redis, keys: ShardKeys, life: tuple[bytes | None, ...] | None, backup: str) -> None:
    """Take the shard from everybody. Raises RestoreRefused where somebody has come since it was looked at."""
    any_client: Any = client
    try:
        async with any_client.pipeline(transaction=True) as pipe:
            await bounded(pipe.watch(keys.fence, keys.meta))
            fence = await bounded(pipe.get(keys.fence))
            now = (fence, *await bounded(pipe.hmget(keys.meta, "token", "commit", "beat")))
            if now == (life or (None, None, None, None)):
                pipe.multi()
                pipe.delete(keys.fence, keys.meta)
                pipe.hset(keys.meta, "restoring", backup)
                await bounded(pipe.execute())
                return
    except WatchError:
        pass
    raise RestoreRefused(
        f"a worker has come for shard {keys.shard} just now: stop every worker and standby, and restore again"
    )


async def _empty(client: Redis, keys: ShardKeys) -> None:
    """Remove all keys of the shard but the mark."""
    any_client: Any = client
    mark = keys.meta.encode()
    async for some in scan_keys(client, f"{_escaped(keys.root)}:*"):
        if doomed := [key for key in some if key != mark]:
            await bounded(any_client.unlink(*doomed))


async def _write_records(
    client: Redis, prefix: str, reader: BackupReader, on_accounts: Callable[[int], None]
) -> tuple[list[ShardEnd], dict[int, OwnerRecord]]:
    ends: list[ShardEnd] = []
    owners: dict[int, OwnerRecord] = {}
    shards = iter(reader.header.shards)
    writing = _Writing(client, ShardKeys(prefix, next(shards, 0)))
    for record in reader.records():
        if isinstance(record, ShardEnd):
            await writing.flush()
            ends.append(record)
            writing = _Writing(client, ShardKeys(prefix, next(shards, 0)))
        elif isinstance(record, OwnerRecord):
            owners[writing.keys.shard] = record
            writing.add_owner(record)
        else:
            await writing.add(record)
            on_accounts(isinstance(record, AccountRecord) and not record.again)
    return ends, owners


async def _restore_policies(client: Redis, prefix: str, header: BackupHeader) -> None:
    pipe: Any = client.pipeline(transaction=True)
    for digest, policy in header.policies.items():
        pipe.hsetnx(versions_key(prefix), digest, policy)
    if header.policy is not None:
        pipe.set(in_force_key(prefix), header.policy)
    await bounded(pipe.execute())


async def _restore_format(client: Redis, prefix: str, header: BackupHeader) -> None:
    """What was in force then: with an older backup one goes back to an older edition."""
    any_client: Any = client
    if header.format == FORMAT_FIRST:
        await bounded(any_client.delete(format_key(prefix)))
        return
    restored = FormatInForce(header.format, header.created_ns, "backup restore", "as of the backup")
    await bounded(any_client.set(format_key(prefix), msgspec.json.encode(restored)))


async def _unmark(client: Redis, keys: ShardKeys, owner: OwnerRecord | None) -> None:
    """From here on a worker may take the shard over; one that the backup does not know is left empty."""
    pipe: Any = client.pipeline(transaction=True)
    pipe.delete(keys.meta)
    if owner is not None:
        pipe.hset(keys.meta, mapping=_pairs(owner.meta))
        pipe.set(keys.fence, owner.fence)
    await bounded(pipe.execute())


class _Writing:
    """The records of one shard, some commands at a time."""

    def __init__(self, client: Redis, keys: ShardKeys) -> None:
        self.keys = keys
        self._redis: Any = client
        self._pipe = self._redis.pipeline(transaction=False)
        self._bytes = 0

    async def add(self, record: ShardRecord) -> None:
        """Write a record, now or with later ones."""
        match record:
            case AccountRecord():
                await self._add_account(record)
            case MarksRecord():
                self._hset(self.keys.marks, record.marks)
            case OutboxRecord():
                self._add_outbox(record)
        if self._bytes > BYTES_TOGETHER or len(self._pipe) > COMMANDS_TOGETHER:
            await self.flush()

    def add_owner(self, owner: OwnerRecord) -> None:
        """What else the last record says, but whose the shard is: that ends the restore."""
        for key, state in ((self.keys.breaker, owner.breaker), (self.keys.adl, owner.adl)):
            if state is not None:
                self._pipe.set(key, state)

    async def flush(self) -> None:
        """Write what waits."""
        if len(self._pipe):
            await bounded(self._pipe.execute())
        self._bytes = 0

    async def _add_account(self, record: AccountRecord) -> None:
        keys, name = self.keys, record.account
        if record.again:
            await self.flush()
            if (before := await bounded(self._redis.hget(keys.accounts, name))) is not None:
                self._pipe.unlink(keys.orders(name), *chain(*remembered_keys(keys, decode(before))))
        for key, data in ((keys.accounts, record.state), (keys.risks, record.risk)):
            if data is None:
                self._pipe.hdel(key, name)
            else:
                self._hset(key, [name.encode(), data])
        if record.orders:
            self._hset(keys.orders(name), record.orders)
        for below, ids in record.ids.items():
            self._hset(f"{keys.root}:{below}", ids)
        for below, ids in record.listed.items():
            self._pipe.rpush(f"{keys.root}:{below}", *ids)
            self._bytes += sum(map(len, ids))

    def _add_outbox(self, record: OutboxRecord) -> None:
        key = self.keys.outboxes[record.lane]
        if record.cleared:
            self._pipe.unlink(key)
        if record.entries:
            self._pipe.rpush(key, *record.entries)
            self._bytes += sum(map(len, record.entries))
        if record.cut:
            self._pipe.ltrim(key, record.cut, -1)

    def _hset(self, key: str, flat: list[bytes]) -> None:
        self._pipe.hset(key, mapping=_pairs(flat))
        self._bytes += sum(map(len, flat))


def _pairs(flat: list[bytes]) -> dict[Any, Any]:
    return dict(zip(flat[::2], flat[1::2], strict=True))
