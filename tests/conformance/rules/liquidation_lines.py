"""When liquidation begins, when it may end, and how near it is.

    reached            C < line * MM                  (or C <= line * MM, where the venue counts the line itself)
    left               C + buffer * min(0, P&L of perpetuals) >= requirement + buffer * liability value
    asset rate         value of what is owned / value of what is owed

The buffer is what keeps an account from falling back the moment liquidation stops: it must own more than the
requirement by a share of its liabilities, and its losses count a little larger than they are.
"""

from collections.abc import Iterable
from decimal import Decimal
from typing import Literal

import msgspec

from engine.numbers import ZERO, divide, exact

LineRule = Literal["below", "at_or_below"]
"""Whether an account that stands exactly on a line has reached it."""


def reached(
    collateral_value: Decimal, maintenance_margin: Decimal, line: Decimal, rule: LineRule = "below"
) -> bool:
    """Whether collateral value stands below (or at) `line` times maintenance margin. Multiplied, never divided."""
    with exact():
        # C < line * MM;  at_or_below: C <= line * MM
        needed = line * maintenance_margin
        return collateral_value < needed or (rule == "at_or_below" and collateral_value == needed)


class ExitTest(msgspec.Struct, frozen=True):
    """The comparison that begins liquidation and the stricter one that ends it."""

    collateral: Decimal
    requirement: Decimal
    collateral_with_buffer: Decimal
    requirement_with_buffer: Decimal

    @property
    def meets(self) -> bool:
        """Whether the requirement is met: an account that does not is liquidated."""
        return self.collateral >= self.requirement

    @property
    def may_leave(self) -> bool:
        """Whether an account under liquidation is set free."""
        return self.collateral_with_buffer >= self.requirement_with_buffer


def exit_test(
    deposits: Decimal, perpetual_pnl: Decimal, requirement: Decimal, liability_value: Decimal, buffer: Decimal
) -> ExitTest:
    """Both comparisons of one pool (the cross pool, or one isolated position).

    `deposits` and `perpetual_pnl` are weighted values, their sum is the collateral; `liability_value` is what the
    requirement is a share of (position notional, borrowed value); `buffer` is a rate. Source: drift-labs/protocol-v2,
    margin calculation with a liquidation buffer.
    """
    with exact():
        collateral = deposits + perpetual_pnl
        return ExitTest(
            collateral=collateral,
            requirement=requirement,
            # collateral + buffer * min(0, P&L)
            collateral_with_buffer=collateral + buffer * min(ZERO, perpetual_pnl),
            # requirement + buffer * liability value
            requirement_with_buffer=requirement + buffer * liability_value,
        )


class AssetRate(msgspec.Struct, frozen=True):
    """What a borrower owns against what it owes, interest included."""

    assets: Decimal
    liabilities: Decimal

    @property
    def rate(self) -> Decimal | None:
        """Assets / liabilities; None where nothing is owed."""
        return divide(self.assets, self.liabilities) if self.liabilities else None


def asset_rate(
    owned: Iterable[tuple[Decimal, Decimal]], owed: Iterable[tuple[Decimal, Decimal]]
) -> AssetRate:
    """Asset rate ("risk rate") of spot margin from (amount, price) pairs; loan and accrued interest are both owed.

    Source: MEXC, "Words explanations in margin trading".
    """
    with exact():
        # sum(amount * price)
        return AssetRate(
            assets=sum((amount * price for amount, price in owned), ZERO),
            liabilities=sum((amount * price for amount, price in owed), ZERO),
        )


def early_price(liquidation_price: Decimal, entry_price: Decimal, buffer: Decimal, side: int) -> Decimal:
    """A liquidation price moved towards the entry by `buffer` of the distance between them.

    `side` is 1 for a long, -1 for a short. Source: freqtrade, `liquidation_buffer`.
    """
    with exact():
        # LP + side * buffer * |entry - LP|
        return liquidation_price + side * buffer * abs(entry_price - liquidation_price)
