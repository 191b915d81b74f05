"""Who is liquidated first: accounts by how little covers their requirement."""

from collections.abc import Callable, Iterable
from decimal import Decimal
from functools import cmp_to_key
from typing import TypeVar

import msgspec

from engine.numbers import exact

_T = TypeVar("_T")


class PoolRisk(msgspec.Struct, frozen=True):
    """What one pool has against what it needs."""

    collateral_value: Decimal
    maintenance_margin: Decimal


def compare_risk(a: PoolRisk, b: PoolRisk) -> int:
    """1 if `a` is riskier than `b`, -1 if it is less risky, 0 if they are equally risky.

    A total order: by C / MM, compared as C_a * MM_b < C_b * MM_a so that nothing is divided or rounded; ties by the
    larger requirement, and where neither requires anything by the smaller collateral value.
    Source: dydxprotocol/v4-chain, `margin.Risk.Cmp`.
    """
    with exact():
        # C_a / MM_a < C_b / MM_b  <=>  C_a * MM_b < C_b * MM_a
        ours = a.collateral_value * b.maintenance_margin
        theirs = b.collateral_value * a.maintenance_margin
    if ours != theirs:
        return 1 if ours < theirs else -1
    if a.maintenance_margin != b.maintenance_margin:
        return 1 if a.maintenance_margin > b.maintenance_margin else -1
    if a.collateral_value != b.collateral_value:
        return 1 if a.collateral_value < b.collateral_value else -1
    return 0


def worst_first(pools: Iterable[_T], risk: Callable[[_T], PoolRisk]) -> list[_T]:
    """The pools in order of liquidation; equal ones keep their order."""
    return sorted(pools, key=lambda pool: cmp_to_key(compare_risk)(risk(pool)), reverse=True)
