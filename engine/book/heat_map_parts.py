"""The liquidation heat map over a whole book: `engine.analytics.heat_map` in floats, in parts that add up.

Accounts in columns are evaluated by compiled code (`kernels.heat`) at every point. Its figures carry the rounding
error that `kernels` states, so a pool closer to the line than that may fall one point earlier or later; notionals are
off by a few 2^-53 of their sum. Accounts that the columns cannot express are computed exactly, a bounded number a
call, and counted in between with what they had then: `Heat` says how many of them are late or missing.
"""

from collections.abc import Collection, Iterable, Sequence
from decimal import Decimal
from functools import reduce
from itertools import chain, islice
from typing import NamedTuple

import msgspec
import numpy as np

from engine.analytics.heat_map import HeatMap, MarketPoint, PoolsNow, heat_map, outward
from engine.book import kernels
from engine.book.columns import Columns
from engine.book.ragged import Array
from engine.events.effects import AccountRisk
from engine.ladder import SEVERITY, Band
from engine.ledger.accounts import AccountState
from engine.marks.mark_book import Prices
from engine.policy import Policy

HEAT_PART_ACCOUNTS = 1_000
"""Accounts in a part: a few milliseconds at twenty points."""


class Heat(msgspec.Struct, frozen=True):
    """What falls at each point, of all accounts or a part of them."""

    notional: Array
    """By point and price symbol (in the order of `Policy.price_symbols`), in account currency."""
    pools: Array
    """By point."""
    withheld: int = 0
    """Pools that fall nowhere because they cannot be trusted."""
    late: int = 0
    """Accounts that are not computed by columns and count with what they had at earlier prices."""
    omitted: int = 0
    """The same, but not computed yet since they changed: they do not count."""

    def __add__(self, other: "Heat") -> "Heat":
        """Both together, of the same points."""
        return Heat(
            self.notional + other.notional,
            self.pools + other.pools,
            self.withheld + other.withheld,
            self.late + other.late,
            self.omitted + other.omitted,
        )


def nothing(points: int, policy: Policy) -> Heat:
    """Nothing falls."""
    return Heat(np.zeros((points, len(policy.price_symbols))), np.zeros(points, np.int64))


def added(parts: Iterable[Heat], points: int, policy: Policy) -> Heat:
    """All parts together."""
    return reduce(Heat.__add__, parts, nothing(points, policy))


def exactly(heat: HeatMap, policy: Policy) -> Heat:
    """The exact heat map in floats."""
    found = nothing(len(heat.moves), policy)
    for number, symbol in enumerate(policy.price_symbols):
        if symbol in heat.notional:
            found.notional[:, number] = [float(value) for value in heat.notional[symbol]]
    return found + Heat(np.zeros(found.notional.shape), np.array(heat.pools, np.int64), heat.withheld)


def pools_now(risk: AccountRisk) -> PoolsNow:
    """How the account's pools stood when they were last judged."""
    pools = risk.pools.items()
    return PoolsNow(
        {pool for pool, it in pools if SEVERITY[it.band] >= SEVERITY[Band.LIQUIDATION]},
        {pool for pool, it in pools if it.degraded},
    )


def markets_of(markets: Sequence[Prices], symbols: Array, policy: Policy) -> Array:
    """Views of prices in the columns' numbers; `symbols`: the columns' own (`columns.SYMBOL`), whose prices do not matter."""
    told: Array = np.tile(symbols, (len(markets), 1))
    for market, prices in zip(told, markets, strict=True):
        marks = [prices.marks.get(symbol) for symbol in policy.price_symbols]
        market["price"] = [1.0 if mark is None else float(mark.price) for mark in marks]
        market["known"] = [mark is not None for mark in marks]
        market["fresh"] = [mark is not None and mark.symbol not in prices.stale for mark in marks]
    return told


class HeatGrid:
    """The points in the columns' numbers."""

    def __init__(self, points: Sequence[MarketPoint], symbols: Array, policy: Policy) -> None:
        """`symbols`: the columns' own (`columns.SYMBOL`), whose prices do not matter."""
        self._zero, _ = outward(points)
        self._line = float(policy.ladder.liquidation)
        self._withholds = policy.ladder.withhold_liquidation_when_degraded
        self._policy = policy
        self._markets = markets_of([prices for _, prices in points], symbols, policy)

    def of_columns(self, columns: Columns, begin: int, routed: Sequence[bool]) -> Heat:
        """Of as many accounts from number `begin` as `routed` answers for, but for those that are."""
        found = nothing(len(self._markets), self._policy)
        withheld = kernels.heat(
            columns,
            self._markets,
            self._zero,
            begin,
            np.array(routed, np.bool_),
            self._line,
            self._withholds,
            found.notional,
            found.pools,
        )
        return found + Heat(np.zeros_like(found.notional), np.zeros_like(found.pools), int(withheld))


class _Look(NamedTuple):
    """What of one account falls where."""

    places: Array
    """In `Heat.notional`, flat."""
    values: Array
    pools: Array
    withheld: int


class RoutedHeat:
    """What of the routed accounts falls where, by account number, as it was last computed."""

    def __init__(self, policy: Policy) -> None:
        """Nothing is computed."""
        self._policy = policy
        self._moves: list[Decimal] = []
        self._looks: dict[int, _Look] = {}
        """Those computed longest ago first."""

    def forget(self, number: int) -> None:
        """The account changed."""
        self._looks.pop(number, None)

    def due(self, routed: Collection[int], points: Sequence[MarketPoint], limit: int | None) -> list[int]:
        """Up to `limit` of the `routed` accounts, to be computed at these points: the missing ones, then the oldest."""
        moves = [point.move for point in points]
        if moves != self._moves:
            self._moves, self._looks = moves, {}
        missing = (number for number in routed if number not in self._looks)
        return list(islice(chain(missing, self._looks), limit))

    def look(
        self, number: int, state: AccountState, risk: AccountRisk, points: Sequence[MarketPoint]
    ) -> None:
        """Compute an account."""
        heat = exactly(heat_map([(state, pools_now(risk))], points, self._policy), self._policy)
        values = heat.notional.ravel()
        places = np.flatnonzero(values)
        self._looks.pop(number, None)
        self._looks[number] = _Look(places, values[places], heat.pools, heat.withheld)

    def sums(self, routed: int, computed: int) -> Heat:
        """All that is known of the `routed` accounts, of which `computed` were looked at just now."""
        heat, looks = nothing(len(self._moves), self._policy), self._looks.values()
        if looks:
            places = np.concatenate([it.places for it in looks])
            np.add.at(heat.notional.ravel(), places, np.concatenate([it.values for it in looks]))
            heat.pools[:] = np.sum([it.pools for it in looks], axis=0)
        return msgspec.structs.replace(
            heat,
            withheld=sum(it.withheld for it in looks),
            late=max(0, len(looks) - computed),
            omitted=max(0, routed - len(looks)),
        )
