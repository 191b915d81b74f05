"""How volatility, skew and value of options are moved, by their term.

Everything here only enters Black-76 and is float64; see `engine.margin.options.black76` for why. The discounts multiply
amounts, so they become `Decimal` of `FACTOR_PLACES` decimal places.
Source of the term structure: Deribit, "Portfolio margin"; of skew and discounts: Derive v2-core, PMRMLib_2.
"""

import math
from decimal import Decimal
from typing import Protocol, TypeVar

from engine.margin.options.black76 import to_places, years_of
from engine.margin.portfolio.exposure import Exposure
from engine.numbers import ZERO
from engine.policy.rules.portfolio_rules import ExpiryDiscount, Scenario, SkewShock, VolatilityShock
from engine.policy.rules.portfolio_switches import Direction, VolatilityMode

_DOWN, _UP, _RELATIVE = Direction.DOWN, Direction.UP, VolatilityMode.RELATIVE

FACTOR_PLACES = 15
SECONDS_PER_DAY = 86_400


class _Step(Protocol):
    @property
    def days_floor(self) -> Decimal: ...


StepT = TypeVar("StepT", bound=_Step)


def volatility_shocks(rules: VolatilityShock, seconds: Decimal) -> tuple[float, float]:
    """(up, down) for options that expire in `seconds`: fractions of volatility, or points where absolute."""
    if rules.steps:
        step = step_at(rules.steps, seconds)
        return float(step.up), float(step.down)
    days = float(seconds) / SECONDS_PER_DAY
    reference = float(rules.reference_days)
    power = rules.short_term_power if days <= reference else rules.long_term_power
    # rate * (reference / max(days to expiry, floor)) ^ power
    scale = (reference / max(days, float(rules.floor_days))) ** float(power)
    return float(rules.up) * scale, float(rules.down) * scale


def moved_volatility(
    rules: VolatilityShock, volatility: float, shocks: tuple[float, float], scenario: Scenario
) -> float:
    """Volatility in a scenario that moves it up or down."""
    up, down = shocks
    relative = rules.mode is _RELATIVE
    if scenario.volatility is _UP:
        moved = volatility * (1 + up) if relative else volatility + up
        return max(moved, float(rules.up_volatility_min))
    if scenario.volatility is _DOWN:
        return volatility * max(0.0, 1 - down) if relative else max(0.0, volatility - down)
    return volatility


def skew_multiplier(rules: SkewShock, exposure: Exposure, forward: float, *, linear: bool) -> float:
    """Factor on volatility when the wings of the surface move."""
    root = math.sqrt(years_of(exposure.seconds_to_expiry))
    if rules.steps:
        step = step_at(rules.steps, exposure.seconds_to_expiry)
        cap = float(step.linear_cap if linear else step.absolute_cap)
        width = float(step.width)
    else:
        # cap = cap base + cap slope * sqrt(years)
        base = rules.linear_cap if linear else rules.absolute_cap
        slope = rules.linear_cap_slope if linear else rules.absolute_cap_slope
        cap = float(base) + float(slope) * root
        # width = max(width min, sqrt(years) * scale * (volatility + slope * sqrt(years)))
        volatility = float(rules.width_volatility) + float(rules.width_volatility_slope) * root
        width = max(float(rules.width_min), root * float(rules.width_scale) * volatility)
    strike = float(exposure.strike)
    if strike <= 0 or forward <= 0:
        return 1.0
    moneyness = math.log(strike / forward)
    distance = moneyness if linear else abs(moneyness)
    # 1 + cap * ln(strike / forward) / width, the addition bounded by the cap
    addition = distance * cap / width
    addition = min(cap, addition) if distance >= 0 else max(-cap, addition)
    return max(0.0, 1 + addition)


def expiry_discounts(rules: ExpiryDiscount, seconds: Decimal, rate: Decimal) -> tuple[Decimal, Decimal]:
    """(long, short): factor on the simulated value of one expiry's options when that is positive, negative."""
    if rules.steps:
        step = step_at(rules.steps, seconds)
        return step.long, step.short
    years, interest = years_of(seconds), float(rate)
    # long factor * e^(-years * (rate * multiplier + addition))
    long_rate = interest * float(rules.long_rate_multiplier) + float(rules.long_rate_addition)
    long = float(rules.long_factor) * math.exp(-years * long_rate)
    # short factor * e^(years * (rate * multiplier + addition)), at most e^(rate * years)
    short_rate = interest * float(rules.short_rate_multiplier) + float(rules.short_rate_addition)
    short = min(math.exp(interest * years), float(rules.short_factor) * math.exp(years * short_rate))
    return to_places(long, FACTOR_PLACES), to_places(short, FACTOR_PLACES)


def step_at(steps: tuple[StepT, ...], seconds: Decimal) -> StepT:
    """The step that holds for a term: the last one whose `days_floor` it reaches."""
    return [step for step in steps if step.days_floor * SECONDS_PER_DAY <= max(seconds, ZERO)][-1]
