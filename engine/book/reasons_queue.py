"""Which accounts' reasons are due, the worst first: plans before details, bankrupt before liquidation, the larger shortfall first."""

from collections.abc import Iterator
from functools import partial
from heapq import heappop, heappush
from typing import Generic, TypeVar

from engine.book.failures import tried
from engine.book.hearing import Court
from engine.events.effects import AccountRisk
from engine.events.judgement import Judgement
from engine.events.reasons import reasons, reasons_due
from engine.ladder import SEVERITY, LadderState
from engine.ladder.table import Trigger
from engine.margin.listed_part import is_judged
from engine.marks.mark_book import Prices
from engine.policy import Policy

K = TypeVar("K")
_Urgency = tuple[int, float, str]
"""Severity and shortfall, both negated, and the account."""


class ReasonsQueue(Generic[K]):
    """Accounts by the keys of a book."""

    def __init__(self, policy: Policy) -> None:
        """Nothing is due."""
        self._policy = policy
        self._due: dict[Trigger, dict[K, _Urgency]] = {Trigger.PLANNED: {}, Trigger.EXPLAINED: {}}
        self._heaps: dict[Trigger, list[tuple[_Urgency, K]]] = {Trigger.PLANNED: [], Trigger.EXPLAINED: []}
        """May hold entries that are out of date: what counts is `_due`."""

    @property
    def due(self) -> dict[Trigger, int]:
        """Number of accounts whose plan or detail is due; what is due of nobody is left out."""
        return {trigger: len(known) for trigger, known in self._due.items() if known}

    def put(self, key: K, risk: AccountRisk) -> None:
        """Take what is due of the account now; what was due before and is no more is forgotten."""
        due: dict[Trigger, _Urgency] = {}
        for state in (it for pool, it in risk.pools.items() if is_judged(pool, self._policy)):
            for trigger in reasons_due(state, self._policy):
                urgency = _urgency(state, risk.account)
                due[trigger] = min(due.get(trigger, urgency), urgency)
        for trigger, known in self._due.items():
            if trigger not in due:
                known.pop(key, None)
            elif known.get(key) != due[trigger]:
                known[key] = due[trigger]
                heappush(self._heaps[trigger], (due[trigger], key))

    def drop(self, key: K) -> None:
        """Nothing is due of the account any more."""
        for known in self._due.values():
            known.pop(key, None)

    def said(
        self, accounts_max: int, court: Court[K], prices: Prices, now_ns: int
    ) -> Iterator[tuple[K, Judgement]]:
        """The reasons of the next accounts, which are then no more in the queue; the risk records are the caller's to remember."""
        for key in self.take(accounts_max, held=court.breaker.hold is not None):
            state, risk = court.called(key)
            found = partial(reasons, state, risk, prices, now_ns, self._policy, hold=court.breaker.hold)
            judgement = tried(court, key, found, risk)
            if judgement is not None:
                yield key, judgement

    def take(self, accounts_max: int, *, held: bool) -> Iterator[K]:
        """The next accounts, which are then no more in the queue. While liquidations are `held`, no plan is due."""
        for _ in range(accounts_max):
            key = self._next(held=held)
            if key is None:
                return
            yield key

    def _next(self, *, held: bool) -> K | None:
        for trigger in (Trigger.EXPLAINED,) if held else self._due:
            known, heap = self._due[trigger], self._heaps[trigger]
            while heap:
                urgency, key = heappop(heap)
                if known.get(key) == urgency:
                    del known[key]
                    return key
        return None


def _urgency(state: LadderState, account: str) -> _Urgency:
    return -SEVERITY[state.band], -float(state.said_shortfall or 0), account
