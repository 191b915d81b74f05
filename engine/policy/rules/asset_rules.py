"""Assets that may stand in a wallet: what they are worth as collateral, and what owing them costs."""

from decimal import Decimal

from engine.numbers import ONE, ZERO
from engine.policy.rules.policy_switches import DivergentPrice, TiersBy
from engine.policy.rules.tables import Table


class CollateralTier(Table, frozen=True, kw_only=True):
    """One marginal tier of collateral value; it holds from `floor` up to the next tier's floor."""

    floor: Decimal
    """Coins, or account currency where the asset's `tiers_by` says value."""
    ratio: Decimal
    """Collateral ratio, 1 - haircut."""


class BorrowTier(Table, frozen=True, kw_only=True):
    """One marginal tier of the margin that a liability requires."""

    floor: Decimal
    """Coins owed."""
    initial_rate: Decimal
    maintenance_rate: Decimal


class SecondSource(Table, frozen=True, kw_only=True):
    """What an index price is held against: exactly one of `symbol`, `redemption` and `floor`."""

    symbol: str = ""
    """Price symbol of a reference, such as an index of other venues."""
    redemption: Decimal | None = None
    """Account currency that the issuer pays for a coin."""
    floor: Decimal | None = None
    """Only a price below it diverges."""
    divergence_max: Decimal = Decimal("0.05")
    """Largest |index / second source - 1| at which the index is believed without doubt."""
    when_divergent: DivergentPrice = DivergentPrice.LOWER
    """The price in force while they diverge."""
    heal_seconds: Decimal = Decimal(30)
    """Doubt ends when they have agreed, or the second source has been silent, for so long in event time."""


class Asset(Table, frozen=True, kw_only=True):
    """An asset that may stand in a wallet."""

    index: str = ""
    """Price symbol of the index price in account currency; empty only for the account currency itself."""
    second_source: SecondSource | None = None
    """What the index price is held against, if anything."""
    tiers: tuple[CollateralTier, ...] = (CollateralTier(floor=ZERO, ratio=ONE),)
    tiers_by: TiersBy = TiersBy.AMOUNT
    cap: Decimal | None = None
    """Coins (or value) above it count nothing; None for no cap."""
    collateral: bool = True
    """Whether a positive amount counts as collateral at all; a liability always counts."""
    dust: Decimal = Decimal("0.00000001")
    """Coins in a wallet, owned or owed, up to which they count as none: nobody is bankrupt or degraded by them."""
    step: Decimal = Decimal("0.00000001")
    """Coins: withdrawals are multiples of it."""
    liability_factor: Decimal = ONE
    """A negative balance counts at index price times this; 1 or more."""
    borrow_tiers: tuple[BorrowTier, ...] = ()
    """Margin that a negative balance requires on top of its value; empty for none."""
    deposit_scale_start: Decimal | None = None
    """Value of all deposits of the exchange in this asset, as marks of its index state them, above which its collateral ratio shrinks."""
    borrow_scale_start: Decimal | None = None
    """Value of all loans of the exchange in this asset, as marks of its index state them, above which its liability factor grows."""
