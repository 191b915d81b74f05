"""The distance rules at work: everybody whom one concerns is looked at in turn, in a copy of what the workers left in Redis.

Each neighbourhood of a line is an episode: opened once, resolved once, at least once told, under ids that a restart and another replica
share (`near_store`). What was not told when a process died is found and told by the next.
"""

import asyncio
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import suppress

import msgspec
import structlog
from redis.exceptions import RedisError

from engine.policy import Policy
from streams.answers.account_report import believed
from streams.config.problem import Problem
from streams.desk.account_turns import AccountTurns, Turn
from streams.desk.book_copy import BookCopy, Entry
from streams.desk.notify.desk_notices import Notice
from streams.desk.notify.distance_notices import left_notice, near_notice
from streams.desk.notify.near_lines import MovedMarket, NearChange, NearKey, NearLooker
from streams.desk.notify.near_store import NearKeeper, NearRecord

MARKET_SECONDS = 1.0
"""Moved prices are used for so long."""
REFRESH_SECONDS = 1.0
"""Of the copy."""
PAUSE_SECONDS = 1.0
"""Between signs of life, and while another process watches or Redis is away."""

_log = structlog.get_logger()

Tell = Callable[[Notice, Callable[[], bool], Callable[[], None]], None]
"""Hand a notice to the targets of its rule, with whether it is still wanted, and what to call when all of them are done."""


class DistanceWatch:
    """Looks at everybody, in one process at a time."""

    def __init__(
        self, looker: NearLooker, store: NearKeeper, tell: Tell, ruling: Callable[[Policy], Awaitable[Policy]]
    ) -> None:
        """Nobody is known to be near. `ruling` says by which policy the workers judge now, who had judged by this one."""
        self._looker, self._store, self._tell, self._ruling = looker, store, tell, ruling
        self._near: defaultdict[str, dict[NearKey, NearRecord]] = defaultdict(dict)
        """By account, what is near; also what is being told."""
        self._leaving: set[NearKey] = set()
        """Whose leaving is being told."""
        self._done: asyncio.Queue[tuple[NearKey, NearRecord | None]] = asyncio.Queue()
        self._close: dict[str, int] = {}
        self._markets: dict[int, tuple[float, MovedMarket]] = {}
        self._held = False
        self._copy: BookCopy | None = None
        self._turns = AccountTurns(lambda: list(self._close.items()), self._everybody)

    @property
    def near_count(self) -> int:
        """Pools near a line, over all rules; 0 where another process watches."""
        return sum(map(len, self._near.values())) if self._held else 0

    @property
    def round_s(self) -> float:
        """How long it took to look at everybody; 0 before that."""
        return self._turns.round_s

    def changed(self, shard: int, accounts: Mapping[str, Entry]) -> None:
        """They have to be looked at anew."""
        for account in accounts:
            self._turns.changed(account, shard, urgent=account in self._close)

    async def run(self, copy: BookCopy) -> None:
        """Watch until cancelled; Redis is waited out."""
        self._copy = copy
        try:
            async with asyncio.TaskGroup() as group:
                for work in (self._keep_hold(), self._note_done(), self._turns.run(self._look_at)):
                    group.create_task(work)
        finally:
            if self._held:
                # where Redis is away the hold ends by itself
                with suppress(RedisError, OSError, TimeoutError):
                    await asyncio.shield(self._store.let_go())

    async def _keep_hold(self) -> None:
        while True:
            try:
                held = await self._store.hold()
                if held and not self._held:
                    await self._go_on()
                self._held = held
                await self._follow_policy()
            except (RedisError, OSError, TimeoutError, Problem) as error:
                self._held = False
                _log.warning("distance_watch_waits", error=type(error).__name__)
            await asyncio.sleep(PAUSE_SECONDS)

    async def _follow_policy(self) -> None:
        policy = await self._ruling(self._looker.policy)
        if policy.digest != self._looker.policy.digest:
            self._looker.rule_by(policy)
            self._markets.clear()

    async def _go_on(self) -> None:
        """Take over what is near and was told; what was not is found again, under the id that it has."""
        self._near.clear()
        self._leaving.clear()
        for name, record in (await self._store.records()).items():
            key = NearKey(*msgspec.json.decode(name, type=tuple[str, str, str]))
            if key.rule not in self._looker.rules:
                _log.warning("near_line_of_no_rule", rule=key.rule)
                await self._store.end(name)
            elif record.told:
                self._near[key.account][key] = record

    def _everybody(self) -> list[Turn]:
        shards = self._copy.shards if self._copy else []
        return [(account, shard) for shard, it in enumerate(shards) for account in it.entries]

    async def _look_at(self, part: Iterator[Turn]) -> None:
        if not self._held:
            await asyncio.sleep(PAUSE_SECONDS)
            return
        changes = [change for account, shard in part for change in self._changes(account, shard)]
        try:
            for it in changes:
                await self._say(it)
        except (RedisError, OSError, TimeoutError) as error:
            # nothing was noted of the rest, so the next look finds it again
            _log.warning("distance_watch_waits", error=type(error).__name__)

    def _changes(self, account: str, shard: int) -> list[NearChange]:
        self._close.pop(account, None)
        shards = self._copy.shards if self._copy else []
        entry = shards[shard].entries.get(account) if shard < len(shards) else None
        if entry is None:
            return []
        try:
            state, _ = entry.read(account)
        except Problem:
            return []  # whoever cannot be read is told by the workers
        look = self._looker.look(state, self._market(shard), self._near.get(account, ()))
        if look.close:
            self._close[account] = shard
        return look.changes

    def _market(self, shard: int) -> MovedMarket:
        assert self._copy is not None  # noqa: S101 - only asked while it runs
        until_s, market = self._markets.get(shard, (0.0, None))
        if market is None or time.monotonic() > until_s:
            now_ns = time.time_ns()
            market = self._looker.market(
                believed(self._copy.shards[shard].marks, self._looker.policy, now_ns), now_ns
            )
            self._markets[shard] = (time.monotonic() + MARKET_SECONDS, market)
        return market

    async def _say(self, change: NearChange) -> None:
        key = change.key
        if change.near:
            record = await self._store.begin(_name(key), change.found.evaluated_at_ns)
            self._near[key.account][key] = record
            notice = near_notice(change.found, key.rule, record.since_ns)
            self._tell(notice, self._is_held, lambda: self._done.put_nowait((key, record)))
        elif key not in self._leaving:
            self._leaving.add(key)
            notice = left_notice(change.found, key.rule, self._near[key.account][key].since_ns)
            self._tell(notice, self._is_held, lambda: self._done.put_nowait((key, None)))

    def _is_held(self) -> bool:
        return self._held

    async def _note_done(self) -> None:
        """Keep in Redis what the targets know."""
        while True:
            key, record = await self._done.get()
            while True:
                try:
                    await self._note(key, record)
                    break
                except (RedisError, OSError, TimeoutError) as error:
                    _log.warning("distance_watch_waits", error=type(error).__name__)
                await asyncio.sleep(PAUSE_SECONDS)

    async def _note(self, key: NearKey, record: NearRecord | None) -> None:
        if record is not None:
            await self._store.told(_name(key), record)
            return
        await self._store.end(_name(key))
        self._near[key.account].pop(key, None)
        self._leaving.discard(key)


def _name(key: NearKey) -> str:
    return msgspec.json.encode(key).decode()
