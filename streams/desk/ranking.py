"""Every account's place among all: the riskiest first, by the band that the workers said and the ratio at the newest saved prices.

Why not at each question: the exact figures of 100,000 accounts take seconds. So each account keeps the rank that it was last given.
What has changed is ranked at once, whoever is not healthy every `URGENT_SECONDS`, and everybody in turn: one part after the other,
with pauses, so that a core is at most a third busy with it. What an answer *says* of an account is computed when it is asked.
"""

import asyncio
import time
from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import NamedTuple

import msgspec

from engine.events.effects import AccountRisk
from engine.events.pools import CROSS, pool_figures
from engine.ladder import SEVERITY, Band, LadderState
from engine.ladder.controls import account_controls
from engine.ladder.states import CallKind, Controls
from engine.ledger.accounts import AccountState
from engine.margin.figures import Figures
from engine.margin.isolated_pool import judged_isolated
from engine.margin.listed_part import listed_part
from engine.marks.mark_book import Prices
from engine.numbers import canonical
from engine.policy import Policy
from engine.position_keys import symbol_of
from streams.answers.account_report import believed
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

_CALLS = {call: place for place, call in enumerate(CallKind)}


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


class RiskRow(msgspec.Struct, frozen=True, kw_only=True):
    """One account in the list; figures are those of the pool whose band it shows, in account currency."""

    account: str
    shard: int
    band: Band
    """The worst among its pools."""
    position: str | None
    """Of the isolated position whose pool that is; None for the shared pool."""
    controls: Controls
    """The strictest of its pools'."""
    call: CallKind
    """The most urgent of its pools'."""
    deadline_ns: int | None
    episode_id: str | None
    ratio: Decimal | None
    equity: Decimal
    collateral_value: Decimal
    maintenance_margin: Decimal
    shortfall_to_call: Decimal
    shortfall_to_liquidation: Decimal
    degraded: bool
    stopped: bool


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
        ratio=_float(figures.ratio),
        account=state.account,
        shard=shard,
        band=ladder.band,
        controls=_controls(risk, stopped=state.stopped),
        call=_call(risk),
        symbols=frozenset(map(symbol_of, held)),
    )


def risk_row(state: AccountState, risk: AccountRisk, shard: int, prices: Prices, policy: Policy) -> RiskRow:
    """The row of an account at `prices`."""
    pool, ladder, figures = worst_pool(state, risk, prices, policy)
    return RiskRow(
        account=state.account,
        shard=shard,
        band=ladder.band,
        position=pool or None,
        controls=_controls(risk, stopped=state.stopped),
        call=_call(risk),
        deadline_ns=ladder.deadline_ns,
        episode_id=ladder.episode_id,
        ratio=figures.ratio,
        equity=canonical(figures.equity),
        collateral_value=canonical(figures.collateral_value),
        maintenance_margin=canonical(figures.maintenance_margin),
        shortfall_to_call=canonical(figures.shortfall(policy.ladder.margin_call)),
        shortfall_to_liquidation=canonical(figures.shortfall(policy.ladder.liquidation)),
        degraded=figures.degraded,
        stopped=state.stopped,
    )


def worst_pool(
    state: AccountState, risk: AccountRisk, prices: Prices, policy: Policy
) -> tuple[str, LadderState, Figures]:
    """The pool in the worst band, of several in it the one with the lowest ratio. What the policy does not list is left out, as it is judged."""
    state = listed_part(state, policy)
    pools = [CROSS, *sorted({*judged_isolated(state), *risk.pools} - {CROSS})]
    found = []
    for pool in pools:
        ladder = risk.pools.get(pool, LadderState())
        figures = pool_figures(state, pool, prices, policy, ladder)
        found.append(((-SEVERITY[ladder.band], _float(figures.ratio), pool), ladder, figures))
    (_, _, pool), ladder, figures = min(found, key=lambda it: it[0])
    return pool, ladder, figures


def _controls(risk: AccountRisk, *, stopped: bool) -> Controls:
    return Controls.LOCKED if stopped else account_controls(risk.pools, risk.pools)


def _call(risk: AccountRisk) -> CallKind:
    return max((it.call for it in risk.pools.values()), key=_CALLS.__getitem__, default=CallKind.NONE)


def _float(ratio: Decimal | None) -> float:
    return float("inf") if ratio is None else float(ratio)
