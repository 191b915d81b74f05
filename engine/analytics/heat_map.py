"""Liquidation heat map: what would be liquidated at each move of the whole market, over all accounts.

A *point* is a move of the market, every underlying by one factor and currencies held (`what_if.Market` of ALL), with
the prices after it. The points are few and chosen by the caller; 0, the prices as they are, is always one of them.

    a pool falls   at the first point, going out from 0 in each direction on its own, at which
                   C < liquidation line * requirement, or it is bankrupt
                   at 0, and nowhere else, if it stands there already or its liquidation is under way
    notional       of each of its positions  notional(mark) * index(settle)  at the prices of that point: all of the pool
                   counts, although a plan may reduce it only in part; of an option it is the option's own value
    withheld       a pool that lacks a fresh price (or whose account is stopped), where the policy withholds the
                   liquidation of such; it falls nowhere

Pools are the shared one and each isolated position that is judged. A pool that is below the line only between two
points is not seen. Open orders do not fill on the way, and nobody's liquidation moves the market: it is a picture of
what hangs over the market, not a forecast.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from typing import NamedTuple

import msgspec

from engine.analytics.pool_at import SHARED, pool_at, pools_of
from engine.analytics.what_if import EVERYTHING, Market
from engine.ladder import SEVERITY, Band, band_at
from engine.ledger.accounts import AccountState, Position
from engine.margin.figures import Figures
from engine.margin.quotes import index_price, mark_price
from engine.marks.mark_book import Prices
from engine.numbers import ONE, ZERO, canonical, exact
from engine.policy import Policy
from engine.position_keys import symbol_of

Fallen = Mapping[Decimal, Mapping[str, Decimal]]
"""Where a pool falls: by move, its notional by symbol, in account currency. At most one move down and one up."""


class MarketPoint(NamedTuple):
    """The market after a move."""

    move: Decimal
    """As a fraction: -0.1 is 10 % down."""
    prices: Prices


class HeatMap(msgspec.Struct, frozen=True):
    """What falls at each of `moves`; amounts in account currency, exact."""

    moves: tuple[Decimal, ...]
    """Ascending, 0 among them."""
    notional: Mapping[str, tuple[Decimal, ...]]
    """By symbol, one amount a move."""
    pools: tuple[int, ...]
    """How many pools fall at each move, those without positions included."""
    withheld: int
    """Pools that fall nowhere because they cannot be trusted."""


class PoolsNow(NamedTuple):
    """How the pools of an account stood when they were last judged, by their keys."""

    under_way: Collection[str] = ()
    """Whose liquidation is under way."""
    degraded: Collection[str] = ()
    """Who cannot be trusted."""


def market_points(moves: Iterable[Decimal], prices: Prices, policy: Policy) -> Iterator[MarketPoint]:
    """The points of these moves (> -1) and of 0, ascending; later changes of the mapping behind `prices` do not show."""
    now = msgspec.structs.replace(prices, marks=dict(prices.marks))
    market = Market((EVERYTHING,), now, policy)
    for move in sorted({*moves, ZERO}):
        with exact():
            factor = ONE + move
        yield MarketPoint(move, market.at({EVERYTHING: factor}) if move else now)


def outward(points: Sequence[MarketPoint]) -> tuple[int, tuple[range, range]]:
    """Number of the point 0 among ascending points, and those below and above it, nearest first."""
    zero = next(number for number, point in enumerate(points) if not point.move)
    return zero, (range(zero - 1, -1, -1), range(zero + 1, len(points)))


def heat_map(
    accounts: Iterable[tuple[AccountState, PoolsNow]], points: Sequence[MarketPoint], policy: Policy
) -> HeatMap:
    """The heat map of accounts, each with how its pools stand."""
    places = {point.move: place for place, point in enumerate(points)}
    notional: defaultdict[str, list[Decimal]] = defaultdict(lambda: [ZERO] * len(points))
    pools, withheld = [0] * len(points), 0
    for state, now in accounts:
        for pool in pools_of(state):
            fallen = pool_falls(state, pool, points, policy, now)
            if fallen is None:
                withheld += 1
                continue
            with exact():
                for move, by_symbol in fallen.items():
                    pools[places[move]] += 1
                    for symbol, value in by_symbol.items():
                        notional[symbol][places[move]] += value
    return HeatMap(
        moves=tuple(places),
        notional={symbol: tuple(map(canonical, amounts)) for symbol, amounts in sorted(notional.items())},
        pools=tuple(pools),
        withheld=withheld,
    )


def pool_falls(
    state: AccountState, pool: str, points: Sequence[MarketPoint], policy: Policy, now: PoolsNow
) -> Fallen | None:
    """Where one pool falls; None where that is withheld."""
    zero, directions = outward(points)
    under_way = pool in now.under_way
    if not under_way and policy.ladder.withhold_liquidation_when_degraded and pool in now.degraded:
        return None
    if under_way or _below(pool_at(state, pool, points[zero].prices, policy), policy):
        return {ZERO: notional_by_symbol(state, pool, points[zero].prices, policy)}
    fallen = {}
    for direction in directions:
        for move, prices in (points[number] for number in direction):
            if _below(pool_at(state, pool, prices, policy), policy):
                fallen[move] = notional_by_symbol(state, pool, prices, policy)
                break
    return fallen


def _below(figures: Figures, policy: Policy) -> bool:
    return SEVERITY[band_at(figures, policy.ladder)] >= SEVERITY[Band.LIQUIDATION]


def notional_by_symbol(state: AccountState, pool: str, prices: Prices, policy: Policy) -> dict[str, Decimal]:
    """Of the positions of a pool, in account currency."""
    held = state.positions if pool == SHARED else {pool: state.isolated[pool].position}
    by_symbol: dict[str, Decimal] = {}
    with exact():
        for key, position in held.items():
            if position.quantity:
                symbol = symbol_of(key)
                value = _value(symbol, position, prices, policy)
                by_symbol[symbol] = by_symbol.get(symbol, ZERO) + value
    return by_symbol


def _value(symbol: str, position: Position, prices: Prices, policy: Policy) -> Decimal:
    instrument = policy.instruments[symbol]
    mark, _ = mark_price(symbol, position, prices, policy)
    index, _ = index_price(policy, instrument.settle, prices)
    # |value(mark)| * index(settle)
    return instrument.notional(position.quantity, mark) * index
