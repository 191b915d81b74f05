"""Simulated states of the market, and how far volatility, skew, value and forwards move in them, as data.

Formulas stand at the tables; what computes them is `engine.margin.portfolio`.
"""

from decimal import Decimal

from engine.numbers import ONE, ZERO
from engine.policy.rules.portfolio_switches import Direction, ScenarioGroup, SkewMove, VolatilityMode
from engine.policy.rules.tables import Table


class Scenario(Table, frozen=True, kw_only=True):
    """One simulated state of the market; its loss is weight * loss, less the dampener, never below 0."""

    price: Decimal = ZERO
    """Relative move of the underlying, > -1."""
    volatility: Direction = Direction.NONE
    skew: SkewMove = SkewMove.NONE
    """The wings of the volatility surface move; the change of each expiry counts as a loss whatever its sign."""
    days: Decimal = ZERO
    """Time that passes."""
    weight: Decimal = ONE
    dampener: Decimal = ZERO
    """Amount by which the weighted loss is reduced."""
    group: ScenarioGroup = ScenarioGroup.TAIL

    @property
    def name(self) -> str:
        """What moves, in words."""
        words = [f"price {self.price.normalize():+f}", f"volatility {self.volatility}"]
        if self.skew is not SkewMove.NONE:
            words.append(f"skew {self.skew}")
        if self.days:
            words.append(f"{self.days} days later")
        if self.weight != 1:
            words.append(f"weight {self.weight}")
        return ", ".join(words)


class Grid(Table, frozen=True, kw_only=True):
    """Every price move with every volatility move, row by row."""

    prices: tuple[Decimal, ...] = ()
    volatilities: tuple[Direction, ...] = tuple(Direction)


class VolatilityStep(Table, frozen=True, kw_only=True):
    """Shocks of options that expire `days_floor` days from now or later."""

    days_floor: Decimal
    up: Decimal
    down: Decimal


class VolatilityShock(Table, frozen=True, kw_only=True):
    """How far implied volatility moves.

    up, down  = rate * (reference / max(days to expiry, floor)) ^ power
    relative  volatility * (1 + up), volatility * max(0, 1 - down)
    absolute  volatility + up, max(0, volatility - down)
    """

    mode: VolatilityMode = VolatilityMode.RELATIVE
    up: Decimal = ZERO
    down: Decimal = ZERO
    reference_days: Decimal = Decimal(30)
    floor_days: Decimal = ONE
    short_term_power: Decimal = ZERO
    """Up to `reference_days`."""
    long_term_power: Decimal = ZERO
    up_volatility_min: Decimal = ZERO
    """Volatility moved up is at least this."""
    steps: tuple[VolatilityStep, ...] = ()
    """A table by term in place of `up`, `down` and the powers."""


class SkewStep(Table, frozen=True, kw_only=True):
    """Skew shock of options that expire `days_floor` days from now or later."""

    days_floor: Decimal
    linear_cap: Decimal
    absolute_cap: Decimal
    width: Decimal


class SkewShock(Table, frozen=True, kw_only=True):
    """How far the wings of the volatility surface move.

    cap         = cap base + cap slope * sqrt(years)
    width       = max(width min, sqrt(years) * width scale * (width volatility + width volatility slope * sqrt(years)))
    volatility  * (1 + cap * ln(strike / forward) / width), the addition bounded by the cap; absolute: |ln|
    """

    linear_cap: Decimal
    absolute_cap: Decimal
    linear_cap_slope: Decimal = ZERO
    absolute_cap_slope: Decimal = ZERO
    width_min: Decimal
    width_scale: Decimal = ZERO
    width_volatility: Decimal = ZERO
    width_volatility_slope: Decimal = ZERO
    steps: tuple[SkewStep, ...] = ()
    """A table by term in place of the formulas for cap and width."""


class DiscountStep(Table, frozen=True, kw_only=True):
    """Discounts of options that expire `days_floor` days from now or later."""

    days_floor: Decimal
    long: Decimal
    short: Decimal


class ExpiryDiscount(Table, frozen=True, kw_only=True):
    """Factor on the simulated value of all options of one expiry, by the sign of that value.

    long   = long factor * e^(-years * (rate * long rate multiplier + long rate addition))
    short  = short factor * e^(years * (rate * short rate multiplier + short rate addition)), at most e^(rate * years)
    """

    long_factor: Decimal
    long_rate_multiplier: Decimal = ONE
    long_rate_addition: Decimal = ZERO
    short_factor: Decimal
    short_rate_multiplier: Decimal = ONE
    short_rate_addition: Decimal = ZERO
    steps: tuple[DiscountStep, ...] = ()
    """A table by term in place of the formulas."""


class ForwardShock(Table, frozen=True, kw_only=True):
    """Loss of options when one expiry's forward moves alone; competes with the scenarios for the worst loss.

    per expiry: worst of the moves, times (factor base + factor per year * years to expiry); the expiries add up
    """

    prices: tuple[Decimal, ...]
    factor_base: Decimal
    factor_per_year: Decimal = ZERO
