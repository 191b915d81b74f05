"""Options by Black-76 over a box.

An option without discount is worth u(F, w), F the forward and w = volatility * sqrt(time) its deviation:

    |du / dF| <= 1, and at most N(d1) of a call, N(-d1) of a put          so at most that of the box's corners
    du / dw   = F * n(d1) = K * n(d2), at most min(F, K) / sqrt(2 pi)
so |u - u0| <= |delta| most * |F - F0| + min(F, K) most / sqrt(2 pi) * |w - w0|. Volatility and time are not prices: what they
may do to w, and to the discount, within their bands and the box's time is drift.

d1 = ln(F / K) / w + w / 2 rises with F. In w it is rising, or convex with its least value at w = sqrt(2 ln(F / K)); so its
largest value is at a corner, and its least at a corner or there.

Twin: `engine.margin.portfolio.scenarios`, for the repricing; what moves volatility and discounts is `portfolio.shocks`
itself. Black-76 on bounds, operation by operation, knows neither that a delta is at most 1 nor that vega is bounded.
"""

import math
from collections.abc import Iterable
from decimal import Decimal
from typing import NamedTuple

from engine.book.boxes import swing
from engine.book.boxes.swing import Swing, UnboundedError
from engine.margin.options.black76 import PRICE_PLACES, SECONDS_PER_YEAR, price_float
from engine.margin.portfolio.shocks import (
    SECONDS_PER_DAY,
    expiry_discounts,
    moved_volatility,
    volatility_shocks,
)
from engine.policy.rules.portfolio_rules import Scenario, UnitRules
from engine.policy.rules.portfolio_switches import Direction, ReferencePrice, SkewMove

_NO_MOVE, _AT_INDEX, _AT_MARK = Direction.NONE, ReferencePrice.INDEX, ReferencePrice.MARK
_NO_SKEW = SkewMove.NONE

_DENSITY = 1 / math.sqrt(2 * math.pi)
"""Largest value of the normal density."""
_TURN = _DENSITY * math.exp(-0.5)
"""Largest value of |x| * density(x)."""
_NOISE = 1e-13
"""Float noise of `price_float`, relative to forward + strike."""
_PLACE = 10.0**-PRICE_PLACES
_DEVIATION_LEAST = 1e-9
"""Below it slopes of the greeks are not worth stating: only their range is."""

Interval = tuple[float, float]


class Series(NamedTuple):
    """One option held."""

    size: float
    """Signed units of the underlying."""
    call: bool
    strike: float
    forward: Swing
    underlying: Swing
    """Its index price."""
    volatility: Interval
    seconds: Interval
    rate: float
    """At least the rule's minimum."""
    own_rate: float
    expiry: str
    settle: str


def value(series: Series, scenario: Scenario, rules: UnitRules, rate_shift: float = 0.0) -> Swing:
    """Model value of the holding in a scenario, before discounts by expiry."""
    if scenario.skew is not _NO_SKEW:
        raise UnboundedError("skew_scenarios")
    passed = float(scenario.days) * SECONDS_PER_DAY
    years = _interval(max(it - passed, 0.0) / SECONDS_PER_YEAR for it in series.seconds)
    volatility = series.volatility
    if scenario.volatility is not _NO_MOVE:
        shocks = [volatility_shocks(rules.volatility, _decimal(it)) for it in _terms(series.seconds, rules)]
        volatility = _interval(
            moved_volatility(rules.volatility, vol, (up, down), scenario)
            for vol in series.volatility
            for up in (min(it[0] for it in shocks), max(it[0] for it in shocks))
            for down in (min(it[1] for it in shocks), max(it[1] for it in shocks))
        )
    deviation = volatility[0] * math.sqrt(years[0]), volatility[1] * math.sqrt(years[1])
    discount = discounted(series.rate + rate_shift, years)
    worth = undiscounted(series, moved_forward(series, float(scenario.price), rules), deviation) * discount
    return worth.loosened(_PLACE).times(series.size)


def undiscounted(series: Series, forward: Swing, deviation: Interval) -> Swing:
    """u(F, w); see above."""
    ends = [
        price_float(series.call, at, series.strike, w, 1.0, 1.0)
        for at in (forward.low, forward.high)
        for w in deviation
    ]
    steep = max(map(abs, deltas(series, forward, deviation)))
    vega = min(forward.high, series.strike) * _DENSITY
    noise = _NOISE * (forward.high + series.strike)
    drift = steep * forward.drift + vega * (deviation[1] - deviation[0]) + 2 * noise
    return Swing(min(ends) - noise, max(ends) + noise, steep * forward.slope, drift)


def deltas(series: Series, forward: Swing, deviation: Interval) -> Interval:
    """Least and greatest delta, undiscounted: of a call 0..1, of a put -1..0."""
    low, high = 0.0, 1.0
    if forward.low > 0 and deviation[0] > _DEVIATION_LEAST:
        moneyness = [math.log(at / series.strike) for at in (forward.low, forward.high)]
        least = min(_d1(moneyness[0], w) for w in deviation)
        if moneyness[0] > 0 and deviation[0] <= math.sqrt(2 * moneyness[0]) <= deviation[1]:
            least = math.sqrt(2 * moneyness[0])
        low, high = _normal(least), _normal(max(_d1(moneyness[1], w) for w in deviation))
        # the normal distribution is computed to far more digits than this
        low, high = max(0.0, low - _NOISE), min(1.0, high + _NOISE)
    return (low, high) if series.call else (low - 1, high - 1)


