"""From the policy's tiers to the columns' lines: from each floor up, an amount counts rate * amount + offset."""

from collections.abc import Iterable

from engine.book.expressible import maintenance_lines, requirement_factor
from engine.numbers import exact
from engine.policy import Policy
from engine.policy.rules.asset_terms import TierLine

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


def asset_tiers(lines: Iterable[TierLine]) -> list[Line]:
    """Lines of `AssetTerms`, for amounts in coins."""
    return [(float(floor), float(rate), float(offset)) for floor, rate, offset in lines]
