"""Spreads, condors and butterflies margined as one combination."""

from collections.abc import Sequence
from decimal import Decimal

from engine.margin.options.short_options import OptionHolding, largest_loss, net_calls
from engine.numbers import ZERO, exact


def combination_margin(holdings: Sequence[OptionHolding]) -> Decimal | None:
    """Largest loss + net premium paid (less net premium received); None where the loss has no limit.

    `value` of each holding is the premium per unit. Source: Cboe Margin Manual, spreads, condors and butterflies.
    """
    if net_calls(holdings) < 0:
        return None
    with exact():
        return largest_loss(holdings) + sum((held.quantity * held.value for held in holdings), ZERO)
