"""Whether an account is hedged in one underlying, so that closing one leg of it would leave it exposed.

net   = sum of delta over all it holds in the underlying: contracts of every pool, options by their delta, the coin itself
gross = sum of |delta|
hedged: |net| <= neutral_share_max * gross
"""

from decimal import Decimal

from engine.ledger.accounts import AccountState
from engine.margin.cross.cross_pool import cross_positions
from engine.margin.isolated_pool import isolated_margin, open_isolated
from engine.margin.portfolio.exposure import delta_of
from engine.margin.portfolio.pool_exposures import pool_exposures
from engine.margin.quotes import index_price
from engine.marks.mark_book import Prices
from engine.numbers import ZERO
from engine.policy import Policy


def hedged(state: AccountState, underlying: str, prices: Prices, policy: Policy) -> bool:
    """Whether the account is hedged in `underlying`; not where a price is missing for saying so. Inside `exact()`."""
    held, _ = cross_positions(state, prices, policy)
    held += [isolated_margin(state, key, prices, policy)[0] for key in open_isolated(state)]
    of_it = [it for it in held if policy.instruments[it.symbol].base == underlying]
    exposures, missing = pool_exposures(of_it, [], prices, policy)
    if missing:
        return False
    deltas: list[Decimal] = [delta_of(exposure) for exposure in exposures]
    if underlying in policy.assets:
        deltas.append(state.balances.get(underlying, ZERO) * index_price(policy, underlying, prices)[0])
    net, gross = sum(deltas, ZERO), sum(map(abs, deltas), ZERO)
    return abs(net) <= policy.deleveraging.neutral_share_max * gross
