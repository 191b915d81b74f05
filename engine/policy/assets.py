"""Assets that may stand in a wallet: what they are worth as collateral, and what owing them costs."""

from decimal import Decimal
from typing import Literal

from engine.numbers import ONE, ZERO
from engine.policy.tables import Table


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


class Asset(Table, frozen=True, kw_only=True):
    """An asset that may stand in a wallet."""

    index: str = ""
    """Price symbol of the index price in account currency; empty only for the account currency itself."""
    tiers: tuple[CollateralTier, ...] = (CollateralTier(floor=ZERO, ratio=ONE),)
    tiers_by: Literal["amount", "value"] = "amount"
    """Whether tier floors and `cap` count coins, or their value in account currency."""
    cap: Decimal | None = None
    """Coins (or value) above it count nothing; None for no cap."""
    collateral: bool = True
    """Whether a positive amount counts as collateral at all; a liability always counts."""
    liability_factor: Decimal = ONE
    """A negative balance counts at index price times this; 1 or more."""
    borrow_tiers: tuple[BorrowTier, ...] = ()
    """Margin that a negative balance requires on top of its value; empty for none."""
    deposit_scale_start: Decimal | None = None
    """Value of all deposits of the exchange in this asset above which its collateral ratio shrinks."""
    borrow_scale_start: Decimal | None = None
    """Value of all loans of the exchange in this asset above which its liability factor grows."""

    @classmethod
    def buffered(cls, index: str, bid_buffer: Decimal, ask_buffer: Decimal) -> "Asset":
        """An asset stated as the buffers below and above its index price.

        collateral ratio = 1 - bid buffer;  liability factor = 1 + ask buffer
        """
        return cls(
            index=index,
            tiers=(CollateralTier(floor=ZERO, ratio=ONE - bid_buffer),),
            liability_factor=ONE + ask_buffer,
        )
