"""How positions are margined and pools are judged: the switches by which venues differ.

What each value of a switch does stands at its enum (`policy_switches`). Formulas stand where they are computed, in `engine.margin`.
"""

from decimal import Decimal

from engine.numbers import ONE, ZERO
from engine.policy.rules.policy_switches import (
    ClosingFee,
    HaircutOn,
    HedgeLegs,
    InitialRule,
    LiabilitiesAs,
    MaintenanceRule,
    MarginModel,
    NotionalBasis,
    OptionValue,
    RatioDirection,
    RequirementRate,
    Rounding,
    SpotOrders,
    Tiering,
)
from engine.policy.rules.tables import Table


class MarginRules(Table, frozen=True, kw_only=True):
    """How one position's requirement is computed. Rates without a table of their own come from the risk tier."""

    initial: InitialRule = InitialRule.LEVERAGE_OR_TIER
    maintenance: MaintenanceRule = MaintenanceRule.TIER
    maintenance_fraction: Decimal = Decimal("0.5")
    """Of the initial margin at the tier's rate, whatever leverage the account chose, for `fraction_of_initial`."""
    tiering: Tiering = Tiering.MARGINAL
    notional: NotionalBasis = NotionalBasis.MARK
    closing_fee: ClosingFee = ClosingFee.NONE
    closing_fee_in_initial: bool = True
    """Whether the closing fee counts in IM as well as in MM."""
    taker_fee_rate: Decimal = ZERO
    hedge_legs: HedgeLegs = HedgeLegs.GROSS
    order_loss: bool = False
    """Whether each open order reserves the loss that its price implies against the mark."""
    profit_weight: Decimal = ONE
    """Share of an unrealised profit that counts as collateral; losses always count whole."""
    realisable_profit: bool = False
    """Whether no larger share of it counts than the losing side of its market can pay, as marks of the contract state it
    (`Mark.realisable_share`). Like the weight above it is about the shared pool: an isolated profit secures its own position alone."""
    notional_step: Decimal = ZERO
    """N is truncated to a multiple of this; 0 keeps it exact."""
    margin_step: Decimal = ZERO
    """IM and MM are rounded to a multiple of this as `margin_rounding` says; 0 keeps them exact."""
    margin_rounding: Rounding = Rounding.EXACT
    option: str = ""
    """Name of a table under `option_margin`: how a short option is margined outside of portfolio margin."""


class PoolRules(Table, frozen=True, kw_only=True):
    """How equity and requirement of the shared pool come together."""

    model: MarginModel = MarginModel.CROSS
    """Margin model of an account that chose none."""
    haircut_on: HaircutOn = HaircutOn.EQUITY
    requirement_rate: RequirementRate = RequirementRate.INDEX
    liabilities: LiabilitiesAs = LiabilitiesAs.COLLATERAL
    conservative_price: bool = False
    """Assets at the lower, liabilities at the higher of index price and its average."""
    liquidation_fee_rate: Decimal = ZERO
    """Of position notional, added to the maintenance margin in the ratio's denominator."""
    orders_in_maintenance: bool = False
    """Whether the worse side of open orders counts in MM as it does in IM."""
    spot_orders: SpotOrders = SpotOrders.RESERVED
    order_requirement: Decimal = ZERO
    """Account currency that every open order requires by its mere existence."""
    option_value: OptionValue = OptionValue.REQUIREMENT
    funding_accrual: bool = False
    """Whether funding accrued since the last settlement counts in equity."""
    funding_grace_seconds: Decimal = Decimal(3600)
    """How long after a settlement its payment may still come; then it is taken as settled elsewhere."""


class RatioDisplay(Table, frozen=True, kw_only=True):
    """How the margin ratio is shown. Decisions never use the shown ratio."""

    direction: RatioDirection = RatioDirection.COLLATERAL_OVER_MAINTENANCE
    digits: int | None = None
    """Decimal places; None shows all 18."""
    rounding: Rounding = Rounding.HALF_EVEN
