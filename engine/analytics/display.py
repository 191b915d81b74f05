"""Margin ratios as a venue shows them. Decisions compare figures by multiplication and never use these.

    collateral_over_maintenance    C / requirement      above 1 is healthy
    maintenance_over_collateral    requirement / C      below 1 is healthy

The quotient is rounded once, from the exact fraction, to the digits that the policy shows.
"""

from decimal import Decimal

from engine.margin.figures import Figures
from engine.numbers import QUOTIENT_DIGITS, divide, exact, to_step
from engine.policy import RatioDisplay
from engine.policy.rules.policy_switches import RatioDirection, Rounding

WORST = Decimal("Infinity")
"""Shown for a requirement over nothing (or over less): no number would be bad enough."""


def shown_ratio(figures: Figures, display: RatioDisplay) -> Decimal | None:
    """The margin ratio as shown; None where nothing is required."""
    return _shown(figures.collateral_value, figures.requirement, display)


def shown_initial_ratio(figures: Figures, display: RatioDisplay) -> Decimal | None:
    """The same against the initial margin."""
    return _shown(figures.collateral_value, figures.initial_margin, display)


def _shown(collateral_value: Decimal, required: Decimal, display: RatioDisplay) -> Decimal | None:
    if not required:
        return None
    if display.direction is RatioDirection.COLLATERAL_OVER_MAINTENANCE:
        return _quotient(collateral_value, required, display)
    return _quotient(required, collateral_value, display) if collateral_value > 0 else WORST


def _quotient(numerator: Decimal, denominator: Decimal, display: RatioDisplay) -> Decimal:
    """Numerator / denominator (> 0), rounded as shown."""
    digits = QUOTIENT_DIGITS if display.digits is None else display.digits
    rounding = "half_even" if display.rounding is Rounding.EXACT else display.rounding
    with exact():
        # rounded before the division, which is then exact
        return divide(to_step(numerator, denominator.scaleb(-digits), rounding), denominator)
