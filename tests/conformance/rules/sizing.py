"""How much to close, or to sell."""

from decimal import Decimal

from engine.numbers import ZERO, divide, exact, to_step


def freed_per_unit(
    price: Decimal,
    quote_price: Decimal,
    margin_rate: Decimal,
    liquidation_fee_rate: Decimal,
    insurance_fee_rate: Decimal,
) -> Decimal:
    """Requirement that closing one unit of the underlying frees, less the fees it costs; may be 0 or less.

    Source: drift-labs/protocol-v2, `calculate_base_asset_amount_to_cover_margin_shortage`, where the insurance fee
    is counted at the price alone.
    """
    with exact():
        # price * quote price * (margin rate - liquidation fee) - price * insurance fee
        return price * quote_price * (margin_rate - liquidation_fee_rate) - price * insurance_fee_rate


def quantity_to_cover(shortage: Decimal, freed: Decimal, step: Decimal) -> Decimal | None:
    """Units to close so that what they free covers `shortage`, truncated to `step`.

    None where closing frees nothing (`freed` <= 0): only the whole position ends the shortage.
    """
    if freed <= 0:
        return None
    with exact():
        # shortage / freed per unit; truncated before the division, which is then exact
        return divide(to_step(max(shortage, ZERO), freed * step, "down"), freed)


def quantity_above(quantity: Decimal, ceiling: Decimal) -> Decimal:
    """Contracts to close so that the position fits under the ceiling of a risk tier, in one cut.

    Source: OKX, forced partial liquidation, the rule that cuts straight to the lowest tier.
    """
    with exact():
        # max(0, |quantity| - ceiling)
        return max(ZERO, abs(quantity) - ceiling)


def value_to_sell(deficit: Decimal, conversion_factor: Decimal) -> Decimal:
    """Market value of an asset to sell so that it pays `deficit`, when the sale credits only a share of the value.

    Source: Binance Futures, Multi-Assets mode, auto-exchange.
    """
    # deficit / conversion factor
    return divide(deficit, conversion_factor)
