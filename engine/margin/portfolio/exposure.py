"""What the scenario engine sees of an account: one exposure per holding, and its delta and value."""

from decimal import Decimal
from typing import Literal

import msgspec

from engine.margin.options.black76 import Greeks, OptionQuote, option_greeks, option_price
from engine.numbers import ONE, ZERO, divide
from engine.policy.rules.instrument_rules import OptionRight
from engine.policy.rules.portfolio_switches import ReferencePrice

_AT_INDEX = ReferencePrice.INDEX


ExposureKind = Literal["cash", "spot", "linear", "inverse", "option"]
"""Cash is worth its mark and carries no risk; a linear or inverse contract is a perpetual or a future."""


class Exposure(msgspec.Struct, frozen=True, kw_only=True):
    """One holding of a risk unit.

    P&L and value are in the settle asset; `conversion` turns them into account currency.
    """

    symbol: str
    underlying: str
    """The risk unit it belongs to."""
    kind: ExposureKind
    quantity: Decimal
    """Signed. Units of the underlying (contracts * multiplier); of an inverse contract, units of its quote currency."""
    mark: Decimal | None = None
    """Price of one unit in the settle asset; None values an option by the model. Inverse: quote currency per coin."""
    index: Decimal = ZERO
    """Index price of the underlying in the settle asset; 0 takes the mark, of an option the forward."""
    conversion: Decimal = ONE
    """Account currency per unit of settle asset."""
    settle: str = ""
    expiry: str = ""
    """Groups what expires together; empty for spot and perpetuals."""
    seconds_to_expiry: Decimal = ZERO
    profit: Decimal = ZERO
    """Unrealised P&L (and funding due) of a contract, in the settle asset."""

    offsets_risk: bool = True
    """Spot: whether it moves with the underlying in the scenarios; otherwise it only counts by its value."""
    maintenance_haircut: Decimal = ZERO
    """Share of its value that is required in MM."""
    initial_haircut: Decimal = ZERO
    """Share of its value that is required in IM."""

    confidence: Decimal = ONE
    """Of the oracles that price it, 0..1: the least of them."""
    index_confidence: Decimal = ONE

    right: OptionRight = "call"
    strike: Decimal = ZERO
    volatility: Decimal = ZERO
    forward: Decimal = ZERO
    """Price of the underlying for the option's expiry; 0 takes the index."""
    rate: Decimal = ZERO


def index_of(exposure: Exposure) -> Decimal:
    """Index price of the underlying; where there is none the mark, of an option its forward."""
    instead = exposure.forward if exposure.kind == "option" else exposure.mark
    return exposure.index or instead or ZERO


def quote_of(exposure: Exposure, rate_min: Decimal | None = None) -> OptionQuote:
    """What prices an option exposure."""
    return OptionQuote(
        right=exposure.right,
        strike=exposure.strike,
        forward=exposure.forward or index_of(exposure),
        volatility=exposure.volatility,
        seconds_to_expiry=exposure.seconds_to_expiry,
        rate=exposure.rate if rate_min is None else max(exposure.rate, rate_min),
    )


def unit_value(exposure: Exposure, rate_min: Decimal | None = None) -> Decimal:
    """Value of one unit of an option: its mark, or the model's price. Call it inside `numbers.exact()`."""
    return option_price(quote_of(exposure, rate_min)) if exposure.mark is None else exposure.mark


def value_of(exposure: Exposure, rate_min: Decimal | None = None) -> Decimal:
    """What the exposure contributes to equity, in account currency. Call it inside `numbers.exact()`.

    contract: unrealised P&L;  option: quantity * value;  spot and cash: quantity * mark
    """
    if exposure.kind in {"linear", "inverse"}:
        return exposure.profit * exposure.conversion
    price = unit_value(exposure, rate_min) if exposure.kind == "option" else exposure.mark or ZERO
    return exposure.quantity * price * exposure.conversion


def delta_of(exposure: Exposure, price: ReferencePrice = ReferencePrice.MARK) -> Decimal:
    """Gain in account currency when the underlying doubles, to first order. Call it inside `numbers.exact()`.

    linear, spot   quantity * price * conversion
    inverse        quantity / mark * conversion          coins, at the coin's price
    option         quantity * delta * forward * conversion
    """
    match exposure.kind:
        case "cash":
            return ZERO
        case "inverse":
            return divide(exposure.quantity, exposure.mark or index_of(exposure)) * exposure.conversion
        case "option":
            quote = quote_of(exposure)
            return exposure.quantity * option_greeks(quote).delta * quote.forward * exposure.conversion
        case _:
            if exposure.kind == "spot" and not exposure.offsets_risk:
                return ZERO
            at = index_of(exposure) if price is _AT_INDEX else exposure.mark or ZERO
            return exposure.quantity * at * exposure.conversion


def greeks_of(exposure: Exposure) -> Greeks:
    """Sensitivities of one unit of an option exposure."""
    return option_greeks(quote_of(exposure))
