"""Every account's place among all: the riskiest first, by the band that the workers said and the ratio at the newest saved prices.

Each account keeps the rank that it was last given; `account_turns` says when it is given another. What an answer *says* of an account is
computed when it is asked.
"""

import time
from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal
from typing import NamedTuple

from engine.events.effects import AccountRisk
from engine.ladder import SEVERITY, Band
from engine.ladder.states import CallKind, Controls
from engine.ledger.accounts import AccountState
from engine.marks.mark_book import Prices
from engine.policy import Policy
from engine.position_keys import symbol_of
from streams.answers.account_report import believed
from streams.answers.account_rows import comparable, most_urgent_call, strictest_controls, worst_pool
from streams.config.problem import Problem
from streams.desk.account_turns import AccountTurns, Turn
from streams.desk.book_copy import CopiedBook, Entry
from streams.desk.book_course import BookTotals, Standing

ORDER_SECONDS = 0.5
"""Sorting 100,000 takes 0.1 s."""


class Rank(NamedTuple):
    """Where an account stands among all. Compares as the list is ordered; the rest of it is for filters."""

    severity: int
    """Of its worst pool, the worst first: 0 - `SEVERITY`."""
    ratio: float
    """Of that pool; infinite where nothing is required."""
    account: str
    shard: int
    band: Band
    controls: Controls
    call: CallKind
    symbols: frozenset[str]
    equity: Decimal
    maintenance_margin: Decimal

    @property
    def place(self) -> tuple[int, float, str]:
        """What it is ordered by."""
        return self[:3]

    @property
    def standing(self) -> Standing:
        """What it counts with in the sums over all."""
        return Standing(self.band, self.equity, self.maintenance_margin)


class Ranking:
    """Ranks of all accounts of a copy."""

    def __init__(self, policy: Policy) -> None:
        """Nobody is ranked."""
        self._policy = policy
        self._ranks: dict[str, Rank] = {}
        self._turns = AccountTurns(self._unwell, self._ranked)
        self._ordered: list[Rank] = []
        self._ordered_s = float("-inf")
        self.totals = BookTotals()
        """Of all that have a place."""
        self.unreadable: dict[str, str] = {}
        """Accounts that this version cannot read, and why."""

    def changed(self, shard: int, accounts: Mapping[str, Entry]) -> None:
        """These have to be ranked anew."""
        for account, held in accounts.items():
            unwell = held.risk is not None and held.risk.pools
            self._turns.changed(account, shard, urgent=bool(unwell))

    @property
    def waiting(self) -> int:
        """Accounts that changed and are not ranked yet."""
        return self._turns.waiting

    @property
    def known(self) -> int:
        """Accounts that have a place, or cannot have one."""
        return len(self._ranks) + len(self.unreadable)

    def ordered(self) -> list[Rank]:
        """Everybody, the riskiest first, as of `ORDER_SECONDS` ago at most. Not to be changed."""
        now_s = time.monotonic()
        if now_s - self._ordered_s > ORDER_SECONDS:
            self._ordered = sorted(self._ranks.values(), key=lambda it: it.place)
            self._ordered_s = now_s
        return self._ordered

    def rank_all(self, copy: CopiedBook) -> None:
        """Rank everybody of a copy that does not change, at a stretch."""
        self._rank_part(copy, [(name, shard) for shard, it in enumerate(copy.shards) for name in it.entries])

    async def run(self, copy: CopiedBook) -> None:
        """Rank until cancelled."""

        async def look(part: Iterator[Turn]) -> None:
            self._rank_part(copy, part)

        await self._turns.run(look)

    def _unwell(self) -> Iterator[Turn]:
        return ((it.account, it.shard) for it in self._ranks.values() if it.severity)

    def _ranked(self) -> Iterator[Turn]:
        return ((it.account, it.shard) for it in self._ranks.values())

    def _rank_part(self, copy: CopiedBook, part: Iterable[Turn]) -> None:
        now_ns = copy.now_ns()
        prices: dict[int, Prices] = {}
        for account, shard in part:
            if shard >= len(copy.shards) or account not in copy.shards[shard].entries:
                self._place(account, None)
                continue
            if shard not in prices:
                prices[shard] = believed(copy.shards[shard].marks, self._policy, now_ns)
            self._rank(copy, account, shard, prices[shard])

    def _rank(self, copy: CopiedBook, account: str, shard: int, prices: Prices) -> None:
        it = copy.shards[shard]
        try:
            state, risk = it.entries[account].read(account)
        except Problem as problem:
            self.unreadable[account] = str(problem)
            self._place(account, None)
            return
        self.unreadable.pop(account, None)
        self._place(account, rank_of(state, risk, shard, prices, self._policy))

    def _place(self, account: str, rank: Rank | None) -> None:
        before = self._ranks.pop(account, None) if rank is None else self._ranks.get(account)
        if rank is not None:
            self._ranks[account] = rank
        self.totals.change(before and before.standing, rank and rank.standing)


def rank_of(state: AccountState, risk: AccountRisk, shard: int, prices: Prices, policy: Policy) -> Rank:
    """The rank of an account at `prices`."""
    _, ladder, figures = worst_pool(state, risk, prices, policy)
    held = {*state.positions, *state.isolated}
    return Rank(
        severity=-SEVERITY[ladder.band],
        ratio=comparable(figures.ratio),
        account=state.account,
        shard=shard,
        band=ladder.band,
        controls=strictest_controls(risk, stopped=state.stopped),
        call=most_urgent_call(risk),
        symbols=frozenset(map(symbol_of, held)),
        equity=figures.equity,
        maintenance_margin=figures.maintenance_margin,
    )
