"""The second copy of a shard's accounts, written in the background into a compacted topic (`streams.contract.account_copy`).

A sweep
-------
1. note how far both inputs are durable, and whom commits have changed since the sweep before
2. read these accounts from Redis as they are now, a portion at a time, and put their copies into the outbox: so they are published by the
   shard's owner alone, in order. A worker copies so many bytes a second; the rest waits
3. once all are published, put a record behind them: every account's newest copy has all inputs below the offsets of step 1. Redis remembers it
A sweep begins at half the time within which every change is to be copied, so that the other half is left for writing it.

Accounts are never deleted, so no copy is ever ended by an empty record here; a reader would honour one.

Whoever takes the shard over knows by what Redis remembers whom to copy: those with an input at or above these offsets, and those that are
stopped, of which it is not told. Is the topic another one, or its begin cut off, or are the inputs others, then everybody.

A copy that Kafka takes for no price (too large) is told. Until a later one of the account is taken, the record of step 3 stays as it was: the
older copies that it speaks of are still there.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from itertools import islice

import msgspec
import structlog
from aiokafka.errors import KafkaError

from engine.inputs import Topic
from engine.ledger.accounts import AccountState, Progress
from engine.ledger.remembering import generations
from streams.contract.account_copy import SHARD_KEY, ShardCovered, copy_entry
from streams.contract.commit import Commit, OutboxEntry
from streams.shards.crash import crash_only
from streams.shards.giving_way import give_way, let_pass
from streams.shards.log_memory import LogMemory
from streams.shards.shard_parts import ShardParts
from streams.store.copy_source import Covered
from streams.store.redis_client import StoreUnavailable
from streams.store.shard_ownership import ShardLost
from streams.store.store_keys import COPIED

FIRST_SWEEP_SECONDS = 10.0
"""After a shard has begun to run here, where nothing of it is covered yet."""
LOOK_SECONDS = 1.0
"""Between two looks whether a sweep is due; also the pause after a service did not answer."""
PORTION_ACCOUNTS_MAX = 32
PORTION_BYTES_MAX = 64 * 1024
"""Copied without giving way: some 2 ms of the event loop. An account alone may be larger."""
PASSED_SECONDS_MAX = 1.0
"""How long a portion lets accounts be judged: a crowd is then through, and a load without end does not keep copies from being written."""
ACCOUNT_BYTES = 1_000
"""About what an account takes without its ids and orders."""
ID_BYTES, ORDER_BYTES = 22, 100
WAITING_ENTRIES_MAX = 1_000
"""While so many events wait for Kafka, copies would only make it worse."""
LOOKED_AT_TOGETHER = 100
"""Some 2 ms of the event loop."""

_log = structlog.get_logger()


class CopyPace:
    """Of all shards of one worker together: one copies at a time, and then the bytes are waited for."""

    def __init__(self, bytes_per_second: float) -> None:
        """Nobody copies."""
        self._bytes_per_second = bytes_per_second
        self._turn = asyncio.Lock()

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[list[int]]:
        """Copy, and put the sizes of what was copied into the list."""
        async with self._turn:
            sizes: list[int] = []
            yield sizes
            await asyncio.sleep(sum(sizes) / self._bytes_per_second)


class AccountCopies:
    """Those of one shard, under one ownership of it."""

    def __init__(
        self,
        parts: ShardParts,
        pace: CopyPace,
        *,
        topic: str,
        within_seconds: float,
    ) -> None:
        """Every change is to be in `topic` within so many seconds; where there is no topic ("") nothing is copied."""
        self._processor, self._store, self._queue, self._relays = (
            parts.processor,
            parts.store,
            parts.queue,
            parts.relays,
        )
        self._standing, self._metrics, self._open_log, self._pace = (
            parts.standing,
            parts.metrics,
            parts.open_log,
            pace,
        )
        self._turn, self.topic, self._within_s = parts.turn, topic, within_seconds
        self._changed: dict[str, None] = {}
        """Since the sweep that is under way, or was last, began."""
        self._left: dict[str, None] = {}
        """Still to be copied in this one."""
        self._refused: dict[str, None] = {}
        """Of this sweep, copies that Kafka has not taken."""
        self._sweep: ShardCovered | None = None
        """What will be so once it is through."""
        self._covered: Covered | None = None
        self._topic_now = ""
        self._since_ns = self._swept_ns = 0
        """Since when nothing is covered, while nothing is; and when the newest sweep began."""
        self._last: OutboxEntry | None = None
        self._durable = asyncio.Event()
        """Whether `_last` is."""

    @property
    def shard(self) -> int:
        """Partition number."""
        return self._processor.shard

    def on_committed(self, commit: Commit) -> None:
        """A commit has become durable."""
        if not self.topic:
            return
        if commit.accounts:
            self._changed.update(dict.fromkeys(commit.accounts))
        if self._last is not None and any(it is self._last for it in commit.outbox):
            self._last = None
            self._durable.set()

    def refused(self, entry: OutboxEntry) -> None:
        """Kafka does not take this copy."""
        if entry.key and entry.key != SHARD_KEY:
            self._refused[entry.key.decode()] = None

    def age_seconds(self) -> float:
        """For how long the oldest change that is not known to be in the topic has been durable; 0 where there is none."""
        covered = self._covered
        if covered is not None and not (
            self._changed or self._left or self._refused or self._has_moved(covered)
        ):
            return 0.0
        since_ns = self._since_ns if covered is None else covered.time_ns
        return max(0.0, (time.time_ns() - since_ns) / 1e9)

    @crash_only
    async def run(self, durable: Callable[[], Awaitable[None]], memory: LogMemory) -> None:
        """Copy until cancelled. `durable` returns once all that was queued until now is; `memory` is of the inputs."""
        if not self.topic:
            return
        self._since_ns = time.time_ns()
        self._metrics.account_state_copy_due_seconds.set(self._within_s)
        self._metrics.account_state_copy_age_seconds.labels(str(self.shard)).set_function(self.age_seconds)
        await asyncio.sleep(min(FIRST_SWEEP_SECONDS, self._within_s / 2))
        while True:
            try:
                if not self._swept_ns:
                    await self._go_on(memory)
                if self._sweep is not None or self._is_due():
                    await self._copy(durable, memory)
            except (StoreUnavailable, KafkaError, OSError) as error:
                _log.warning("account_copies_interrupted", shard=self.shard, error=repr(error))
            except ShardLost:
                return  # whoever commits hears it too
            await asyncio.sleep(LOOK_SECONDS)

    def forget(self) -> None:
        """Its next owner tells from now on."""
        if self._since_ns:
            self._metrics.account_state_copy_age_seconds.remove(str(self.shard))

    def _is_due(self) -> bool:
        """Also after the clock was set back."""
        return not 0 <= time.time_ns() - self._swept_ns < self._within_s / 2 * 1e9

    async def _copy(self, durable: Callable[[], Awaitable[None]], memory: LogMemory) -> None:
        """Begin a sweep, or go on with it."""
        if self._sweep is None:
            self._sweep = await self._begin(durable, memory)
        if self._sweep is not None:
            await self._copy_all()
            await self._conclude(self._sweep)

    async def _go_on(self, memory: LogMemory) -> None:
        """From where the owner before us was: its sweep need not be made again before its time."""
        covered = await self._store.copies().covered()
        self._swept_ns = 1
        if covered is not None and (covered.topic, covered.logs) == (await self._identity(), memory.stored):
            self._since_ns = self._swept_ns = covered.time_ns

    async def _begin(self, durable: Callable[[], Awaitable[None]], memory: LogMemory) -> ShardCovered | None:
        """Note what is to be copied; None where nothing has happened since the last time."""
        now_ns, self._topic_now = time.time_ns(), await self._identity()
        if self._covered is None or self._covered.topic != self._topic_now:
            self._covered = await self._find_changed(self._topic_now, memory.stored)
        # in this order: whoever is counted has been noted
        accounts = await self._store.copies().accounts()
        await durable()
        self._swept_ns = now_ns
        if self._covered is not None and not (
            self._changed or self._refused or self._has_moved(self._covered)
        ):
            return None
        self._left = self._changed | self._refused
        self._changed, self._refused = {}, {}
        reached = self._standing.durable
        return ShardCovered(
            shard=self.shard,
            format=self._store.format,
            fills=reached.get(Topic.FILLS, 0),
            ledger=reached.get(Topic.LEDGER, 0),
            logs=memory.stored,
            accounts=accounts,
            time_ns=now_ns,
        )

    async def _identity(self) -> str:
        """Of the topic, and where its log begins."""
        async with self._open_log() as log:
            identity = await log.identity(self.topic)
            begin, _ = await log.bounds(self.topic, self.shard)
        return f"{identity}@{begin}"

    async def _find_changed(self, topic: str, logs: dict[str, str]) -> Covered | None:
        """Note whom to copy, of those that were changed before we took the shard over; returns what is covered."""
        covered = await self._store.copies().covered()
        if covered is not None and (covered.topic, covered.logs) != (topic, logs):
            covered = None
        every = list(self._processor.book.accounts())
        for first in range(0, len(every), LOOKED_AT_TOGETHER):
            for name in every[first : first + LOOKED_AT_TOGETHER]:
                state = self._processor.state(name)
                if covered is None or state is None or _may_have_changed(state, covered):
                    self._changed[name] = None
            await self._let_judging_pass()
        return covered

    async def _copy_all(self) -> None:
        while self._left:
            if self._relays.waiting >= WAITING_ENTRIES_MAX:
                await asyncio.sleep(LOOK_SECONDS)
                continue
            async with self._pace.turn() as sizes:
                await self._let_judging_pass()
                copied = await self._store.copies().read(self._portion(), self._store.format)
                entries = [copy_entry(self.topic, self.shard, it) for it in copied.values() if it is not None]
                sizes += [len(it.key or b"") + len(it.value) for it in entries]
                await self._say(entries)
                for name in copied:
                    del self._left[name]
            if not copied:
                await asyncio.sleep(LOOK_SECONDS)  # all of them are moving
            self._metrics.account_state_copies_total.inc(len(entries))
            self._metrics.account_state_copied_bytes_total.inc(sum(sizes))

    async def _let_judging_pass(self) -> None:
        """What is said of accounts is worth more than that it is copied soon."""
        await give_way()
        await let_pass(self._turn.locked, PASSED_SECONDS_MAX)

    def _portion(self) -> list[AccountState]:
        """The next accounts to be copied, as they are known here."""
        found, size = list[AccountState](), 0
        for name in islice(self._left, PORTION_ACCOUNTS_MAX):
            state = self._processor.state(name) or AccountState(name)
            size += _about_bytes(state)
            if found and size > PORTION_BYTES_MAX:
                break
            found.append(state)
        return found

    async def _conclude(self, sweep: ShardCovered) -> None:
        """All are in the outbox: once they are published, say so; and remember it once that is published too."""
        await self._relays.drained()
        self._sweep = None
        if self._refused:
            return
        await self._say([copy_entry(self.topic, self.shard, sweep)])
        await self._relays.drained()
        covered = Covered(sweep.fills, sweep.ledger, self._topic_now, sweep.logs, sweep.time_ns)
        await self._store.remember({COPIED: msgspec.json.encode(covered)})
        self._covered = covered
        _log.info(
            "accounts_copied",
            shard=self.shard,
            accounts=sweep.accounts,
            fills=sweep.fills,
            ledger=sweep.ledger,
        )

    async def _say(self, entries: Iterable[OutboxEntry]) -> None:
        """Put these into the outbox; returns once they are in it."""
        outbox = tuple(entries)
        if outbox:
            self._durable.clear()
            self._last = outbox[-1]
            self._queue.add([Commit(outbox=outbox)])
            await self._durable.wait()

    def _has_moved(self, covered: Covered) -> bool:
        reached = self._standing.durable
        return (reached.get(Topic.FILLS, 0), reached.get(Topic.LEDGER, 0)) != (covered.fills, covered.ledger)


def _may_have_changed(state: AccountState, covered: Covered) -> bool:
    """Since then, by its offsets; of one that is stopped they do not tell."""
    places: tuple[tuple[Progress, int], ...] = ((state.fills, covered.fills), (state.ledger, covered.ledger))
    return any(progress.offset >= offset or progress.stop is not None for progress, offset in places)


def _about_bytes(state: AccountState) -> int:
    ids = sum(it.ids for topic in Topic for it in generations(state.progress(topic)))
    return ACCOUNT_BYTES + ID_BYTES * ids + ORDER_BYTES * len(state.orders)
