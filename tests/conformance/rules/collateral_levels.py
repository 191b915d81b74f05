"""Margin calls that do not use a ratio ladder: levels of posted collateral, and margin remaining.

levels      search = floor(MM * f_search), initial = floor(MM * f_initial), release = floor(MM * f_release)
            balance < search:   top up to initial          balance > release:   give back down to initial
            balance < MM:       close out
remaining   remaining = total value - margin used
            warn when remaining <= warning fraction * total value
            call when remaining <= 0 and margin used > total value * (1 + buffer)
"""

from decimal import Decimal

import msgspec

from engine.numbers import ONE, ZERO, exact, to_step


class CollateralLevels(msgspec.Struct, frozen=True):
    """The levels at which a margin account is topped up, relieved or closed out."""

    maintenance: Decimal
    search: Decimal
    initial: Decimal
    release: Decimal

    def top_up(self, balance: Decimal) -> Decimal:
        """What has to be posted now: up to the initial level once below the search level."""
        with exact():
            return self.initial - balance if balance < self.search else ZERO

    def excess(self, balance: Decimal) -> Decimal:
        """What is given back now: down to the initial level once above the release level."""
        with exact():
            return balance - self.initial if balance > self.release else ZERO

    def closes_out(self, balance: Decimal) -> bool:
        """Whether an account that could not be topped up is closed."""
        return balance < self.maintenance


def collateral_levels(
    maintenance_margin: Decimal,
    search_factor: Decimal,
    initial_factor: Decimal,
    release_factor: Decimal,
    step: Decimal = ONE,
) -> CollateralLevels:
    """The levels of one maintenance figure, floored to `step` (the smallest unit of the settle asset).

    Source: vegaprotocol/specs, 0019-MCAL margin calculator.
    """
    with exact():
        # floor(MM * factor)
        return CollateralLevels(
            maintenance=maintenance_margin,
            search=to_step(maintenance_margin * search_factor, step, "down"),
            initial=to_step(maintenance_margin * initial_factor, step, "down"),
            release=to_step(maintenance_margin * release_factor, step, "down"),
        )


class MarginCall(msgspec.Struct, frozen=True):
    """What an account by margin remaining is told."""

    remaining: Decimal
    warning: bool
    call: bool
    to_free: Decimal
    """Margin that closing has to free when called."""


def margin_call(
    total_value: Decimal, margin_used: Decimal, warning_fraction: Decimal, buffer: Decimal
) -> MarginCall:
    """Judge an account by the margin that remains; one without positions is told nothing.

    Once nothing remains, a warning without a call would say nothing new, so it comes with the call only.
    Source: QuantConnect/Lean, `DefaultMarginCallModel`.
    """
    with exact():
        # remaining = total value - margin used
        remaining = total_value - margin_used
        if margin_used <= 0:
            return MarginCall(remaining, warning=False, call=False, to_free=ZERO)
        # remaining <= 0 and margin used > total value * (1 + buffer)
        call = remaining <= 0 and margin_used > total_value * (1 + buffer)
        # remaining <= warning fraction * total value
        warning = call if remaining <= 0 else remaining <= warning_fraction * total_value
        return MarginCall(remaining, warning, call, to_free=-remaining if call else ZERO)
