"""The stress of a whole book: `engine.analytics.book_stress` by the columns where they suffice, exactly for the rest.

Compiled code tells whether a pool is condemned unless it is within the rounding error of the line; those accounts, and those that
the columns cannot express, are computed exactly. Amounts are floats, off by a few 2^-53 of their sum.
"""

from collections.abc import Callable, Collection, Sequence
from typing import NamedTuple

import msgspec
import numpy as np

from engine.analytics.book_stress import account_stress
from engine.book import kernels
from engine.book.columns import Columns
from engine.book.heat_map_parts import markets_of, pools_now
from engine.book.ragged import Array
from engine.events.effects import AccountRisk
from engine.ledger.accounts import AccountState
from engine.marks.mark_book import Prices
from engine.policy import Policy


class Condemned(msgspec.Struct, frozen=True):
    """One account in one market."""

    number: int
    """Among the accounts of the stress."""
    pools: int
    notional: float
    deficit: float


class MarketOutcome(msgspec.Struct, frozen=True, kw_only=True):
    """All accounts in one market; amounts in account currency."""

    accounts: int
    """With a condemned pool."""
    pools: int
    notional: float
    equity: float
    """Of everybody, debts included."""
    deficit: float
    fund_used: float
    uncovered: float
    """What the fund does not bear."""
    worst: tuple[Condemned, ...]
    """The largest deficits first, then the largest notional."""


class BookStress(NamedTuple):
    """What becomes of each account in each market: arrays by market and account number; amounts in account currency."""

    pools: Array
    """Condemned ones."""
    notional: Array
    """Of the condemned pools' positions."""
    deficit: Array
    """Of the condemned pools: loss beyond equity."""
    equity: Array
    """Of all pools."""
    exactly: int
    """Accounts that the columns did not suffice for."""

    def outcome(self, market: int, fund: float, worst_max: int) -> MarketOutcome:
        """The sums of one market, of which a fund bears what it can."""
        pools, notional, deficit = self.pools[market], self.notional[market], self.deficit[market]
        lost = float(deficit.sum())
        # fund used = min(fund, sum of deficits)
        used = min(fund, lost)
        order = np.lexsort((-notional, -deficit))[:worst_max].tolist()
        return MarketOutcome(
            accounts=int(np.count_nonzero(pools)),
            pools=int(pools.sum()),
            notional=float(notional.sum()),
            equity=float(self.equity[market].sum()),
            deficit=lost,
            fund_used=used,
            uncovered=lost - used,
            worst=tuple(
                Condemned(it, int(pools[it]), float(notional[it]), float(deficit[it]))
                for it in order
                if pools[it]
            ),
        )


def together(parts: Sequence[BookStress], markets: int) -> BookStress:
    """The stress of several books in the same so many markets, one after the other."""
    nobody = np.zeros((markets, 0))
    pools, notional, deficit, equity = (
        np.concatenate([nobody, *arrays], axis=1)
        for arrays in (
            [it.pools for it in parts],
            [it.notional for it in parts],
            [it.deficit for it in parts],
            [it.equity for it in parts],
        )
    )
    return BookStress(pools, notional, deficit, equity, sum(it.exactly for it in parts))


def book_stress(
    columns: Columns,
    accounts: int,
    symbols: Array,
    routed: Collection[int],
    called: Callable[[int], tuple[AccountState, AccountRisk]],
    markets: Sequence[Prices],
    policy: Policy,
) -> BookStress:
    """The first `accounts` accounts in each market; `called` answers for one by its number."""
    shape = (len(markets), accounts)
    pools = np.zeros(shape, np.int32)
    notional, deficit, equity = np.zeros(shape), np.zeros(shape), np.zeros(shape)
    skipped, undecided = np.zeros(accounts, np.bool_), np.zeros(accounts, np.bool_)
    skipped[list(routed)] = True
    kernels.stress(
        columns,
        markets_of(markets, symbols, policy),
        skipped,
        float(policy.ladder.liquidation),
        policy.ladder.withhold_liquidation_when_degraded,
        pools,
        notional,
        deficit,
        equity,
        undecided,
    )
    rest = np.flatnonzero(skipped | undecided).tolist()
    for number in rest:
        state, risk = called(number)
        for market, it in enumerate(account_stress(state, pools_now(risk), markets, policy)):
            pools[market, number] = it.pools
            notional[market, number] = float(it.notional)
            deficit[market, number] = float(it.deficit)
            equity[market, number] = float(it.equity)
    return BookStress(pools, notional, deficit, equity, len(rest))
