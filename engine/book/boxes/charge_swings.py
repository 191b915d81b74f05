"""Charges of a risk unit over a box.

What groups offset (`contingencies.offsets`) swings no further than the number of groups times the largest charge times
their amounts: one more unit in one group changes at most one match with each of the others.

Twin: `engine.margin.portfolio.contingencies`, for sums by group and for what groups offset: matching groups one by one
has no bound of its own.
"""

import math
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from engine.book.boxes import swing
from engine.book.boxes.series_swings import Series, delta_value, vega_value
from engine.book.boxes.swing import NOTHING, Swing
from engine.margin.options.black76 import SECONDS_PER_YEAR
from engine.margin.portfolio.contingencies import (
    hedge_charge,
    liquidity_rate,
    net_short,
    scaled_charge,
    settle_offsets,
)
from engine.margin.portfolio.exposure import ExposureKind
from engine.margin.portfolio.shocks import FACTOR_PLACES, SECONDS_PER_DAY
from engine.policy.rules.contingency_rules import BasisRisk, MinimumCharge, VegaRisk
from engine.policy.rules.portfolio_rules import UnitRules
from engine.policy.rules.portfolio_switches import BasisNetting, Compounding, ReferencePrice, ShortNetting

_HEDGED, _EXPONENTIAL, _AT_INDEX = BasisNetting.HEDGED, Compounding.EXPONENTIAL, ReferencePrice.INDEX
_BY_STRIKE = ShortNetting.STRIKE

_MOVE_PLACE = 10.0 ** (1 - FACTOR_PLACES)
"""Rounding of the moves and factors of charges."""


class Contract(NamedTuple):
    """A future, a perpetual or coins."""

    kind: ExposureKind
    delta: Swing
    """At the mark, account currency."""
    index_delta: Swing
    """At the index."""
    settle: str
    expiry: str
    seconds: tuple[float, float]


def contingencies(contracts: list[Contract], options: list[Series], rules: UnitRules) -> Iterator[Swing]:
    """What the unit requires besides its worst loss, but for the loss when interest rates move."""
    futures = [it for it in contracts if it.kind != "spot"]
    if rules.basis is not None:
        yield _basis(contracts, options, rules.basis)
    if rules.vega is not None and options:
        yield _vega(options, rules.vega)
    if rules.delta_one is not None:
        at_index = rules.delta_one.price is _AT_INDEX
        gross = swing.total(swing.magnitude(it.index_delta if at_index else it.delta) for it in futures)
        yield gross.times(float(rules.delta_one.rate.maintenance))
    if rules.short_option is not None:
        short = _short_value(options, netting=rules.short_option.netting is _BY_STRIKE)
        yield short.times(float(rules.short_option.rate.maintenance))
    if rules.liquidity is not None:
        deltas = [it.delta for it in contracts] + [delta_value(it) for it in options]
        delta = swing.magnitude(swing.total(deltas))
        yield delta * liquidity_rate(delta, rules.liquidity, swing)


def _basis(contracts: list[Contract], options: list[Series], rules: BasisRisk) -> Swing:
    groups: dict[str, Swing] = {}
    terms: dict[str, list[float]] = {}
    for kind, expiry, delta, seconds in (
        *((it.kind, it.expiry, it.delta, it.seconds) for it in contracts),
        *(("option", it.expiry, delta_value(it), it.seconds) for it in options),
    ):
        if kind == "spot" and not rules.spot:
            continue
        key = "spot" if kind == "spot" else expiry
        groups[key] = groups.get(key, NOTHING) + delta
        terms.setdefault(key, []).extend((0.0, 0.0) if kind == "spot" else seconds)
    if rules.netting is _HEDGED:
        longest = max((it for found in terms.values() for it in found), default=0.0)
        most = max(_basis_move(rules, longest), float(rules.move_min))
        return _offset(groups.values(), most, _drift_of_moves(terms.values(), rules) + _MOVE_PLACE)
    charges = []
    for key, delta in groups.items():
        # |net delta| * move to expiry; all expiries of a group are one
        low, high = _basis_move(rules, min(terms[key])), _basis_move(rules, max(terms[key]))
        charges.append(swing.magnitude(delta) * swing.within(low, high).loosened(_MOVE_PLACE))
    return swing.total(charges)


def _drift_of_moves(terms: Iterable[list[float]], rules: BasisRisk) -> float:
    """How far the move between two expiries, or between an expiry and now, may drift while time passes."""
    return max((_basis_move(rules, max(it)) - _basis_move(rules, min(it)) for it in terms), default=0.0)


def _basis_move(rules: BasisRisk, seconds: float) -> float:
    move = float(rules.annualised_move) * seconds / SECONDS_PER_YEAR
    return max(math.expm1(move) if rules.compounding is _EXPONENTIAL else move, float(rules.move_min))


def _vega(options: list[Series], rules: VegaRisk) -> Swing:
    groups: dict[str, Swing] = {}
    for one in options:
        groups[one.expiry] = groups.get(one.expiry, NOTHING) + vega_value(one)
    days = [it / SECONDS_PER_DAY for one in options for it in one.seconds]
    per_day = float(rules.move_per_day)
    most = float(rules.move_min) + per_day * (max(days) - min(days))
    # the days between two expiries pass only for one that is over, and that has no vega
    return _offset(groups.values(), most, _MOVE_PLACE)


def _offset(groups: Iterable[Swing], most: float, drift: float) -> Swing:
    """What groups offset, charged at rates up to `most` that drift by up to `drift`."""
    found = list(groups)
    amounts = swing.total(map(swing.magnitude, found))
    if len(found) <= 1:
        return NOTHING
    charge = amounts.times(most * len(found))
    return Swing(0.0, amounts.high * most, charge.slope, charge.drift + amounts.high * drift)


def _short_value(options: list[Series], *, netting: bool) -> Swing:
    values = (((it.expiry, it.strike), it.underlying.times(it.size)) for it in options)
    return net_short(values, swing, netting=netting)


def minimum_charge(contracts: list[Contract], options: list[Series], rules: MinimumCharge) -> Swing:
    """Least requirement of the unit."""
    raw = swing.total(swing.magnitude(it.delta) for it in contracts if it.kind != "spot")
    raw = raw.times(float(rules.delta_one_rate))
    raw += _short_value(options, netting=False).times(float(rules.option_rate))
    return scaled_charge(raw, rules.tiers, swing)


def settle_hedges(contracts: list[Contract], options: list[Series], rules: UnitRules) -> Iterator[Swing]:
    """What is charged per pair of settle assets that offset each other."""
    deltas: dict[str, Swing] = {}
    if not rules.settle_hedges:
        return
    for settle, delta in (
        *((it.settle, it.delta) for it in contracts),
        *((it.settle, delta_value(it)) for it in options),
    ):
        deltas[settle] = deltas.get(settle, NOTHING) + delta
    for hedge, offset in settle_offsets(deltas, rules.settle_hedges, swing):
        yield hedge_charge(offset, hedge, swing)
