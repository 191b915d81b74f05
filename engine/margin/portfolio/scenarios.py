"""Simulated profit and loss of one risk unit in every scenario.

    futures, spot   price move * sum of deltas               summed once, so a scenario costs one product
    options         quantity * (Black-76 at moved forward, volatility, term - Black-76 now), per expiry
    expiry          moved value of the expiry's options * discount of its sign - value now
    scenario        weight * P&L, a loss less the dampener

A scenario that moves the skew counts the change of every expiry as a loss: the skew may turn either way.

Twin: `engine.book.boxes.unit_swings` and `engine.book.boxes.series_swings`.
"""

import math
from collections.abc import Iterable
from decimal import Decimal

import msgspec

from engine.margin import exact_arithmetic
from engine.margin.arithmetic import Arithmetic, N
from engine.margin.options.black76 import SECONDS_PER_YEAR, price_float, to_places
from engine.margin.portfolio.exposure import Exposure, delta_of, index_of, quote_of
from engine.margin.portfolio.shocks import (
    SECONDS_PER_DAY,
    expiry_discounts,
    moved_volatility,
    skew_multiplier,
    volatility_shocks,
)
from engine.numbers import ONE, ZERO, divide
from engine.policy.rules.portfolio_rules import Scenario, UnitRules
from engine.policy.rules.portfolio_switches import Direction, InverseConversion, ReferencePrice, SkewMove

_NO_MOVE, _AT_CURRENT, _AT_INDEX = Direction.NONE, InverseConversion.CURRENT, ReferencePrice.INDEX
_LINEAR_SKEW, _NO_SKEW = SkewMove.LINEAR, SkewMove.NONE

_NOW = Scenario()


class _Series(msgspec.Struct):
    """One option exposure made ready for repricing."""

    size: Decimal
    """quantity * conversion."""
    call: bool
    forward: float
    moving: float
    """What a price move of 1 adds to the forward."""
    strike: float
    volatility: float
    seconds: float
    rate: float
    shocks: tuple[float, float]
    linear_skew: float
    absolute_skew: float


class _Expiry(msgspec.Struct):
    """The options that expire together."""

    series: list[_Series]
    value: Decimal
    """Model value now."""
    discounts: tuple[Decimal, Decimal]
    years: Decimal


