"""How a pool is liquidated: what closing is expected to cost, and how much is closed at a time."""

from collections.abc import Iterator
from decimal import Decimal

import msgspec

from engine.numbers import ONE, ZERO
from engine.policy.rules.tables import Table


class LiquidationRules(Table, frozen=True, kw_only=True):
    """What the plan of a liquidation is computed with (`engine.liquidation.planner`)."""

    partial: bool = True
    """Close as little as reaches the exit line; else every position of the pool is closed whole."""
    fee_rate: Decimal = Decimal("0.0005")
    """Of the value closed: what the exchange charges for closing it."""
    slippage_rate: Decimal = Decimal("0.001")
    """Of the value closed: by how much fills are expected to be worse than the mark, within the depth of the book."""
    slippage_rates: dict[str, Decimal] = msgspec.field(default_factory=dict)
    """By symbol, where it differs."""
    depth: Decimal = Decimal(10_000_000)
    """Value in account currency up to which a plan closes a position at that rate; beyond it the rate grows (`level`)."""
    depths: dict[str, Decimal] = msgspec.field(default_factory=dict)
    """By symbol, where it differs."""
    conversion_fee_rate: Decimal = ZERO
    """Of the value sold when a debt is repaid out of another asset; 0 where the exchange converts for nothing."""
    steps_max: int = 10
    """Steps of one round; what is left goes into the rounds after it."""
    share_per_round_max: Decimal = ONE
    """Share of a position that one round closes at most (at least one lot)."""
    replan_seconds: Decimal = Decimal(2)
    """A running plan is compared with the account no more often than this, in event time, and made anew where it no longer fits."""
    stuck_seconds: Decimal = Decimal(30)
    """A liquidation of which nothing was executed for this long has failed: it is said, and asked for anew."""

    def cost_rate(self, symbol: str) -> Decimal:
        """Expected cost of closing within the depth of the book, as a share of the value closed. Inside `numbers.exact()`."""
        # fee rate + slippage rate
        return self.fee_rate + self.slippage_rates.get(symbol, self.slippage_rate)

    def level(self, symbol: str, closed: Decimal) -> tuple[Decimal, Decimal]:
        """What closing more costs, as a share of its value, once `closed` is; and up to which value closed that holds.

        Values in account currency. Inside `numbers.exact()`.

        The slippage of a book doubles with each doubling of what is closed, so it grows in proportion to the size:

            cost rate(v)  = fee rate + min(1, slippage rate * 2^k)          depth * 2^(k-1) <= v < depth * 2^k, or k = 0
        """
        slippage = self.slippage_rates.get(symbol, self.slippage_rate)
        ceiling = self.depths.get(symbol, self.depth)
        while ceiling <= closed:
            slippage, ceiling = slippage * 2, ceiling * 2
        return self.fee_rate + min(ONE, slippage), ceiling

    def cost(self, symbol: str, closed: Decimal, value: Decimal) -> Decimal:
        """Expected cost of closing `value` more, fee + slippage, once `closed` of the position is; all in account currency.

        Inside `numbers.exact()`.
        """
        cost, end = ZERO, closed + value
        while closed < end:
            rate, ceiling = self.level(symbol, closed)
            part = min(end, ceiling) - closed
            # sum of rate of the level * value closed in it
            cost, closed = cost + rate * part, closed + part
        return cost


def faults(rules: LiquidationRules, symbols: frozenset[str]) -> Iterator[tuple[str, str]]:
    """(key, rule broken) of everything that no plan could be computed with; `symbols` are those listed."""
    rates = {"fee_rate": rules.fee_rate, "slippage_rate": rules.slippage_rate}
    rates |= {f"slippage_rates.{symbol}": rate for symbol, rate in rules.slippage_rates.items()}
    rates["conversion_fee_rate"] = rules.conversion_fee_rate
    for key, rate in rates.items():
        if not 0 <= rate < 1:
            yield key, "must lie in 0..1, below 1"
    yield from _depth_faults(rules)
    for name in ("slippage_rates", "depths"):
        for symbol in sorted(set(getattr(rules, name)) - symbols):
            yield f"{name}.{symbol}", "is not a listed instrument"
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


def _depth_faults(rules: LiquidationRules) -> Iterator[tuple[str, str]]:
    for key, depth in (("depth", rules.depth), *((f"depths.{it}", own) for it, own in rules.depths.items())):
        if depth <= 0:
            yield key, "must be > 0"
