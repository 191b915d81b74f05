"""A copy in memory of what the workers left of every shard, kept up to date beside Redis.

Why a copy: a request must cost Redis nothing. However many clients ask, Redis is read once a `refresh_s`, and only what has changed:
every shard is followed by its trail (`streams.store.shard_follower`), as a standby does. A shard whose trail is lost is loaded anew.

Freshness: `refreshed_ns` says when the copy last agreed with Redis. While Redis is away it stands still, and whoever answers from it
has to look at `age_s`.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from typing import Any, NamedTuple, TypeVar

import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError

from engine.events.effects import AccountRisk
from engine.inputs import Mark
from engine.ledger.accounts import AccountState
from engine.strict_decoding import UNREADABLE
from streams.config.problem import Problem
from streams.store.belief_store import read_beliefs
from streams.store.redis_access import read_risk, read_state, saved_marks, shard_count
from streams.store.redis_client import StoreError
from streams.store.shard_follower import Changes, ShardFollower, TrailLost
from streams.store.store_reader import StoredAccount, StoreReader

BACKOFF_SECONDS_MAX = 1.0
"""Between attempts while Redis is away: a person waits for the board to come back."""

COUNT_SECONDS = 2.0
"""How often it is looked whether there are more shards: that takes hundreds of small questions, and happens once in a deployment."""

_log = structlog.get_logger()
_T = TypeVar("_T")


class Entry(NamedTuple):
    """One account: what is stored of it, and its risk record decoded. One value, so that a reader in another thread gets both of one time."""

    state: bytes
    risk_record: bytes | None
    risk: AccountRisk | None
    """None where nothing was ever said of it, and where its record cannot be read."""

    def read(self, account: str) -> tuple[AccountState, AccountRisk]:
        """Both decoded. Raises `Problem` for what this version cannot read."""
        return read_state(account, self.state), self.risk or read_risk(account, self.risk_record)


def _risk_of(account: str, data: bytes) -> AccountRisk | None:
    try:
        return read_risk(account, data)
    except Problem as problem:
        # one account's misfortune: all others are answered for
        _log.warning("copy_record_unreadable", problem=str(problem))
        return None


class ShardCopy:
    """One shard as it was when it was last read."""

    def __init__(self) -> None:
        """Nothing is known."""
        self.entries: dict[str, Entry] = {}
        self.marks: list[Mark] = []
        self.breaker: bytes | None = None
        self.adl: bytes | None = None
        self.watermarks: Mapping[str, int] = {}
        """By input topic, an offset below which every input is in the entries."""

    def take(self, changes: Changes) -> None:
        """Take what has changed. A risk record that this version cannot read is kept, and takes its account out of every list."""
        told = {account: (data, _risk_of(account, data)) for account, data in changes.risks.items()}
        for account in {**changes.accounts, **told}:
            held = self.entries.get(account)
            state = changes.accounts.get(account) or (held.state if held else None)
            if state is None:
                continue
            before = (held.risk_record, held.risk) if held else (None, None)
            self.entries[account] = Entry(state, *told.get(account, before))

    def frozen(self) -> "ShardCopy":
        """The same as it is now, which nobody changes any more."""
        it = ShardCopy()
        it.watermarks = self.watermarks
        it.entries, it.marks = dict(self.entries), self.marks
        it.breaker, it.adl = self.breaker, self.adl
        return it


class CopiedBook:
    """`streams.answers.shelf.Shelf` from memory. None of its coroutines waits, so `at_once` may run them in any thread."""

    def __init__(self, shards: list[ShardCopy], beliefs: Mapping[str, bytes], refreshed_ns: int) -> None:
        """Shards and beliefs as they were at `refreshed_ns`."""
        self.shards = shards
        self._beliefs = beliefs
        self.refreshed_ns = refreshed_ns
        """When it last agreed with Redis (Unix ns); 0 before that."""
        self.problem = ""
        """Why it is not up to date; "" while it is."""

    def frozen(self) -> "CopiedBook":
        """The same as it is now, which nobody changes any more: for questions that walk over all accounts."""
        refreshed_ns = self.refreshed_ns
        return CopiedBook([it.frozen() for it in list(self.shards)], self._beliefs, refreshed_ns)

    def now_ns(self) -> int:
        """See `Shelf`."""
        return time.time_ns()

    @property
    def age_s(self) -> float:
        """Seconds since it agreed with what it is a copy of."""
        return 0.0

    @property
    def account_count(self) -> int:
        """Accounts of all shards."""
        return sum(len(it.entries) for it in self.shards)

    def entry(self, account: str) -> tuple[int, Entry] | None:
        """The shard that has an account, and what is known of it."""
        for shard, copy in enumerate(self.shards):
            held = copy.entries.get(account)
            if held is not None:
                return shard, held
        return None

    async def shard_count(self) -> int:
        """See `Shelf`."""
        return len(self.shards)

    async def account(self, account: str) -> StoredAccount | None:
        """See `Shelf`."""
        found = self.entry(account)
        return None if found is None else StoredAccount(found[0], found[1].state, found[1].risk_record)

    async def accounts(self, shard: int) -> AsyncIterator[tuple[str, bytes]]:
        """See `Shelf`; each comes once."""
        for account, held in dict(self.shards[shard].entries).items():
            yield account, held.state

    async def risks(self, shard: int) -> Mapping[str, AccountRisk]:
        """See `Shelf`."""
        entries = dict(self.shards[shard].entries)
        return {account: it.risk for account, it in entries.items() if it.risk is not None}

    async def marks(self, shard: int) -> list[Mark]:
        """See `Shelf`."""
        return self.shards[shard].marks

    async def breaker(self, shard: int) -> bytes | None:
        """See `Shelf`."""
        return self.shards[shard].breaker

    async def adl(self, shard: int) -> bytes | None:
        """See `Shelf`."""
        return self.shards[shard].adl

    async def beliefs(self) -> Mapping[str, bytes]:
        """See `Shelf`."""
        return self._beliefs


class BookCopy(CopiedBook):
    """The copy that is kept up to date, by one task (`run`)."""

    def __init__(
        self,
        client: Redis,
        prefix: str,
        refresh_s: float,
        changed: Callable[[int, Mapping[str, Entry]], None],
        reloaded: Callable[[], None] = lambda: None,
    ) -> None:
        """`changed` hears which accounts of a shard are new or other than they were, `reloaded` that a trail was lost."""
        super().__init__([], {}, 0)
        self._client, self._prefix, self._refresh_s = client, prefix, refresh_s
        self._changed, self._reloaded = changed, reloaded
        self._store = StoreReader(client, prefix)
        self._followers: list[ShardFollower | None] = []
        self._refreshed_s, self._counted_s = 0.0, float("-inf")
        self.problem = "Redis was not read yet"

    @property
    def age_s(self) -> float:
        """Seconds since it agreed with Redis; infinite before it ever did."""
        return time.monotonic() - self._refreshed_s if self.refreshed_ns else float("inf")

    async def run(self) -> None:
        """Follow until cancelled; what Redis cannot answer now is asked again."""
        pause_s = self._refresh_s
        while True:
            try:
                await self._refresh()
                pause_s = self._refresh_s
            except (RedisError, OSError, StoreError, Problem, *UNREADABLE) as error:
                # the client's words name neither user nor password
                self.problem = f"{type(error).__name__}: {error}"
                _log.warning("copy_not_refreshed", error=self.problem)
                pause_s = min(max(2 * pause_s, self._refresh_s), BACKOFF_SECONDS_MAX)
            await asyncio.sleep(pause_s)

    async def _refresh(self) -> None:
        begun_ns, begun_s = time.time_ns(), time.monotonic()
        count = await self._shard_count_now(begun_s)
        # Redis was emptied, or is another one: what was known of the others is true no more
        del self.shards[count:], self._followers[count:]
        self.shards += [ShardCopy() for _ in range(count - len(self.shards))]
        self._followers += [None] * (count - len(self._followers))
        for shard in range(count):
            await self._refresh_shard(shard)
        self._beliefs = await read_beliefs(self._client, self._prefix)
        self.refreshed_ns, self._refreshed_s, self.problem = begun_ns, begun_s, ""

    async def _shard_count_now(self, now_s: float) -> int:
        if now_s - self._counted_s < COUNT_SECONDS:
            return len(self.shards)
        count = await shard_count(self._client, self._prefix)
        self._counted_s = now_s
        return count

    async def _refresh_shard(self, shard: int) -> None:
        # before the accounts, so that these hold every input below the watermarks
        watermarks = (await self._store.meta(shard)).watermarks
        marks = await saved_marks(self._store, shard)
        breaker, adl = await self._store.breaker(shard), await self._store.adl(shard)
        copy = self.shards[shard]
        changes = await self._follow(shard)
        if changes is None:
            follower = ShardFollower(self._client, shard, self._prefix)
            changes, copy = await follower.load(), ShardCopy()
            copy.take(changes)
            self.shards[shard], self._followers[shard] = copy, follower
        else:
            copy.take(changes)
        copy.watermarks, copy.marks, copy.breaker, copy.adl = watermarks, marks, breaker, adl
        names = {**changes.accounts, **changes.risks}.keys() & copy.entries.keys()
        self._changed(shard, {name: copy.entries[name] for name in names})

    async def _follow(self, shard: int) -> Changes | None:
        """What has changed; None where the shard has to be loaded anew."""
        follower = self._followers[shard]
        if follower is None:
            return None
        try:
            return await follower.follow()
        except TrailLost as lost:
            _log.warning("copy_loads_shard_anew", shard=shard, why=str(lost))
            self._reloaded()
            self._followers[shard] = None
            return None


def at_once(answer: Coroutine[Any, Any, _T]) -> _T:
    """The result of a coroutine that waits for nothing, as those that read a `BookCopy` do."""
    try:
        answer.send(None)
    except StopIteration as done:
        found: _T = done.value
        return found
    answer.close()
    raise AssertionError("an answer from memory waited for something")
