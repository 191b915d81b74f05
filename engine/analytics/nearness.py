"""Whether one of some moves of the whole market brings a pool to a line: cheap enough to ask of every account in turn.

    reached    C < line * requirement, or the pool is bankrupt, at the prices of a point

`line_move` finds the move itself, for fifty times the price. As there, the whole market is every underlying by one factor, currencies held;
a pool that is below the line only between two points is not seen.
"""

from collections.abc import Iterable
from decimal import Decimal

from engine.analytics.heat_map import MarketPoint
from engine.analytics.pool_at import pool_at
from engine.ledger.accounts import AccountState
from engine.numbers import exact
from engine.policy import Policy


def reaches(
    state: AccountState, pool: str, points: Iterable[MarketPoint], line: Decimal, policy: Policy
) -> bool:
    """Whether the pool (a key of `pool_at`) is below `line`, a portfolio margin ratio, at one of the points."""
    return any(_below(state, pool, it, line, policy) for it in points)


def _below(state: AccountState, pool: str, point: MarketPoint, line: Decimal, policy: Policy) -> bool:
    standing = pool_at(state, pool, point.prices, policy).standing
    with exact():
        return not standing.out(line)
