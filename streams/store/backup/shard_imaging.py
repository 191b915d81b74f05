"""An image of one shard at one commit, read while its owner goes on.

How
---
1. note the commit that the shard is at
2. read everything, piece by piece; meanwhile the shard's trail tells which accounts later commits have changed
3. read these again, and again those that were changed meanwhile, until few are left
4. read the last of them together with all else that changes, in one transaction; if no commit has come since the look before it, that
   is the image: every account is as it was at that commit

What was read twice stands twice in the image; the later one counts. A new owner, a lost trail or a rewound Redis begins the shard anew.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from typing import Any

import msgspec
from redis.asyncio import Redis

from engine.ledger.accounts import decode
from engine.ledger.orders_apart import is_apart
from engine.strict_decoding import UNREADABLE
from streams.contract.commit import Lane
from streams.store.backup.backup_file import BackupWriter
from streams.store.backup.backup_records import (
    AccountRecord,
    MarksRecord,
    OutboxRecord,
    OwnerRecord,
    ShardEnd,
)
from streams.store.id_hashes import remembered_keys
from streams.store.redis_client import SCAN_FIELDS, StoreError, bounded
from streams.store.store_format import FORMAT, newer, restoring
from streams.store.store_keys import OUTBOX_HEAD, WITHDRAWN, ShardKeys, ShardMeta, parse_meta

KEYS_TOGETHER = 2_000
"""Read in one answer, of some accounts: a few MB."""
LAST_ACCOUNTS = 500
"""So few are read in the last transaction: about as many as one commit changes."""
OUTBOX_ENTRIES = 1_000
TRIES_MAX = 2_000
"""Last transactions, each of which a commit came in between of: minutes of them."""
ANEW_MAX = 5
SNAPSHOT_FIELDS = (b"snapshot", b"snapshot_token", b"snapshot_next")
"""A snapshot is a faster way to load what is stored; the next owner writes another."""

_names = msgspec.msgpack.Decoder(list[str])


class ShardMoved(StoreError):  # noqa: N818 - it names what happened
    """What was read is of more than one history."""


class ImageRefused(StoreError):  # noqa: N818 - it names what happened
    """The shard cannot be read by this edition, or not now."""


async def image_shard(
    client: Redis, prefix: str, shard: int, writer: BackupWriter, on_accounts: Callable[[int], None]
) -> ShardEnd:
    """Write the image of a shard. Raises ImageRefused, ShardMoved after some attempts, and what the client raises."""
    writer.begin()
    for attempt in range(1, ANEW_MAX + 1):
        try:
            return await _Imaging(client, ShardKeys(prefix, shard), writer, on_accounts).run()
        except ShardMoved:
            if attempt == ANEW_MAX:
                raise
            writer.begin_again()
    raise AssertionError("unreachable")


class _Imaging:
    """One attempt."""

    def __init__(
        self, client: Redis, keys: ShardKeys, writer: BackupWriter, on_accounts: Callable[[int], None]
    ) -> None:
        self._redis: Any = client
        self._keys, self._writer, self._on_accounts = keys, writer, on_accounts
        self._owner: tuple[object, ...] | None = None
        self._at = ""
        self._changed: set[str] = set()
        self._next = dict.fromkeys(Lane, 0)
        """Of each lane the number of the next entry to read, counted as its head is."""
        self._first = dict.fromkeys(Lane, 0)
        """The head of the first entry that was read."""

    async def run(self) -> ShardEnd:
        """Read and write all."""
        meta = await self._look()
        self._next, self._first = dict(meta.outbox_heads), dict(meta.outbox_heads)
        async for states in self._scan(self._keys.accounts):
            for some in self._in_parts(states):
                await self._write_accounts(some, again=False)
            self._on_accounts(len(states))
            await self._look()
        async for risks in self._scan(self._keys.risks):
            await self._write_bare_risks(list(risks))
        async for marks in self._scan(self._keys.marks):
            record = MarksRecord([part for item in marks.items() for part in (item[0].encode(), item[1])])
            if marks:
                self._writer.add(record, sum(map(len, record.marks)))
        for _ in range(TRIES_MAX):
            end = await self._conclude()
            if end is not None:
                return end
            await asyncio.sleep(0)
        raise ShardMoved(f"shard {self._keys.shard}: it changed faster than it could be read")

    async def _look(self) -> ShardMeta:
        """Where the owner is; the accounts that were changed since the last look are noted. Raises ShardMoved and ImageRefused."""
        pipe = self._redis.pipeline(transaction=True)
        pipe.get(self._keys.fence).hgetall(self._keys.meta).xrange(self._keys.trail, min=self._at or "-")
        if not self._at:
            pipe = self._redis.pipeline(transaction=True)
            pipe.get(self._keys.fence).hgetall(self._keys.meta)
        fence, fields, *entries = await bounded(pipe.execute())
        return self._stands(int(fence or 0), fields, entries[0] if entries else [])

    def _stands(self, fence: int, fields: dict[bytes, bytes], entries: list[Any]) -> ShardMeta:
        shard, meta = self._keys.shard, parse_meta(fence, fields)
        if (backup := fields.get(b"restoring")) is not None:
            raise ImageRefused(f"shard {shard}: {restoring(backup.decode(errors='replace'))}")
        if meta.format > FORMAT:
            raise ImageRefused(f"shard {shard}: {newer(str(meta.format))}")
        owner = (fence, fields.get(b"token"), *(fields.get(f"{WITHDRAWN}{lane}".encode()) for lane in Lane))
        at = f"{fence}-{meta.commit}"
        if self._owner is None:
            self._owner, self._at = owner, at
        if owner != self._owner:
            raise ShardMoved(f"shard {shard}: it was taken over while it was read")
        if at != self._at:
            if not entries or (entries[0][0].decode(), entries[-1][0].decode()) != (self._at, at):
                raise ShardMoved(f"shard {shard}: its trail does not lead from {self._at} to {at}")
            for _, entry in entries[1:]:
                self._changed.update(_names.decode(entry[b"accounts"]))
            self._at = at
        return meta

    async def _conclude(self) -> ShardEnd | None:
        """Read what is left; the end where the shard stood still meanwhile, else None: then there is more."""
        for lane in Lane:
            await self._read_outbox(lane)
        before = await self._look()
        while len(self._changed) > LAST_ACCOUNTS:
            some = sorted(self._changed)[:LAST_ACCOUNTS]
            self._changed.difference_update(some)
            for part in self._in_parts(await self._states(some)):
                await self._write_accounts(part, again=True)
            before = await self._look()
        last, self._changed = sorted(self._changed), set()
        parts = list(self._in_parts(await self._states(last)))
        for part in parts[:-1]:
            await self._write_accounts(part, again=True)
        pipe = self._redis.pipeline(transaction=True)
        pipe.get(self._keys.fence).hgetall(self._keys.meta).xrange(self._keys.trail, min=self._at)
        pipe.get(self._keys.breaker).get(self._keys.adl).hlen(self._keys.accounts)
        for lane, key in self._keys.outboxes.items():
            pipe.lrange(key, max(0, self._next[lane] - before.outbox_heads[lane]), -1)
        reads = [self._ask(pipe, part) for part in parts[-1:]]
        fence, fields, entries, breaker, adl, accounts, *answers = await bounded(pipe.execute())
        at = self._at
        meta = self._stands(int(fence or 0), fields, entries)
        for part, keys in zip(parts[-1:], reads, strict=True):
            self._add_accounts(part, keys, answers[len(Lane) :], again=True)
        late = any(self._next[lane] < before.outbox_heads[lane] for lane in Lane)
        if at != self._at or late or meta.outbox_heads != before.outbox_heads:
            return None
        for lane, entries_left in zip(self._keys.outboxes, answers, strict=False):
            cut = meta.outbox_heads[lane] - self._first[lane]
            self._add_outbox(OutboxRecord(lane, cleared=False, entries=entries_left, cut=cut))
        kept = [part for it in fields.items() if it[0] not in SNAPSHOT_FIELDS for part in it]
        self._writer.add(OwnerRecord(meta.fence, kept, breaker, adl), sum(map(len, kept)))
        end = ShardEnd(
            shard=self._keys.shard,
            fence=meta.fence,
            commit=meta.commit,
            format=meta.format,
            accounts=accounts,
            watermarks=meta.watermarks,
            logs=meta.logs,
            sha256="",
        )
        return self._writer.end(end)

    async def _read_outbox(self, lane: Lane) -> None:
        """Read what was not read of a lane, as far as there is much of it."""
        key, head_field = self._keys.outboxes[lane], OUTBOX_HEAD[lane]
        while True:
            head = int(await bounded(self._redis.hget(self._keys.meta, head_field)) or 0)
            if head > self._next[lane]:  # published before it was read
                self._next[lane] = self._first[lane] = head
                self._add_outbox(OutboxRecord(lane, cleared=True, entries=[], cut=0))
            first = self._next[lane] - head
            pipe = self._redis.pipeline(transaction=True)
            pipe.hget(self._keys.meta, head_field).lrange(key, first, first + OUTBOX_ENTRIES - 1)
            now, entries = await bounded(pipe.execute())
            if int(now or 0) != head:
                continue
            if len(entries) < OUTBOX_ENTRIES:
                return
            self._add_outbox(OutboxRecord(lane, cleared=False, entries=entries, cut=0))
            self._next[lane] += len(entries)

    def _add_outbox(self, record: OutboxRecord) -> None:
        if record.entries or record.cut or record.cleared:
            self._writer.add(record, sum(map(len, record.entries)))

    async def _scan(self, key: str) -> AsyncIterator[dict[str, bytes]]:
        cursor = 0
        while True:
            cursor, chunk = await bounded(self._redis.hscan(key, cursor=cursor, count=SCAN_FIELDS))
            yield {name.decode(): value for name, value in chunk.items()}
            if cursor == 0:
                return

    async def _states(self, names: list[str]) -> dict[str, bytes | None]:
        if not names:
            return {}
        found = await bounded(self._redis.hmget(self._keys.accounts, names))
        return dict(zip(names, found, strict=True))

    async def _write_bare_risks(self, names: list[str]) -> None:
        bare = [name for name, state in (await self._states(names)).items() if state is None]
        if bare:
            await self._write_accounts(dict.fromkeys(bare), again=False)

    def _in_parts(self, states: Any) -> Iterator[dict[str, bytes | None]]:
        """The accounts, as many together as lie under `KEYS_TOGETHER` keys."""
        part: dict[str, bytes | None] = {}
        count = 0
        for name, state in states.items():
            own = sum(map(len, self._places(state)))
            if part and count + own > KEYS_TOGETHER:
                yield part
                part, count = {}, 0
            part[name] = state
            count += own + 1
        if part:
            yield part

    def _places(self, state: bytes | None) -> tuple[list[str], list[str], list[str]]:
        """Keys of the account beside its state: orders, hashes of ids, lists of ids."""
        if state is None:
            return [], [], []
        try:
            read = decode(state)
        except UNREADABLE as error:
            raise ImageRefused(f"shard {self._keys.shard}: a state cannot be read: {error}") from None
        hashes, lists = remembered_keys(self._keys, read)
        return ([self._keys.orders(read.account)] if is_apart(state) else []), hashes, lists

    async def _write_accounts(self, states: dict[str, bytes | None], *, again: bool) -> None:
        pipe = self._redis.pipeline(transaction=False)
        places = self._ask(pipe, states)
        self._add_accounts(states, places, await bounded(pipe.execute()), again=again)

    def _ask(
        self, pipe: Any, states: dict[str, bytes | None]
    ) -> list[tuple[list[str], list[str], list[str]]]:
        """Queue the reading of these accounts: states, risk records, then the keys of each."""
        pipe.hmget(self._keys.accounts, list(states)).hmget(self._keys.risks, list(states))
        places = [self._places(state) for state in states.values()]
        for orders, hashes, lists in places:
            for key in (*orders, *hashes):
                pipe.hgetall(key)
            for key in lists:
                pipe.lrange(key, 0, -1)
        return places

    def _add_accounts(
        self,
        states: dict[str, bytes | None],
        places: list[tuple[list[str], list[str], list[str]]],
        answers: Iterable[Any],
        *,
        again: bool,
    ) -> None:
        told = iter(answers)
        now, risks = next(told), next(told)
        below = len(self._keys.root) + 1
        for name, state, risk, (orders, hashes, lists) in zip(states, now, risks, places, strict=True):
            resting = [part for _ in orders for it in next(told).items() for part in it]
            ids = {key[below:]: [part for it in next(told).items() for part in it] for key in hashes}
            listed = {key[below:]: next(told) for key in lists}
            record = AccountRecord(
                name,
                state,
                risk,
                resting,
                {key: it for key, it in ids.items() if it},
                {key: it for key, it in listed.items() if it},
                again,
            )
            size = len(state or b"") + len(risk or b"") + sum(map(len, resting))
            self._writer.add(record, size + 24 * sum(map(len, ids.values())) + 100)
