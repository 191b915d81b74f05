"""When a price is believed, and where the lines of the ladder are."""

from decimal import Decimal

from engine.policy.rules.policy_switches import ExpiredCall, InstantOf
from engine.policy.rules.tables import Table


class PriceCheck(Table, frozen=True, kw_only=True):
    """When a mark is believed."""

    stale_after_seconds: Decimal = Decimal(10)
    """A symbol without a newer mark for longer than this is stale."""
    stale_grace_seconds: Decimal = Decimal(60)
    """A stale price is kept for so long: nobody enters a band for its staleness alone. Then collateral priced by it counts 0."""
    stale_haircut_per_minute: Decimal = Decimal("0.06")
    """Fraction by which a stale price may be off, for each minute that it has been stale; a haircut on what may be opened."""
    stale_haircut_max: Decimal = Decimal("0.3")
    """... at most."""
    future_tolerance_seconds: Decimal = Decimal(2)
    """A mark dated further ahead of its receipt is refused."""
    jump_fraction: Decimal = Decimal("0.1")
    """A mark further than this fraction from the believed price, or from that of a moment ago, waits for confirmation."""
    jump_window_seconds: Decimal = Decimal("0.5")
    """A moment, in event time: the price that a jump is measured against stood between half of it and all of it ago."""
    jump_confirmations: int = 3
    """Marks near a far one, or further in its direction (itself included), that make the jump believed. So many marks in a row
    also confirm a fact that jumped, and the restart or the leap of a sequence."""
    jump_confirm_spacing_ms: Decimal = Decimal(250)
    """Event time between two marks that confirm each other: marks of one moment confirm nothing."""
    sequence_step_max: int = 1_000_000_000
    """A sequence further ahead (beyond what the time passed explains, of sequences that are times) waits for confirmation."""
    volatility_max: Decimal = Decimal(10)
    """A year's; a mark with a larger one is refused."""
    volatility_jump: Decimal = Decimal("0.5")
    """A volatility times or divided by more than 1 + this, against that of a moment ago, waits for confirmation."""
    funding_rate_max: Decimal = Decimal("0.1")
    """Of one interval, either way; a mark with a larger one is refused."""
    funding_rate_jump: Decimal = Decimal("0.01")
    """A change by more than this waits for confirmation."""
    average_price_factor_max: Decimal = Decimal(5)
    """An average above the price times this, or below the price divided by it, is refused with its mark. Its jumps are those
    of a price."""
    confidence_jump: Decimal = Decimal("0.5")
    """A change by more than this waits for confirmation; a confidence lies in 0..1."""
    open_interest_max: Decimal = Decimal(10) ** 15
    """Contracts; a mark with a larger open interest is refused."""
    open_interest_jump: Decimal = Decimal("0.5")
    """An open interest times or divided by more than 1 + this waits for confirmation; what scales no margin yet is as one."""
    asset_total_max: Decimal = Decimal(10) ** 18
    """Coins; a mark with larger deposits, borrows or potential deposits of its asset is refused."""
    asset_total_jump: Decimal = Decimal("0.1")
    """Deposits, borrows or potential deposits times or divided by more than 1 + this wait for confirmation; what scales no value
    yet is as one. Collateral falls with them as with a price, so the default is that of a price."""
    realisable_share_jump: Decimal = Decimal("0.2")
    """A change of the realisable share of profits by more than this waits for confirmation, where the policy counts no more of them;
    it lies in 0..1."""
    reference: str = ""
    """Price symbol that the first mark of this one is checked against; empty for none."""
    reference_fraction: Decimal = Decimal("0.2")
    """A first mark further than this fraction from the reference waits for confirmation."""
    zero_allowed: bool = False
    """Whether a mark of 0 is believed, as of an option that is worth nothing."""


class PriceRules(PriceCheck, frozen=True, kw_only=True):
    """The check of every price symbol that has none of its own, and what holds for prices together."""

    instant: InstantOf = InstantOf.RECORD
    instant_wait_ms: Decimal = Decimal(50)
    """How long, in time of receipt, an instant by time waits for records of other partitions."""
    outage_hold_seconds: Decimal = Decimal(10)
    """An outage of a symbol is told when it has lasted for this long, and its end when the symbol has been certain for as long."""
    feed_stale_share: Decimal = Decimal("0.95")
    """The feed is silent when at least this share of the symbols that ever had a mark is stale."""
    feed_resume_seconds: Decimal = Decimal(2)
    """A silence is over when at most the rest of the symbols is still stale, and in any case this long after prices began to come again."""


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
    degraded_hold_seconds: Decimal = Decimal(30)
    """A pool whose verdict hung on a doubted price stays flagged for at least this long, in event time."""
    liquidation_confirm_ms: Decimal = Decimal(0)
    """Liquidation is requested when its line has been crossed for this long, in event time; 0 is at once."""
    call_deadline_seconds: Decimal | None = None
    """Event time within which a margin call is to be met; None sets no deadline."""
    urgent_call_deadline_seconds: Decimal | None = None
    """A call that becomes urgent (the pool falls below the reduce-only line) is to be met within this, or by the deadline that it has."""
    expired_call: ExpiredCall = ExpiredCall.NOTIFY
    update_shortfall_change: Decimal = Decimal("0.25")
    """An episode is spoken of anew when what is missing to leave its band has changed by more than this share of itself."""
    update_check_seconds: Decimal = Decimal(30)
    """... compared no more often than this, in event time."""
    update_seconds: Decimal = Decimal(300)
    """... and in any case after this long."""
