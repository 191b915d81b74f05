"""From the policy's tiers to the columns' lines: from each floor up, an amount counts rate * amount + offset."""

from decimal import Decimal

from engine.book.expressible import maintenance_lines, requirement_factor
from engine.numbers import ZERO, exact
from engine.policy import Asset, Policy

Line = tuple[float, float, float]
"""A record of `columns.TIER`."""
NO_COLLATERAL: list[Line] = [(0.0, 0.0, 0.0)]


class TierTable:
    """Tiers of everything, one after the other; equal ones are stored once."""

    def __init__(self) -> None:
        self.rows: list[Line] = []
        self._spans: dict[tuple[Line, ...], tuple[int, int]] = {}

    def span(self, tiers: list[Line]) -> tuple[int, int]:
        """Where these tiers are in the table."""
        span = self._spans.get(tuple(tiers))
        if span is None:
            first = len(self.rows)
            self.rows += tiers
            span = self._spans[tuple(tiers)] = first, len(self.rows)
        return span


def risk_tiers(policy: Policy, symbol: str) -> list[Line]:
    """Requirement of the shared pool for a contract by notional, in index prices of its settle asset."""
    factor = requirement_factor(symbol, policy)
    with exact():
        return [
            (float(floor), float(rate * factor), float(offset * factor))
            for floor, rate, offset in maintenance_lines(symbol, policy)
        ]


def collateral_tiers(asset: Asset) -> list[Line]:
    """Collateral value by coins held, in coins."""
    if not asset.collateral:
        return NO_COLLATERAL
    steps = [(tier.floor, tier.ratio) for tier in asset.tiers]
    if asset.cap is not None:
        # coins above the cap are a tier that counts nothing
        steps = [step for step in steps if step[0] < asset.cap] + [(asset.cap, ZERO)]
    return _joined(steps)


def borrow_tiers(asset: Asset) -> list[Line]:
    """Borrow margin by coins owed, in coins."""
    return _joined([(tier.floor, tier.maintenance_rate) for tier in asset.borrow_tiers])


def _joined(steps: list[tuple[Decimal, Decimal]]) -> list[Line]:
    """Marginal tiers (floor, rate) as lines that meet."""
    tiers = []
    offset = rate_before = ZERO
    with exact():
        for floor, rate in steps:
            # offset_n = offset_(n-1) + floor_n * (rate_(n-1) - rate_n)
            offset += floor * (rate_before - rate)
            rate_before = rate
            tiers.append((float(floor), float(rate), float(offset)))
    return tiers
