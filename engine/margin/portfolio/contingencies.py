"""What a unit requires besides its worst scenario, each part as one named charge.

Sources: OKX, portfolio margin MR3..MR9; Bybit, portfolio margin contingencies; Deribit, delta and roll shock;
Derive v2-core, PMRMLib_2. Call everything here inside `numbers.exact()`.

Twin: `engine.book.boxes.charge_swings`, for what is not generic over its number here.
"""

import math
from collections.abc import Hashable, Iterable, Iterator, Sequence
from decimal import Decimal

import msgspec

from engine.margin import exact_arithmetic
from engine.margin.arithmetic import Arithmetic, N
from engine.margin.options.black76 import SECONDS_PER_YEAR, to_places
from engine.margin.portfolio.exposure import Exposure, delta_of, greeks_of, index_of
from engine.margin.portfolio.shocks import FACTOR_PLACES, SECONDS_PER_DAY
from engine.numbers import ZERO, divide
from engine.policy.rules.asset_terms import joined
from engine.policy.rules.portfolio_rules import (
    BasisRisk,
    ChargeTier,
    DeltaOneCharge,
    LiquidityCharge,
    MinimumCharge,
    SettleHedge,
    ShortOptionCharge,
    VegaRisk,
)
from engine.policy.rules.portfolio_switches import BasisNetting, Compounding, ShortNetting

_EACH, _LINEAR_COMPOUNDING, _BY_STRIKE = BasisNetting.EACH, Compounding.LINEAR, ShortNetting.STRIKE


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
    if rules.netting is _EACH:
        # sum of |net delta| * move to expiry
        charge = sum(
            [abs(delta) * basis_move(rules, terms.get(key, ZERO)) for key, delta in groups.items()], ZERO
        )
        base = sum(map(abs, groups.values()), ZERO)
    else:
        # sum of offset delta * move between the two expiries
        pairs = offsets((terms.get(key, ZERO), delta) for key, delta in sorted(groups.items()))
        charge = sum((amount * basis_move(rules, between) for amount, between in pairs), ZERO)
        base = sum((amount for amount, _ in pairs), ZERO)
    return Charge(
        "basis",
        f"sum of {'|net delta| * move' if rules.netting is _EACH else 'offset delta * move'} by expiry",
        {"delta": base, "move_min": rules.move_min, "annualised_move": rules.annualised_move},
        charge,
        charge,
    )


def basis_move(rules: BasisRisk, seconds: Decimal) -> Decimal:
    """max(e^(annualised move * years) - 1 | annualised move * years, move min)."""
    if not rules.annualised_move:
        return rules.move_min
    if not seconds:
        return max(ZERO, rules.move_min)
    years = divide(seconds, Decimal(SECONDS_PER_YEAR))
    if rules.compounding is _LINEAR_COMPOUNDING:
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
    short = short_option_value(exposures, netting=rules.netting is _BY_STRIKE)
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
    written = [one for one in exposures if one.kind == "option"]
    values = (
        (
            (one.expiry or str(one.seconds_to_expiry), one.strike),
            one.quantity * index_of(one) * one.conversion,
        )
        for one in written
    )
    return net_short(values, exact_arithmetic, netting=netting)


def net_short(values: Iterable[tuple[Hashable, N]], numbers: Arithmetic[N], *, netting: bool) -> N:
    """Sum of the short (< 0) ones of these values, those of one key netted where `netting`."""
    by_key: dict[Hashable, N] = {}
    for place, (series, value) in enumerate(values):
        key = series if netting else place
        by_key[key] = by_key[key] + value if key in by_key else value
    short = numbers.NOTHING
    for value in by_key.values():
        short += numbers.above_zero(-value)
    return short


def liquidity_charge(exposures: Sequence[Exposure], rules: LiquidityCharge) -> Charge:
    """|net delta| * min(rate max, slope * max(0, |net delta| - threshold))."""
    delta = abs(sum((delta_of(one) for one in exposures), ZERO))
    rate = liquidity_rate(delta, rules, exact_arithmetic)
    return Charge(
        "liquidity",
        "|net delta| * min(rate max, slope * max(0, |net delta| - threshold))",
        {"delta": delta, "rate": rate},
        delta * rate,
        delta * rate,
    )


def liquidity_rate(delta: N, rules: LiquidityCharge, numbers: Arithmetic[N]) -> N:
    """Rate on a net delta of this magnitude."""
    over = numbers.above_zero(delta - numbers.fixed(rules.threshold))
    # min(rate max, slope * max(0, |net delta| - threshold))
    return numbers.smaller(numbers.fixed(rules.rate_max), over * rules.slope)


def minimum_charge(exposures: Sequence[Exposure], rules: MinimumCharge) -> Decimal:
    """Rate on futures and short options, scaled by tiers."""
    delta = sum((abs(delta_of(one)) for one in exposures if one.kind in FUTURES), ZERO)
    raw = rules.delta_one_rate * delta
    if rules.option_rate:
        raw += rules.option_rate * short_option_value(exposures, netting=False)
    return scaled_charge(raw, rules.tiers, exact_arithmetic)


def scaled_charge(raw: N, tiers: Sequence[ChargeTier], numbers: Arithmetic[N]) -> N:
    """Sum over tiers of the part of `raw` in the tier * its multiplier; unscaled without tiers."""
    if not tiers:
        return raw
    return numbers.tiered(raw, joined((tier.floor, tier.multiplier) for tier in tiers))


def settle_hedge_charges(exposures: Sequence[Exposure], hedges: Iterable[SettleHedge]) -> Iterator[Charge]:
    """Per pair of settle assets: a rate on the delta by which they still offset each other, in the order listed."""
    deltas: dict[str, Decimal] = {}
    for one in exposures:
        if one.kind != "cash":
            deltas[one.settle] = deltas.get(one.settle, ZERO) + delta_of(one)
    for hedge, offset in settle_offsets(deltas, hedges, exact_arithmetic):
        if offset:
            charge = hedge_charge(offset, hedge, exact_arithmetic)
            formula = "rate * tiered offset delta" if hedge.tiers else "rate * offset delta"
            name = f"settle_hedge {hedge.first}/{hedge.second}"
            yield Charge(name, formula, {"offset": offset, "rate": hedge.rate}, charge, charge)


def hedge_charge(offset: N, hedge: SettleHedge, numbers: Arithmetic[N]) -> N:
    """What an offset delta (>= 0) of a pair of settle assets is charged. Source of the tiers: OKX, MR9."""
    # rate * sum over tiers of the part of the offset in the tier * its multiplier
    return scaled_charge(offset, hedge.tiers, numbers) * hedge.rate


def settle_offsets(
    deltas: dict[str, N], hedges: Iterable[SettleHedge], numbers: Arithmetic[N]
) -> Iterator[tuple[SettleHedge, N]]:
    """Of each pair the delta by which it offsets, >= 0; it is taken out of `deltas` (by settle asset)."""
    for hedge in hedges:
        first = deltas.get(hedge.first, numbers.NOTHING)
        second = deltas.get(hedge.second, numbers.NOTHING)
        # what a long in one and a short in the other have in common
        falling = numbers.above_zero(numbers.smaller(first, -second))
        rising = numbers.above_zero(numbers.smaller(-first, second))
        deltas[hedge.first] = first - falling + rising
        deltas[hedge.second] = second + falling - rising
        yield hedge, falling + rising


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
