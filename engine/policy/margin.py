"""How positions are margined and pools are judged: the switches by which venues differ.

Every switch is one of a few named strategies. Formulas stand where they are computed, in `engine.margin`.
"""

from decimal import Decimal
from typing import Literal

from engine.numbers import ONE, ZERO
from engine.policy.tables import Table

Rounding = Literal["exact", "up", "down", "half_even"]


class MarginRules(Table, frozen=True, kw_only=True):
    """How one position's requirement is computed. Rates without a table of their own come from the risk tier."""

    initial: Literal["leverage_or_tier", "leverage", "tier", "tier_over_leverage", "size"] = (
        "leverage_or_tier"
    )
    """IM = max(N / leverage, rate * N) | N / leverage | rate * N | rate * N / leverage | (rate + slope * size) * N."""
    maintenance: Literal["tier", "tier_over_leverage", "fraction_of_initial", "size"] = "tier"
    """MM = rate * N - deduction | rate * N / leverage | fraction * initial rate * N | (rate + slope * size) * N."""
    maintenance_fraction: Decimal = Decimal("0.5")
    """Of the initial margin at the tier's rate, whatever leverage the account chose, for `fraction_of_initial`."""
    tiering: Literal["marginal", "flat"] = "marginal"
    """Whether a tier's rate holds for the notional within the tier (MM is continuous), or for all of it."""
    notional: Literal["mark", "entry"] = "mark"
    """The notional N that tier and margin are computed from."""
    closing_fee: Literal["none", "notional", "bankruptcy"] = "none"
    """Fee to close counted in the margin: none, of N, or of the value at the price that consumes the initial margin."""
    closing_fee_in_initial: bool = True
    """Whether the closing fee counts in IM as well as in MM."""
    taker_fee_rate: Decimal = ZERO
    hedge_legs: Literal["gross", "net", "larger"] = "gross"
    """Long and short leg of one symbol: each margined, their difference, or only the leg with the larger requirement."""
    order_loss: bool = False
    """Whether each open order reserves the loss that its price implies against the mark."""
    profit_weight: Decimal = ONE
    """Share of an unrealised profit that counts as collateral; losses always count whole."""
    notional_step: Decimal = ZERO
    """N is truncated to a multiple of this; 0 keeps it exact."""
    margin_step: Decimal = ZERO
    """IM and MM are rounded to a multiple of this as `margin_rounding` says; 0 keeps them exact."""
    margin_rounding: Rounding = "exact"
    option: str = ""
    """Name of a table under `option_margin`: how a short option is margined outside of portfolio margin."""


class PoolRules(Table, frozen=True, kw_only=True):
    """How equity and requirement of the shared pool come together."""

    model: Literal["cross", "portfolio", "health"] = "cross"
    """Margin model of an account that chose none; health cannot be chosen, only be the policy's."""
    haircut_on: Literal["equity", "wallet"] = "equity"
    """Collateral ratio applied to balance + unrealised P&L of the asset, or to the balance alone."""
    requirement_rate: Literal["index", "liability"] = "index"
    """Requirements convert at the index price of their settle asset, or at that price times its liability factor."""
    liabilities: Literal["collateral", "requirement"] = "collateral"
    """A negative asset lowers the collateral value, or counts as a requirement. Where the haircut is on the wallet, that
    is the balance alone: a loss always lowers the collateral value."""
    conservative_price: bool = False
    """Assets at the lower, liabilities at the higher of index price and its average."""
    liquidation_fee_rate: Decimal = ZERO
    """Of position notional, added to the maintenance margin in the ratio's denominator."""
    orders_in_maintenance: bool = False
    """Whether the worse side of open orders counts in MM as it does in IM."""
    spot_orders: Literal["reserved", "filled"] = "reserved"
    """An order in a spot pair requires what its fill would take away, or the pool counts as if the worse side of the
    pair had filled at the price of the base asset (in IM and MM alike)."""
    order_requirement: Decimal = ZERO
    """Account currency that every open order requires by its mere existence."""
    option_value: Literal["requirement", "collateral"] = "requirement"
    """The value of options stays out of the collateral value and short ones require it, or it counts as collateral
    (as it always does under portfolio margin)."""
    funding_accrual: bool = False
    """Whether funding accrued since the last settlement counts in equity."""


class RatioDisplay(Table, frozen=True, kw_only=True):
    """How the margin ratio is shown. Decisions never use the shown ratio."""

    direction: Literal["collateral_over_maintenance", "maintenance_over_collateral"] = (
        "collateral_over_maintenance"
    )
    digits: int | None = None
    """Decimal places; None shows all 18."""
    rounding: Rounding = "half_even"
