"""Every account's place among all: the riskiest first, by the band that the workers said and the ratio at the newest saved prices.

Why not at each question: the exact figures of 100,000 accounts take seconds. So each account keeps the rank that it was last given.
What has changed is ranked at once, whoever is not healthy every `URGENT_SECONDS`, and everybody in turn: one part after the other,
with pauses, so that a core is at most a third busy with it. What an answer *says* of an account is computed when it is asked.
"""

import asyncio
import time
from collections.abc import Iterator, Mapping
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
from streams.desk.book_copy import BookCopy, Entry

URGENT_SECONDS = 1.0
PART_SECONDS = 0.01
"""Ranked at a stretch: no request waits longer for the event loop on this account."""
PAUSE_SECONDS = 0.02
ROUND_PAUSE_SECONDS = 0.05
"""Between parts where nothing changed but prices: then a sixth of a core."""
IDLE_SECONDS = 0.2
ORDER_SECONDS = 0.5
"""Sorting 100,000 takes 0.1 s."""
ROUND_SECONDS = 5.0
"""Healthy accounts are gone through no more often than this."""


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

    @property
    def place(self) -> tuple[int, float, str]:
        """What it is ordered by."""
        return self[:3]


class Ranking:
    """Ranks of all accounts of a copy."""

    def __init__(self, policy: Policy) -> None:
        """Nobody is ranked."""
        self._policy = policy
        self._ranks: dict[str, Rank] = {}
        self._urgent: dict[str, int] = {}
        """Accounts that are not healthy and have to be ranked, and their shard."""
        self._due: dict[str, int] = {}
        """Others that changed."""
        self._ordered: list[Rank] = []
        self._ordered_s = float("-inf")
        self.unreadable: dict[str, str] = {}
        """Accounts that this version cannot read, and why."""

    def rule_by(self, policy: Policy) -> None:
        """Rank by another policy from now on; who is ranked already is so again in the round."""
        self._policy = policy

    def changed(self, shard: int, accounts: Mapping[str, Entry]) -> None:
        """These have to be ranked anew."""
        for account, held in accounts.items():
            unwell = held.risk is not None and held.risk.pools
            (self._urgent if unwell else self._due)[account] = shard

    @property
    def waiting(self) -> int:
        """Accounts that changed and are not ranked yet."""
        return len(self._urgent) + len(self._due)

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

    async def run(self, copy: BookCopy) -> None:
        """Rank until cancelled."""
        urgent_s = round_s = 0.0
        rest: list[tuple[str, int]] = []
        while True:
            now_s = time.monotonic()
            if now_s - urgent_s > URGENT_SECONDS:
                urgent_s = now_s
                self._urgent.update(self._unwell())
            if not rest and now_s - round_s > ROUND_SECONDS:
                round_s = now_s
                rest = [(it.account, it.shard) for it in self._ranks.values()]
            hurried = self.waiting > 0
            worked = self._rank_part(copy, rest)
            pause_s = PAUSE_SECONDS if hurried else ROUND_PAUSE_SECONDS
            await asyncio.sleep(pause_s if worked else IDLE_SECONDS)

    def _unwell(self) -> Iterator[tuple[str, int]]:
        for it in self._ranks.values():
            if it.severity:
                yield it.account, it.shard

    def _rank_part(self, copy: BookCopy, rest: list[tuple[str, int]]) -> bool:
        """Rank for `PART_SECONDS`, what changed first; say whether there was anything."""
        if not (self.waiting or rest):
            return False
        end_s, now_ns = time.monotonic() + PART_SECONDS, time.time_ns()
        prices: dict[int, Prices] = {}
        while (self.waiting or rest) and time.monotonic() < end_s:
            due = self._urgent or self._due
            account, shard = due.popitem() if due else rest.pop()
            if shard >= len(copy.shards) or account not in copy.shards[shard].entries:
                self._ranks.pop(account, None)
                continue
            if shard not in prices:
                prices[shard] = believed(copy.shards[shard].marks, self._policy, now_ns)
            self._rank(copy, account, shard, prices[shard])
        return True

    def _rank(self, copy: BookCopy, account: str, shard: int, prices: Prices) -> None:
        it = copy.shards[shard]
        try:
            state, risk = it.entries[account].read(account)
        except Problem as problem:
            self.unreadable[account] = str(problem)
            self._ranks.pop(account, None)
            return
        self.unreadable.pop(account, None)
        self._ranks[account] = rank_of(state, risk, shard, prices, self._policy)


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
    )
