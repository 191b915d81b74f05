"""Credit between underlyings that move together.

Two units are moved together, row by row of their grids (each by its own shocks). What their worst losses apart
exceed their worst loss together is what they offset; policy credits a share of it:

    offset  = max(0, loss A) + max(0, loss B) - max(0, worst row of (loss A + loss B))       losses * loss factor
    credit  = min(rate * offset, cap * smaller remaining price risk)

A unit's price risk is used up by the credits it takes part in, pair after pair in the order of the policy, so no
unit's risk ever falls below 0. Tails, skew and contingencies are never credited.

Twin: `engine.book.boxes.unit_swings`.
"""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from operator import add
from typing import Literal

import msgspec

from engine.margin.portfolio.risk_unit import UnitMargin
from engine.margin.portfolio.scenarios import scanning_risk
from engine.numbers import ONE
from engine.policy.rules.portfolio_rules import Correlation

_Figure = Literal["maintenance", "initial"]


class Credit(msgspec.Struct, frozen=True):
    """What one pair of underlyings is credited, >= 0, in account currency."""

    first: str
    second: str
    maintenance: Decimal
    initial: Decimal


def correlation_credits(
    units: Mapping[str, UnitMargin], correlations: Sequence[Correlation]
) -> tuple[Credit, ...]:
    """Credits of all pairs of which both underlyings are held. Call it inside `numbers.exact()`."""
    held = [pair for pair in correlations if pair.first in units and pair.second in units]
    maintenance = initial = _credits(units, held, "maintenance")
    paired = {name for pair in held for name in (pair.first, pair.second)}
    if any(_factor(units[name], "initial") != _factor(units[name], "maintenance") for name in paired):
        initial = _credits(units, held, "initial")
    return tuple(
        Credit(pair.first, pair.second, *amounts)
        for pair, *amounts in zip(held, maintenance, initial, strict=True)
    )


def grid_offset(first: Sequence[Decimal], second: Sequence[Decimal]) -> Decimal:
    """Worst losses of two rows of P&L apart, less their worst loss together."""
    together = map(add, first, second)
    return scanning_risk(first) + scanning_risk(second) - scanning_risk(together)


def _credits(units: Mapping[str, UnitMargin], pairs: Sequence[Correlation], figure: _Figure) -> list[Decimal]:
    paired = {name for pair in pairs for name in (pair.first, pair.second)}
    remaining = {name: getattr(units[name].price_risk, figure) for name in paired}
    linear = all(units[name].linear for name in paired)
    grids = {name: _grid(units[name], figure, linear=linear) for name in paired}
    found = []
    for pair in pairs:
        offset = grid_offset(grids[pair.first], grids[pair.second])
        # min(rate * offset, cap * smaller remaining price risk)
        credit = min(pair.rate * offset, pair.cap * min(remaining[pair.first], remaining[pair.second]))
        remaining[pair.first] -= credit
        remaining[pair.second] -= credit
        found.append(credit)
    return found


def _grid(unit: UnitMargin, figure: _Figure, *, linear: bool) -> list[Decimal]:
    """P&L * loss factor of the unit's grid, row by row; where all units are `linear`, a row for each price."""
    factor, rules = _factor(unit, figure), unit.rules
    rows = list(map(unit.profits.__getitem__, rules.price_rows if linear else rules.rows))
    return rows if factor == ONE else [factor * profit for profit in rows]


def _factor(unit: UnitMargin, figure: _Figure) -> Decimal:
    return unit.price_risk.inputs[f"{figure}_factor"]
