"""What a risk unit requires besides its worst scenario, as data: one table per kind of charge."""

from decimal import Decimal

from engine.numbers import ZERO
from engine.policy.rules.portfolio_switches import (
    BasisNetting,
    Compounding,
    CountedOptions,
    ReferencePrice,
    ShortNetting,
)
from engine.policy.rules.tables import Table


class Rates(Table, frozen=True, kw_only=True):
    """A rate for each of the two margins."""

    maintenance: Decimal = ZERO
    initial: Decimal | None = None
    """None: the same as for maintenance."""

    @property
    def for_initial(self) -> Decimal:
        """The rate of the initial margin."""
        return self.maintenance if self.initial is None else self.initial


class BasisRisk(Table, frozen=True, kw_only=True):
    """Spot, perpetuals and expiries of one underlying do not move together.

    move    = max(e^(annualised move * years) - 1 | annualised move * years, move min)
    each    sum over groups of |net delta of the group| * move to its expiry
    hedged  sum over pairs of groups that offset each other of the offset delta * move between their expiries
    """

    move_min: Decimal
    annualised_move: Decimal = ZERO
    compounding: Compounding = Compounding.EXPONENTIAL
    netting: BasisNetting = BasisNetting.EACH
    spot: bool = True
    """Whether spot is a group of its own; otherwise it does not count here."""


class VegaRisk(Table, frozen=True, kw_only=True):
    """Volatilities of different expiries do not move together.

    sum over pairs of expiries that offset each other of the offset vega * (move min + move per day * days between)
    """

    move_min: Decimal = ZERO
    """Volatility points as a fraction: 0.01 is one point."""
    move_per_day: Decimal = ZERO


class DeltaOneCharge(Table, frozen=True, kw_only=True):
    """Rate on every future and perpetual, long and short added: rate * |quantity| * price."""

    rate: Rates
    price: ReferencePrice = ReferencePrice.INDEX


class ShortOptionCharge(Table, frozen=True, kw_only=True):
    """Rate on short options: rate * short quantity * index."""

    rate: Rates
    netting: ShortNetting = ShortNetting.STRIKE


class LiquidityCharge(Table, frozen=True, kw_only=True):
    """Large net deltas cost more to close: |delta| * min(rate max, slope * max(0, |delta| - threshold))."""

    threshold: Decimal
    slope: Decimal
    rate_max: Decimal


class RateShock(Table, frozen=True, kw_only=True):
    """Loss of options when their interest rate moves by `shift` up or down."""

    shift: Decimal


class ChargeTier(Table, frozen=True, kw_only=True):
    """One marginal tier of a charge: how often the part of it (or of what it is a rate on) above `floor` counts."""

    floor: Decimal
    multiplier: Decimal


class MinimumCharge(Table, frozen=True, kw_only=True):
    """Least requirement of a unit: rate * |delta| over futures + rate * short options * index, scaled by tiers."""

    delta_one_rate: Decimal = ZERO
    option_rate: Decimal = ZERO
    tiers: tuple[ChargeTier, ...] = ()
    """Marginal multipliers by the unscaled charge."""


class OracleConfidence(Table, frozen=True, kw_only=True):
    """A price of low confidence: (1 - confidence) * rate * value when the confidence is below the threshold."""

    threshold: Decimal
    rate: Rates
    options: CountedOptions = CountedOptions.GROSS
    futures_bind_options: bool = True
    """Whether the confidence of the unit's futures bounds that of its options."""


class SettleHedge(Table, frozen=True, kw_only=True):
    """Deltas settled in two assets that are meant to be equal offset each other: rate * offset delta, scaled by tiers."""

    first: str
    second: str
    rate: Decimal
    tiers: tuple[ChargeTier, ...] = ()
    """Marginal multipliers by the offset delta, in account currency; under a rate of 1 they are the rates themselves."""
