"""Margin of one linear perpetual position, in its settle asset.

    notional  = |quantity| * multiplier * mark
    uPnL      = quantity * multiplier * mark - entry value
    MM        = tier rate * notional - tier deduction          (marginal tiers, continuous at the edges)
    IM        = max(notional / leverage, tier initial rate * notional)

The tier is picked by the mark notional of the same tick.
"""

from decimal import Decimal

import msgspec

from engine.accounts import Position
from engine.numbers import divide
from engine.policy import Policy, RiskTier


class PositionMargin(msgspec.Struct, frozen=True):
    """The figures of one position in settle asset, with the inputs that made them."""

    symbol: str
    settle: str
    mark: Decimal
    notional: Decimal
    unrealised_pnl: Decimal
    initial_margin: Decimal
    maintenance_margin: Decimal
    initial_rate: Decimal
    maintenance_rate: Decimal
    deduction: Decimal
    leverage: Decimal


def position_margin(
    symbol: str, position: Position, mark: Decimal, leverage: Decimal, policy: Policy
) -> PositionMargin:
    """Margin of `position` at `mark`. Call it inside `numbers.exact()`."""
    instrument = policy.instruments[symbol]
    # notional = |quantity| * multiplier * mark
    value = position.quantity * instrument.multiplier * mark
    notional = abs(value)
    tier, deduction = tier_of(policy, instrument.tiers, notional)
    return PositionMargin(
        symbol=symbol,
        settle=instrument.settle,
        mark=mark,
        notional=notional,
        # uPnL = quantity * multiplier * mark - entry value
        unrealised_pnl=value - position.entry_value,
        # IM = max(notional / leverage, tier initial rate * notional)
        initial_margin=max(divide(notional, leverage), tier.initial_rate * notional),
        # MM = tier rate * notional - tier deduction
        maintenance_margin=tier.maintenance_rate * notional - deduction,
        initial_rate=tier.initial_rate,
        maintenance_rate=tier.maintenance_rate,
        deduction=deduction,
        leverage=leverage,
    )


def tier_of(policy: Policy, table: str, notional: Decimal) -> tuple[RiskTier, Decimal]:
    """The tier of `table` that holds `notional`, and its deduction; an edge belongs to the tier above it."""
    tiers = policy.tiers[table]
    index = max(i for i, tier in enumerate(tiers) if notional >= tier.floor)
    return tiers[index], policy.deductions[table][index]