class UnitBook:
    """The exposures of one unit, summed and prepared once for all scenarios. Use it inside `numbers.exact()`."""

    def __init__(self, exposures: Iterable[Exposure], rules: UnitRules) -> None:
        self._rules = rules
        self._linear = self._inverse = ZERO
        by_expiry: dict[str, list[Exposure]] = {}
        for exposure in exposures:
            if exposure.kind == "option":
                if rules.options is None:
                    key = exposure.expiry or str(exposure.seconds_to_expiry)
                    by_expiry.setdefault(key, []).append(exposure)
            elif exposure.kind == "inverse":
                self._inverse += delta_of(exposure)
            else:
                self._linear += delta_of(exposure, rules.shock_on)
        self._expiries = [self._expiry(held) for held in by_expiry.values()]

    @property
    def linear(self) -> bool:
        """Whether scenarios of the same price, weight and dampener do the same to it: it has no options that they reprice."""
        return not self._expiries

    def profits(self) -> list[Decimal]:
        """P&L in each of `UnitRules.all_scenarios`, in account currency, after weight and dampener."""
        rules = self._rules
        if self._expiries:
            return [self._profit(scenario) for scenario in rules.all_scenarios]
        linear, inverse, moves = self._linear, self._inverse, rules.linear_moves
        if moves is not None and not inverse:
            found = [linear * move for move in moves]
        else:
            found = [
                scenario_profit(scenario, linear, inverse, (), rules, exact_arithmetic)
                for scenario in rules.unlike
            ]
        return list(map(found.__getitem__, rules.alike))

    def forward_loss(self) -> Decimal:
        """Loss when each expiry's forward moves alone, by the worst of its moves; the expiries add up."""
        shock = self._rules.forward
        if shock is None:
            return ZERO
        loss = ZERO
        for expiry in self._expiries:
            moved = [self._value(expiry, Scenario(price=price)) - expiry.value for price in shock.prices]
            # worst move * (factor base + factor per year * years)
            loss -= min(ZERO, *moved) * (shock.factor_base + shock.factor_per_year * expiry.years)
        return loss

    def interest_loss(self) -> Decimal:
        """Loss of all options when their interest rates move up or down together."""
        shock = self._rules.interest
        if shock is None:
            return ZERO
        shifted = []
        for shift in (float(shock.shift), -float(shock.shift)):
            moves = [self._value(expiry, _NOW, shift) - expiry.value for expiry in self._expiries]
            shifted.append(sum(moves, ZERO))
        return max(ZERO, -min(shifted))

    def _profit(self, scenario: Scenario) -> Decimal:
        changes = [self._change(expiry, scenario) for expiry in self._expiries]
        return scenario_profit(scenario, self._linear, self._inverse, changes, self._rules, exact_arithmetic)

    def _change(self, expiry: _Expiry, scenario: Scenario) -> Decimal:
        moved = self._value(expiry, scenario)
        long, short = expiry.discounts
        return moved * (long if moved >= 0 else short) - expiry.value

    def _value(self, expiry: _Expiry, scenario: Scenario, rate_shift: float = 0.0) -> Decimal:
        """Model value of one expiry's options in a scenario, before discounts."""
        rules = self._rules
        price, passed = float(scenario.price), float(scenario.days) * SECONDS_PER_DAY
        value = ZERO
        for series in expiry.series:
            volatility = series.volatility
            if scenario.skew is not _NO_SKEW:
                volatility *= series.linear_skew if scenario.skew is _LINEAR_SKEW else series.absolute_skew
            if scenario.volatility is not _NO_MOVE:
                volatility = moved_volatility(rules.volatility, volatility, series.shocks, scenario)
            years = max(series.seconds - passed, 0.0) / SECONDS_PER_YEAR
            worth = price_float(
                series.call,
                max(series.forward + series.moving * price, 0.0),
                series.strike,
                volatility,
                years,
                math.exp(-(series.rate + rate_shift) * years),
            )
            value += series.size * to_places(worth)
        return value

    def _expiry(self, held: list[Exposure]) -> _Expiry:
        rules = self._rules
        # one term and one rate hold for an expiry; should a feed differ within it, the largest
        seconds = max(ZERO, *(one.seconds_to_expiry for one in held))
        rate = max(quote_of(one, rules.rate_min).rate for one in held)
        discounts = (ONE, ONE)
        if rules.expiry_discount is not None:
            discounts = expiry_discounts(rules.expiry_discount, seconds, rate)
        years = divide(seconds, Decimal(SECONDS_PER_YEAR))
        expiry = _Expiry([self._series(one) for one in held], ZERO, discounts, years)
        expiry.value = self._value(expiry, _NOW)
        return expiry

    def _series(self, exposure: Exposure) -> _Series:
        rules = self._rules
        quote = quote_of(exposure, rules.rate_min)
        forward, seconds = float(quote.forward), max(float(quote.seconds_to_expiry), 0.0)
        moving = float(index_of(exposure)) if rules.shock_on is _AT_INDEX else forward
        if seconds < rules.settlement_seconds:
            # the share of the settlement average that is still to come
            moving *= seconds / float(rules.settlement_seconds)
        linear = absolute = 1.0
        if rules.skew is not None:
            linear = skew_multiplier(rules.skew, exposure, forward, linear=True)
            absolute = skew_multiplier(rules.skew, exposure, forward, linear=False)
        return _Series(
            size=exposure.quantity * exposure.conversion,
            call=quote.right == "call",
            forward=forward,
            moving=moving,
            strike=float(quote.strike),
            volatility=float(quote.volatility),
            seconds=seconds,
            rate=float(quote.rate),
            shocks=volatility_shocks(rules.volatility, quote.seconds_to_expiry),
            linear_skew=linear,
            absolute_skew=absolute,
        )


def scenario_profit(
    scenario: Scenario,
    linear: N,
    inverse: N,
    changes: Iterable[N],
    rules: UnitRules,
    numbers: Arithmetic[N],
) -> N:
    """P&L of a unit in a scenario that changes the values of its options, by expiry, by so much."""
    price = scenario.price
    # futures and spot: price move * delta; coin-settled at the current price: move / (1 + move)
    inverse_move = divide(price, ONE + price) if rules.inverse_conversion is _AT_CURRENT else price
    profit = linear * price + inverse * inverse_move
    for change in changes:
        profit += change if scenario.skew is _NO_SKEW else -numbers.magnitude(change)
    if scenario.weight != ONE:
        profit *= scenario.weight
    return numbers.dampened(profit, scenario.dampener) if scenario.dampener else profit


def scanning_risk(profits: Iterable[Decimal]) -> Decimal:
    """Largest loss of a risk array of P&L: max(0, -min)."""
    return max(ZERO, -min(profits, default=ZERO))
