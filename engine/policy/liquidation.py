"""How a pool is liquidated: what closing is expected to cost, and how much is closed at a time."""

from collections.abc import Iterator
from decimal import Decimal

import msgspec

from engine.numbers import ONE
from engine.policy.tables import Table


class LiquidationRules(Table, frozen=True, kw_only=True):
    """What the plan of a liquidation is computed with (`engine.liquidation.planner`)."""

    partial: bool = True
    """Close as little as reaches the exit line; else every position of the pool is closed whole."""
    fee_rate: Decimal = Decimal("0.0005")
    """Of the value closed: what the exchange charges for closing it."""
    slippage_rate: Decimal = Decimal("0.001")
    """Of the value closed: by how much fills are expected to be worse than the mark."""
    slippage_rates: dict[str, Decimal] = msgspec.field(default_factory=dict)
    """By symbol, where it differs."""
    conversion_fee_rate: Decimal | None = None
    """Of the value sold when a debt is repaid out of another asset; None where the exchange converts nothing."""
    steps_max: int = 10
    """Steps of one round; what is left goes into the rounds after it."""
    share_per_round_max: Decimal = ONE
    """Share of a position that one round closes at most (at least one lot)."""
    replan_seconds: Decimal = Decimal(2)
    """A running plan is compared with the account no more often than this, in event time, and made anew where it no longer fits."""
    stuck_seconds: Decimal = Decimal(30)
    """A liquidation of which nothing was executed for this long has failed: it is said, and asked for anew."""

    def cost_rate(self, symbol: str) -> Decimal:
        """Expected cost of closing, as a share of the value closed: fee + slippage. Inside `numbers.exact()`."""
        return self.fee_rate + self.slippage_rates.get(symbol, self.slippage_rate)


def faults(rules: LiquidationRules, symbols: frozenset[str]) -> Iterator[tuple[str, str]]:
    """(key, rule broken) of everything that no plan could be computed with; `symbols` are those listed."""
    rates = {"fee_rate": rules.fee_rate, "slippage_rate": rules.slippage_rate}
    rates |= {f"slippage_rates.{symbol}": rate for symbol, rate in rules.slippage_rates.items()}
    if rules.conversion_fee_rate is not None:
        rates["conversion_fee_rate"] = rules.conversion_fee_rate
    for key, rate in rates.items():
        if not 0 <= rate < 1:
            yield key, "must lie in 0..1, below 1"
    for symbol in sorted(set(rules.slippage_rates) - symbols):
        yield f"slippage_rates.{symbol}", "is not a listed instrument"
    if rules.replan_seconds <= 0:
        yield "replan_seconds", "must be > 0"
    if rules.stuck_seconds < rules.replan_seconds:
        yield "stuck_seconds", "must be >= replan_seconds"
    if rules.steps_max < 1:
        yield "steps_max", "must be >= 1"
    if not _SHARE_MIN <= rules.share_per_round_max <= 1:
        yield "share_per_round_max", f"must lie in {_SHARE_MIN}..1"


_SHARE_MIN = Decimal("0.01")
"""A plan has no more than a hundred rounds for one position."""
