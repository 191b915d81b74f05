"""When a price is believed, and where the lines of the ladder are."""

from decimal import Decimal
from typing import Literal

from engine.policy.tables import Table


class PriceCheck(Table, frozen=True, kw_only=True):
    """When a mark is believed."""

    stale_after_seconds: Decimal = Decimal(10)
    """A symbol without a newer mark for longer than this is stale."""
    future_tolerance_seconds: Decimal = Decimal(2)
    """A mark dated further ahead of its receipt is refused."""
    jump_fraction: Decimal = Decimal("0.1")
    """A mark further than this fraction from the last accepted one waits for confirmation."""
    jump_confirmations: int = 3
    """Marks near the first far one (itself included) that make the jump believed."""
    zero_allowed: bool = False
    """Whether a mark of 0 is believed, as of an option that is worth nothing."""


class Ladder(Table, frozen=True, kw_only=True):
    """The lines of the ladder as portfolio margin ratios (collateral value / maintenance margin)."""

    warning: Decimal = Decimal("1.5")
    margin_call: Decimal = Decimal("1.2")
    reduce_only: Decimal = Decimal("1.05")
    liquidation: Decimal = Decimal(1)
    exit_band: Decimal = Decimal("0.02")
    """A state is left only at its entry line plus this."""
    exit_hold_seconds: Decimal = Decimal(5)
    """... held for this long in event time."""
    withhold_liquidation_when_degraded: bool = True
    call_deadline_seconds: Decimal | None = None
    """Event time within which a margin call is to be met; None sets no deadline."""
    expired_call: Literal["notify", "reduce_only", "liquidation"] = "notify"
    """The band that an unmet call leads to at its deadline; notify only says so."""
    update_shortfall_change: Decimal = Decimal("0.25")
    """An episode is spoken of anew when what is missing to leave its band has changed by more than this share of itself."""
    update_check_seconds: Decimal = Decimal(30)
    """... compared no more often than this, in event time."""
    update_seconds: Decimal = Decimal(300)
    """... and in any case after this long."""
