"""What pools in liquidation are expected to leave unpaid, by contract (`NO_CONTRACT` for debts alone): kept account by account, brought up to date a few at a time.

A takeover is computed from scratch each time, some 0.2 ms of a plain pool, and prices move with every tick. So each account counts with what it
was at the prices when it was last looked at; whoever came into liquidation since is looked at first, and never waits.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from decimal import Decimal
from itertools import islice
from typing import Generic, TypeVar

from engine.events.effects import AccountRisk
from engine.ladder.table import LIQUIDATING
from engine.ledger.accounts import AccountState
from engine.liquidation.fund_groups import NO_CONTRACT
from engine.liquidation.plan_cover import unpaid_by_contract
from engine.liquidation.planner import takeover_plan
from engine.margin.pool_names import CROSS
from engine.marks.mark_book import Prices
from engine.numbers import exact
from engine.policy import Policy
from engine.position_keys import symbol_of

K = TypeVar("K")
_Parts = Mapping[str, Decimal]


class Unpaid(Generic[K]):
    """Accounts by the keys of a book."""

    def __init__(self, policy: Policy) -> None:
        """Nobody is in liquidation."""
        self._policy = policy
        self._new: dict[K, None] = {}
        """In liquidation and not looked at yet."""
        self._parts: dict[K, _Parts] = {}
        """What each was when it was last looked at, who has waited longest first."""
        self._sums = defaultdict[str, Decimal](Decimal)

    @property
    def by_contract(self) -> dict[str, Decimal]:
        """What all of them leave unpaid, by contract; one of which nothing stays unpaid is left out."""
        return dict(self._sums)

    def put(self, key: K, risk: AccountRisk) -> None:
        """Take the account's newest risk record."""
        if any(pool.band in LIQUIDATING for pool in risk.pools.values()):
            if key not in self._parts:
                self._new[key] = None
            return
        self.drop(key)

    def drop(self, key: K) -> None:
        """The account counts no more."""
        self._new.pop(key, None)
        self._add(self._parts.pop(key, {}), -1)

    def next(self, accounts_max: int) -> Iterator[K]:
        """Whom to look at now: all that are new, and at most so many others. Whoever leaves meanwhile is passed over."""
        others = list(islice(self._parts, accounts_max))
        yield from (key for key in list(self._new) if key in self._new)
        yield from (key for key in others if key in self._parts)

    def look(self, key: K, state: AccountState, risk: AccountRisk, prices: Prices) -> None:
        """Count the account with what its pools in liquidation are at these prices."""
        parts = defaultdict[str, Decimal](Decimal)
        with exact():
            for pool, ladder in risk.pools.items():
                # an isolated position may be gone already
                if ladder.band in LIQUIDATING and (pool == CROSS or pool in state.isolated):
                    plan = takeover_plan(state, pool, prices, self._policy)
                    contract = NO_CONTRACT if pool == CROSS else symbol_of(pool)
                    for symbol, amount in unpaid_by_contract(plan, contract).items():
                        parts[symbol] += amount
        self._new.pop(key, None)
        self._add(self._parts.pop(key, {}), -1)
        self._parts[key] = parts
        self._add(parts, 1)

    def _add(self, parts: _Parts, sign: int) -> None:
        with exact():
            for symbol, amount in parts.items():
                self._sums[symbol] += sign * amount
                if not self._sums[symbol]:
                    del self._sums[symbol]
