"""What doubtful prices cost: haircuts, oracle confidence and the peg of the stablecoin. Inside `numbers.exact()`.

    haircut      value * haircut of the exposure
    confidence   (1 - confidence) * rate * value            when confidence < threshold
    peg          rate * max(0, threshold - price) * index * (futures + short options)
Source: Derive v2-core, PMRMLib_2 and StandardManager.

Twin: `engine.book.boxes.unit_swings`.
"""

from collections.abc import Sequence
from decimal import Decimal

from engine.margin.portfolio.contingencies import FUTURES, Charge
from engine.margin.portfolio.exposure import Exposure, delta_of, index_of, value_of
from engine.numbers import ONE, ZERO
from engine.policy.rules.portfolio_rules import OracleConfidence, StablecoinPeg
from engine.policy.rules.portfolio_switches import CountedOptions

_ALL_OPTIONS = CountedOptions.GROSS


def haircut_charge(exposures: Sequence[Exposure]) -> Charge | None:
    """Share of the value of spot collateral that is required; None where no exposure has a haircut."""
    cut = [
        one for one in exposures if one.kind == "spot" and (one.maintenance_haircut or one.initial_haircut)
    ]
    if not cut:
        return None
    values = [(one, value_of(one)) for one in cut]
    return Charge(
        "haircut",
        "sum of value * haircut",
        {one.symbol: value for one, value in values},
        sum((value * one.maintenance_haircut for one, value in values), ZERO),
        sum((value * one.initial_haircut for one, value in values), ZERO),
    )


def confidence_charge(exposures: Sequence[Exposure], rules: OracleConfidence) -> Charge:
    """Futures and spot one by one by their own confidence, options per expiry by their least."""
    weighted = ZERO
    futures = [one for one in exposures if one.kind in FUTURES]
    for one in exposures:
        if one.kind in FUTURES:
            weighted += _doubt(_least(one), _size_value(one), rules)
        elif one.kind == "spot":
            weighted += _doubt(_least(one), abs(value_of(one)), rules)
    bound = min((_least(one) for one in futures), default=ONE) if rules.futures_bind_options else ONE
    by_expiry: dict[object, list[Exposure]] = {}
    for one in exposures:
        if one.kind == "option":
            by_expiry.setdefault(one.expiry or one.seconds_to_expiry, []).append(one)
    for held in by_expiry.values():
        counted = held if rules.options is _ALL_OPTIONS else [one for one in held if one.quantity < 0]
        least = min(bound, *(_least(one) for one in held))
        weighted += _doubt(least, sum(map(_size_value, counted), ZERO), rules)
    return Charge(
        "confidence",
        "rate * sum of (1 - confidence) * value below the threshold",
        {"weighted_value": weighted, "threshold": rules.threshold},
        rules.rate.maintenance * weighted,
        rules.rate.for_initial * weighted,
    )


def peg_gap(peg: StablecoinPeg | None, price: Decimal) -> Decimal:
    """max(0, threshold - price)."""
    return ZERO if peg is None else max(ZERO, peg.threshold - price)


def peg_charge(exposures: Sequence[Exposure], peg: StablecoinPeg, price: Decimal) -> Charge:
    """Futures and short options while the stablecoin trades below its peg."""
    counted = [one for one in exposures if one.kind in FUTURES or (one.kind == "option" and one.quantity < 0)]
    size = sum(map(_size_value, counted), ZERO)
    gap = peg_gap(peg, price)
    return Charge(
        "peg",
        "rate * max(0, threshold - price) * index * size",
        {"size_value": size, "gap": gap},
        peg.rate.maintenance * gap * size,
        peg.rate.for_initial * gap * size,
    )


def _least(exposure: Exposure) -> Decimal:
    return min(exposure.confidence, exposure.index_confidence)


def _size_value(exposure: Exposure) -> Decimal:
    if exposure.kind == "inverse":
        # its quantity is in quote currency: quantity / mark coins
        return abs(delta_of(exposure))
    return abs(exposure.quantity) * index_of(exposure) * exposure.conversion


def _doubt(confidence: Decimal, value: Decimal, rules: OracleConfidence) -> Decimal:
    return (ONE - confidence) * value if confidence < rules.threshold else ZERO
