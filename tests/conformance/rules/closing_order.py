"""Which position of a pool is closed first, and what the pools that were taken over leave unpaid.

Source: FLOX-Foundation/flox, `LiquidationEngine`.
"""

from collections.abc import Iterable
from decimal import Decimal

import msgspec

from engine.numbers import ZERO, exact


class Leg(msgspec.Struct, frozen=True):
    """One position of a pool as the order of closing sees it."""

    key: str
    unrealised_pnl: Decimal
    notional: Decimal


def worst_leg_first(legs: Iterable[Leg]) -> list[Leg]:
    """Legs by unrealised P&L, the largest loss first; ties by the larger notional, then by key."""
    return sorted(legs, key=lambda leg: (leg.unrealised_pnl, -leg.notional, leg.key))


def total_deficit(equities: Iterable[Decimal]) -> Decimal:
    """What pools taken over at these equities leave unpaid."""
    with exact():
        # sum of max(0, -equity)
        return sum((max(ZERO, -equity) for equity in equities), ZERO)
