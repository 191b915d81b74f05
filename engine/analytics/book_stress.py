"""Who of all accounts would be condemned in another market, and what that would cost: the stress of a whole book.

condemned      a pool with C < liquidation line * requirement, or bankrupt, or whose liquidation is under way
deficit        max(0, - equity) of a condemned pool: the loss beyond equity, at the prices of the market, before any cost of closing
fund used      min(fund, sum of deficits);   uncovered = sum of deficits - fund used: what deleveraging would have to bear
withheld       a pool that cannot be trusted, where the policy withholds the liquidation of such, is not condemned

Pools, points and notional are those of the heat map (`heat_map`); the markets may differ in anything, so there is no order among them.
"""

from collections.abc import Sequence
from decimal import Decimal
from typing import NamedTuple

from engine.analytics.heat_map import PoolsNow, notional_by_symbol
from engine.analytics.pool_at import pool_at, pools_of
from engine.ladder import SEVERITY, Band, band_at
from engine.ledger.accounts import AccountState
from engine.margin.dust import without_dust
from engine.marks.mark_book import Prices
from engine.numbers import ZERO, exact
from engine.policy import Policy


class AccountInMarket(NamedTuple):
    """One account in one market; amounts in account currency, of its condemned pools but for the equity."""

    pools: int
    """How many are condemned."""
    notional: Decimal
    deficit: Decimal
    equity: Decimal
    """Of all its pools."""


def account_stress(
    state: AccountState, now: PoolsNow, markets: Sequence[Prices], policy: Policy
) -> list[AccountInMarket]:
    """What becomes of an account in each of the markets."""
    state = without_dust(state, policy)
    withholds = policy.ladder.withhold_liquidation_when_degraded
    found = []
    with exact():
        for prices in markets:
            condemned, notional, deficit, equity = 0, ZERO, ZERO, ZERO
            for pool in pools_of(state):
                figures = pool_at(state, pool, prices, policy)
                equity += figures.equity
                below = SEVERITY[band_at(figures, policy.ladder)] >= SEVERITY[Band.LIQUIDATION]
                if pool in now.under_way or (below and not (withholds and pool in now.degraded)):
                    condemned += 1
                    deficit += max(ZERO, -figures.equity)
                    notional += sum(notional_by_symbol(state, pool, prices, policy).values(), ZERO)
            found.append(AccountInMarket(condemned, notional, deficit, equity))
    return found
