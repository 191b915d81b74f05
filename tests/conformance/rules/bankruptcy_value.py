"""The value at which a part of a pool is closed so that the rest is neither richer nor poorer for its requirement.

Closing at this value takes from the pool's collateral the same share as from its requirement: closed whole, the pool
ends at exactly zero; closed in part, its ratio stays what it was.
"""

from decimal import Decimal

import msgspec

from engine.ledger.accounts import Position
from engine.ledger.booking import filled
from engine.margin.position_margin import position_margin
from engine.numbers import ZERO, divide, exact, to_step
from engine.policy import Policy
from engine.position_keys import symbol_of


class ClosingChange(msgspec.Struct, frozen=True):
    """What closing a part of a linear position changes, in settle asset."""

    value: Decimal
    """Change of the signed mark value: < 0 when a long is sold."""
    maintenance_margin: Decimal
    """Change of the requirement, <= 0."""


def closing_change(
    key: str, position: Position, signed: Decimal, mark: Decimal, leverage: Decimal, policy: Policy
) -> ClosingChange:
    """The change when `signed` contracts are executed against `position` (under its position key) at `mark`.

    Computed from the position before and after, because tiered margin is not linear in the size. Raises `ValueError`
    unless `signed` reduces the position, to zero at most.
    """
    if position.quantity * signed >= 0 or abs(signed) > abs(position.quantity):
        raise ValueError(f"{signed} contracts do not reduce a position of {position.quantity}")
    instrument = policy.instruments[symbol_of(key)]
    with exact():
        after, _ = filled(position, signed, mark, instrument)
        before_mm = position_margin(key, position, mark, leverage, policy).maintenance_margin
        after_mm = (
            position_margin(key, after, mark, leverage, policy).maintenance_margin if after.quantity else ZERO
        )
        return ClosingChange(instrument.value(signed, mark), after_mm - before_mm)


def closing_value(
    collateral_value: Decimal, maintenance_margin: Decimal, change: ClosingChange, step: Decimal
) -> Decimal:
    """Least to receive (> 0) or most to pay (< 0) for the closed part, rounded up to `step` in the pool's favour.

    Raises `decimal.InvalidOperation` or `DivisionByZero` where the pool requires nothing.
    Source: dydxprotocol/v4-chain, `GetBankruptcyPriceInQuoteQuantums`.
    """
    with exact():
        # -change of value - C * |change of MM| / MM
        numerator = -change.value * maintenance_margin - collateral_value * abs(change.maintenance_margin)
        # rounded before the division, which is then exact; for a payment (< 0) towards zero is up
        whole = to_step(numerator, maintenance_margin * step, "up" if numerator > 0 else "down")
        return divide(whole, maintenance_margin)