def delta_value(series: Series) -> Swing:
    """Size * delta * forward, as `exposure.delta_of` has it.

    d(delta F)/d ln F = delta F + n(d1) F / w;   d delta / dw = - n(d1) d2 / w, d2 = d1 - w
    """
    forward, years, deviation = series.forward, _years(series), _deviation(series)
    low, high = deltas(series, forward, deviation)
    discount = discounted(series.own_rate, years)
    product = Swing(low, high) * Swing(forward.low, forward.high)
    if deviation[0] > _DEVIATION_LEAST:
        steep = max(abs(low), abs(high)) + _DENSITY / deviation[0]
        turn = (_TURN + _DENSITY * deviation[1]) / deviation[0]
        drift = steep * forward.drift + forward.high * turn * (deviation[1] - deviation[0])
        product = Swing(product.low, product.high, steep * forward.slope, drift)
    else:
        product = swing.within(product.low, product.high)
    return (product * discount).loosened(forward.high * _PLACE).times(series.size)


def vega_value(series: Series) -> Swing:
    """Size * vega, as `contingencies.vega_charge` has it: vega = D F n(d1) sqrt(t).

    d vega / d ln F = D F sqrt(t) n(d1) (1 - d1 / w);   d n(d1) / dw = n(d1) d1 d2 / w
    """
    forward, years, deviation = series.forward, _years(series), _deviation(series)
    root = math.sqrt(years[0]), math.sqrt(years[1])
    most = forward.high * root[1] * _DENSITY
    vega = swing.within(0.0, most)
    if deviation[0] > _DEVIATION_LEAST:
        steep = _DENSITY + _TURN / deviation[0]
        # |d1 d2| n(d1) <= (d1^2 + |d1| w) n(d1), and d1^2 n(d1) <= 2 n(0) / e
        turn = (2 * _DENSITY / math.e + _TURN * deviation[1]) / deviation[0]
        drift = root[1] * (
            steep * forward.drift + forward.high * turn * (deviation[1] - deviation[0])
        ) + forward.high * _DENSITY * (root[1] - root[0])
        vega = Swing(0.0, most, steep * root[1] * forward.slope, drift)
    return (vega * discounted(series.own_rate, years)).loosened(_PLACE).times(series.size)


def moved_forward(series: Series, move: float, rules: UnitRules) -> Swing:
    """The forward once the underlying moved by this fraction."""
    settlement = float(rules.settlement_seconds)
    share = _interval(min(it / settlement, 1.0) if settlement else 1.0 for it in series.seconds)
    if rules.shock_on is _AT_MARK and share == (1.0, 1.0):
        return swing.above_zero(series.forward.times(1 + move))
    moving = series.underlying if rules.shock_on is _AT_INDEX else series.forward
    return swing.above_zero(series.forward + (moving * swing.within(*share)).times(move))


def discounts(held: list[Series], rules: UnitRules) -> tuple[Swing, Swing]:
    """(long, short) factor on the simulated value of one expiry."""
    if rules.expiry_discount is None:
        return swing.ONE, swing.ONE
    seconds = _interval(it for one in held for it in one.seconds)
    rate = _decimal(max(one.rate for one in held))
    steps = [float(step.days_floor) * SECONDS_PER_DAY for step in rules.expiry_discount.steps]
    terms = [*seconds, *(it for it in steps if seconds[0] < it < seconds[1])]
    found = [expiry_discounts(rules.expiry_discount, _decimal(it), rate) for it in terms]
    longs, shorts = zip(*found, strict=True)
    return _hull(longs), _hull(shorts)


def _hull(factors: Iterable[Decimal]) -> Swing:
    low, high = _interval(map(float, factors))
    return swing.within(low, high).loosened(_NOISE)


def discounted(rate: float, years: Interval) -> Swing:
    """e^(-rate * years)."""
    return swing.within(*_interval(math.exp(-rate * it) for it in years))


def _terms(seconds: Interval, rules: UnitRules) -> list[float]:
    """Where the shocks of a term may have their extremes: they are monotone in between."""
    shock = rules.volatility
    if shock.floor_days > shock.reference_days:
        raise UnboundedError("volatility_floor")
    turns = [float(shock.reference_days), *(float(step.days_floor) for step in shock.steps)]
    return [
        *seconds,
        *(it * SECONDS_PER_DAY for it in turns if seconds[0] < it * SECONDS_PER_DAY < seconds[1]),
    ]


def _deviation(series: Series) -> Interval:
    years = _years(series)
    return series.volatility[0] * math.sqrt(years[0]), series.volatility[1] * math.sqrt(years[1])


def _years(series: Series) -> Interval:
    return series.seconds[0] / SECONDS_PER_YEAR, series.seconds[1] / SECONDS_PER_YEAR


def _d1(moneyness: float, deviation: float) -> float:
    return moneyness / deviation + deviation / 2


def _normal(x: float) -> float:
    return 0.5 * math.erfc(-x / math.sqrt(2))


def _interval(values: Iterable[float]) -> Interval:
    found = list(values)
    return min(found), max(found)


def _decimal(amount: float) -> Decimal:
    return Decimal(repr(amount))
