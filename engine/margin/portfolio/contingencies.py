"""What a unit requires besides its worst scenario, each part as one named charge.

Sources: OKX, portfolio margin MR3..MR9; Bybit, portfolio margin contingencies; Deribit, delta and roll shock;
Derive v2-core, PMRMLib_2. Call everything here inside `numbers.exact()`.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from decimal import Decimal

import msgspec

from engine.margin.black76 import SECONDS_PER_YEAR, to_places
from engine.margin.portfolio.exposure import Exposure, delta_of, greeks_of, index_of
from engine.margin.portfolio.shocks import FACTOR_PLACES, SECONDS_PER_DAY
from engine.numbers import ZERO, divide
from engine.policy.portfolio import (
    BasisRisk,
    ChargeTier,
    DeltaOneCharge,
    LiquidityCharge,
    MinimumCharge,
    SettleHedge,
    ShortOptionCharge,
    VegaRisk,
)


class Charge(msgspec.Struct, frozen=True):
    """A named part of a requirement, in account currency."""

    name: str
    formula: str
    inputs: dict[str, Decimal]
    maintenance: Decimal
    initial: Decimal


FUTURES = frozenset({"linear", "inverse"})
_SPOT_GROUP = "spot"


def delta_one_charge(exposures: Sequence[Exposure], rules: DeltaOneCharge) -> Charge:
    """Rate * sum of |quantity| * price over futures and perpetuals."""
    gross = sum((abs(delta_of(one, rules.price)) for one in exposures if one.kind in FUTURES), ZERO)
    return Charge(
        "delta_one",
        f"rate * sum of |quantity| * {rules.price}",
        {"gross": gross, "maintenance_rate": rules.rate.maintenance, "initial_rate": rules.rate.for_initial},
        rules.rate.maintenance * gross,
        rules.rate.for_initial * gross,
    )


def basis_charge(exposures: Sequence[Exposure], rules: BasisRisk) -> Charge:
    """Spot, perpetuals and expiries move apart."""
    groups: dict[str, Decimal] = {}
    terms: dict[str, Decimal] = {}
    for one in exposures:
        if one.kind == "cash" or (one.kind == _SPOT_GROUP and not rules.spot):
            continue
        key = _SPOT_GROUP if one.kind == _SPOT_GROUP else one.expiry or str(one.seconds_to_expiry)
        groups[key] = groups.get(key, ZERO) + delta_of(one)
        if key != _SPOT_GROUP:
            terms[key] = max(terms.get(key, ZERO), one.seconds_to_expiry)
    if rules.netting == "each":
        # sum of |net delta| * move to expiry
        charge = sum(
            (abs(delta) * basis_move(rules, terms.get(key, ZERO)) for key, delta in groups.items()), ZERO
        )
        base = sum(map(abs, groups.values()), ZERO)
    else:
        # sum of offset delta * move between the two expiries
        pairs = offsets((terms.get(key, ZERO), delta) for key, delta in sorted(groups.items()))
        charge = sum((amount * basis_move(rules, between) for amount, between in pairs), ZERO)
        base = sum((amount for amount, _ in pairs), ZERO)
    return Charge(
        "basis",
        f"sum of {'|net delta| * move' if rules.netting == 'each' else 'offset delta * move'} by expiry",
        {"delta": base, "move_min": rules.move_min, "annualised_move": rules.annualised_move},
        charge,
        charge,
    )


def basis_move(rules: BasisRisk, seconds: Decimal) -> Decimal:
    """max(e^(annualised move * years) - 1 | annualised move * years, move min)."""
    if not rules.annualised_move:
        return rules.move_min
    years = divide(seconds, Decimal(SECONDS_PER_YEAR))
    if rules.compounding == "linear":
        return max(rules.annualised_move * years, rules.move_min)
    return max(to_places(math.expm1(float(rules.annualised_move * years)), FACTOR_PLACES), rules.move_min)


def vega_charge(exposures: Sequence[Exposure], rules: VegaRisk) -> Charge:
    """Volatilities of expiries move apart: offset vega * (move min + move per day * days between)."""
    groups: dict[Decimal, Decimal] = {}
    for one in exposures:
        if one.kind == "option":
            vega = one.quantity * one.conversion * greeks_of(one).vega
            groups[one.seconds_to_expiry] = groups.get(one.seconds_to_expiry, ZERO) + vega
    pairs = offsets(sorted(groups.items()))
    charge = sum(
        (
            amount * (rules.move_min + rules.move_per_day * divide(between, Decimal(SECONDS_PER_DAY)))
            for amount, between in pairs
        ),
        ZERO,
    )
    return Charge(
        "vega",
        "sum of offset vega * (move min + move per day * days between)",
        {"vega": sum((amount for amount, _ in pairs), ZERO), "move_per_day": rules.move_per_day},
        charge,
        charge,
    )


def short_option_charge(exposures: Sequence[Exposure], rules: ShortOptionCharge) -> Charge:
    """Rate * short options * index."""
    short = short_option_value(exposures, netting=rules.netting == "strike")
    return Charge(
        "short_option",
        "rate * short quantity * index",
        {
            "short_value": short,
            "maintenance_rate": rules.rate.maintenance,
            "initial_rate": rules.rate.for_initial,
        },
        rules.rate.maintenance * short,
        rules.rate.for_initial * short,
    )


def short_option_value(exposures: Iterable[Exposure], *, netting: bool) -> Decimal:
    """Short options at the index price; longs of the same strike and expiry deducted where `netting`."""
    by_strike: dict[tuple[object, ...], Decimal] = {}
    for place, one in enumerate(exposures):
        if one.kind == "option":
            key = (one.expiry or one.seconds_to_expiry, one.strike) if netting else (place,)
            size = one.quantity * index_of(one) * one.conversion
            by_strike[key] = by_strike.get(key, ZERO) + size
    return sum((max(ZERO, -size) for size in by_strike.values()), ZERO)


def liquidity_charge(exposures: Sequence[Exposure], rules: LiquidityCharge) -> Charge:
    """|net delta| * min(rate max, slope * max(0, |net delta| - threshold))."""
    delta = abs(sum((delta_of(one) for one in exposures), ZERO))
    rate = min(rules.rate_max, rules.slope * max(ZERO, delta - rules.threshold))
    return Charge(
        "liquidity",
        "|net delta| * min(rate max, slope * max(0, |net delta| - threshold))",
        {"delta": delta, "rate": rate},
        delta * rate,
        delta * rate,
    )


def minimum_charge(exposures: Sequence[Exposure], rules: MinimumCharge) -> Decimal:
    """Rate on futures and short options, scaled by tiers."""
    delta = sum((abs(delta_of(one)) for one in exposures if one.kind in FUTURES), ZERO)
    raw = rules.delta_one_rate * delta
    if rules.option_rate:
        raw += rules.option_rate * short_option_value(exposures, netting=False)
    return scaled_charge(raw, rules.tiers)


def scaled_charge(raw: Decimal, tiers: Sequence[ChargeTier]) -> Decimal:
    """Sum over tiers of the part of `raw` in the tier * its multiplier; unscaled without tiers."""
    if not tiers:
        return raw
    scaled = ZERO
    for place, tier in enumerate(tiers):
        if raw <= tier.floor:
            break
        ceiling = tiers[place + 1].floor if place + 1 < len(tiers) else raw
        scaled += (min(raw, ceiling) - tier.floor) * tier.multiplier
    return scaled


def settle_hedge_charges(exposures: Sequence[Exposure], hedges: Iterable[SettleHedge]) -> Iterator[Charge]:
    """Per pair of settle assets: rate * the delta by which they still offset each other, in the order listed."""
    deltas: dict[str, Decimal] = {}
    for one in exposures:
        if one.kind != "cash":
            deltas[one.settle] = deltas.get(one.settle, ZERO) + delta_of(one)
    for hedge in hedges:
        first, second = deltas.get(hedge.first, ZERO), deltas.get(hedge.second, ZERO)
        if first * second >= 0:
            continue
        offset = min(abs(first), abs(second))
        deltas[hedge.first] = first - offset if first > 0 else first + offset
        deltas[hedge.second] = second - offset if second > 0 else second + offset
        charge = hedge.rate * offset
        name = f"settle_hedge {hedge.first}/{hedge.second}"
        yield Charge(name, "rate * offset delta", {"offset": offset, "rate": hedge.rate}, charge, charge)


def offsets(groups: Iterable[tuple[Decimal, Decimal]]) -> list[tuple[Decimal, Decimal]]:
    """(amount, seconds between) for all that long and short groups offset, each against the nearest open ones.

    `groups` are (seconds to expiry, signed amount).
    """
    found: list[tuple[Decimal, Decimal]] = []
    held: list[tuple[Decimal, Decimal]] = []
    for seconds, amount in sorted(groups):
        left = amount
        while left and held and held[-1][1] * left < 0:
            other_seconds, other = held.pop()
            matched = min(abs(left), abs(other))
            found.append((matched, seconds - other_seconds))
            rest = other + left
            # what is left keeps the sign of the larger amount
            if abs(other) > abs(left):
                held.append((other_seconds, rest))
                left = ZERO
            else:
                left = rest
        if left:
            held.append((seconds, left))
    return found
