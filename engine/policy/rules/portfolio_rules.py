"""Portfolio margin and option margin as data: what the scenario engine applies, per underlying.

    PortfolioRules          the whole rule: risk units, correlation credits, factors
    UnitRules               one underlying: scenarios (`shocks.py`), charges (`contingencies.py`)
    OptionRules             short options margined one by one, outside of scenarios

Every rate is a fraction (0.12 is 12 %), every amount is in account currency, every term is in days of a year of 365.
Formulas stand where they are computed, in `engine.margin.portfolio` and `engine.margin.options.short_options`.
"""

import itertools
from collections.abc import Iterator
from decimal import Decimal
from functools import cached_property

from engine.numbers import ONE, ZERO, amount_fault, exact
from engine.policy.rules.contingency_rules import (
    BasisRisk,
    ChargeTier,
    DeltaOneCharge,
    LiquidityCharge,
    MinimumCharge,
    OracleConfidence,
    Rates,
    RateShock,
    SettleHedge,
    ShortOptionCharge,
    VegaRisk,
)
from engine.policy.rules.portfolio_switches import (
    InverseConversion,
    OptionSides,
    OptionSpreads,
    PegOn,
    PutFloorOn,
    ReferencePrice,
    ScenarioGroup,
    SkewMove,
    UnitTotal,
)
from engine.policy.rules.requirements import amounts_of, found_in
from engine.policy.rules.shock_rules import (
    DiscountStep,
    ExpiryDiscount,
    ForwardShock,
    Grid,
    Scenario,
    SkewShock,
    SkewStep,
    VolatilityShock,
    VolatilityStep,
)
from engine.policy.rules.tables import Table

__all__ = [
    "BasisRisk",
    "ChargeTier",
    "Correlation",
    "DeltaOneCharge",
    "DiscountStep",
    "ExpiryDiscount",
    "ForwardShock",
    "Grid",
    "LiquidityCharge",
    "MinimumCharge",
    "OptionRules",
    "OracleConfidence",
    "PortfolioRules",
    "RateShock",
    "Rates",
    "Scenario",
    "SettleHedge",
    "ShortOptionCharge",
    "SkewShock",
    "SkewStep",
    "StablecoinPeg",
    "UnitRules",
    "VegaRisk",
    "VolatilityShock",
    "VolatilityStep",
    "faults",
]


class OptionRules(Table, frozen=True, kw_only=True):
    """Short options margined one by one; S is the index, OTM the distance out of the money, V the option's value.

    IM   = max(initial rate * S - OTM, initial floor rate * S) * n + V        a put: at least put initial of MM * MM
    MM   = max(maintenance rate * S * n, maintenance value rate * V) + V + liquidation fee rate * S * n
    """

    initial_rate: Decimal
    initial_floor_rate: Decimal
    put_floor_on: PutFloorOn = PutFloorOn.UNDERLYING
    call_maintenance_rate: Decimal = ZERO
    put_maintenance_rate: Decimal = ZERO
    call_maintenance_value_rate: Decimal = ZERO
    put_maintenance_value_rate: Decimal = ZERO
    liquidation_fee_rate: Decimal = ZERO
    put_initial_of_maintenance: Decimal = ZERO
    sides: OptionSides = OptionSides.SUM
    spreads: OptionSpreads = OptionSpreads.ISOLATED
    unpaired_calls: Rates = Rates()
    """On forward * net short calls, whose loss has no limit, added to the largest loss."""


class UnitRules(Table, frozen=True, dict=True, kw_only=True):
    """How one underlying is margined. What is left out does not count."""

    grid: Grid = Grid()
    scenarios: tuple[Scenario, ...] = ()
    """Besides the grid: tails, skew, decay, or a grid that is no full product."""
    shock_on: ReferencePrice = ReferencePrice.MARK
    """What a price move of futures and spot is a fraction of."""
    inverse_conversion: InverseConversion = InverseConversion.MOVED
    settlement_seconds: Decimal = ZERO
    """Options settle at an average over this long before expiry: within it, what is averaged already moves no more."""
    rate_min: Decimal | None = None
    """Interest rates below this count as this."""
    volatility: VolatilityShock = VolatilityShock()
    skew: SkewShock | None = None
    expiry_discount: ExpiryDiscount | None = None
    forward: ForwardShock | None = None
    loss_factor: Rates = Rates(maintenance=ONE)
    """On the worst loss."""
    basis: BasisRisk | None = None
    vega: VegaRisk | None = None
    delta_one: DeltaOneCharge | None = None
    short_option: ShortOptionCharge | None = None
    liquidity: LiquidityCharge | None = None
    interest: RateShock | None = None
    minimum: MinimumCharge | None = None
    total: UnitTotal = UnitTotal.LARGER
    confidence: OracleConfidence | None = None
    settle_hedges: tuple[SettleHedge, ...] = ()
    options: OptionRules | None = None
    """Margins options one by one instead of by scenarios."""

    @cached_property
    def all_scenarios(self) -> tuple[Scenario, ...]:
        """The grid, row by row, then the others."""
        grid = self.grid
        rows = itertools.product(grid.prices, grid.volatilities)
        return (
            *(Scenario(price=p, volatility=v, group=ScenarioGroup.GRID) for p, v in rows),
            *self.scenarios,
        )

    @cached_property
    def scenario_names(self) -> tuple[str, ...]:
        """Of each of all scenarios."""
        return tuple(scenario.name for scenario in self.all_scenarios)

    @cached_property
    def rows(self) -> tuple[int, ...]:
        """Places of the grid among all scenarios, row by row."""
        grid = ScenarioGroup.GRID
        return tuple(place for place, it in enumerate(self.all_scenarios) if it.group is grid)

    @cached_property
    def price_rows(self) -> tuple[int, ...]:
        """Of `rows` one for each price: to a unit without options they are all that differ."""
        return self.rows[:: len(self.grid.volatilities)]

    @cached_property
    def alike(self) -> tuple[int, ...]:
        """Of each of all scenarios, the place in `unlike` of what it does to a unit without options."""
        places: dict[tuple[Decimal, ...], int] = {}
        return tuple(places.setdefault(_priced(it), len(places)) for it in self.all_scenarios)

    @cached_property
    def unlike(self) -> tuple[Scenario, ...]:
        """The scenarios that differ in what they do to a unit without options."""
        found: dict[tuple[Decimal, ...], Scenario] = {}
        for it in self.all_scenarios:
            found.setdefault(_priced(it), it)
        return tuple(found.values())

    @cached_property
    def linear_moves(self) -> tuple[Decimal, ...] | None:
        """Of each of `unlike` what it makes of a delta of 1, weight * price move; None where a loss is dampened."""
        if any(it.dampener for it in self.unlike):
            return None
        with exact():
            return tuple(it.weight * it.price for it in self.unlike)


def _priced(scenario: Scenario) -> tuple[Decimal, ...]:
    return scenario.price, scenario.weight, scenario.dampener


class Correlation(Table, frozen=True, kw_only=True):
    """Two underlyings that move together: what they offset when they do is credited, in the order of this list."""

    first: str
    second: str
    rate: Decimal
    """Share of the offset that is credited, 0..1."""
    cap: Decimal
    """Largest share of the smaller unit's remaining price risk that is credited, 0..1."""


class StablecoinPeg(Table, frozen=True, kw_only=True):
    """The stablecoin of the account trades below its peg: rate * max(0, threshold - price)."""

    asset: str = ""
    """The stablecoin, one of the policy's assets; empty for the account currency."""
    threshold: Decimal
    rate: Rates
    on: PegOn = PegOn.LOSS_FACTOR


class PortfolioRules(Table, frozen=True, kw_only=True):
    """Portfolio margin of an account: its units added up, less correlation credits."""

    units: dict[str, UnitRules]
    """By underlying; `default` holds for every other underlying."""
    correlations: tuple[Correlation, ...] = ()
    peg: StablecoinPeg | None = None
    maintenance_factor: Decimal = ONE
    initial_factor: Decimal = ONE
    """IM = initial factor * requirement at initial rates; with none of its own IM / MM is the quotient of the factors."""

    def unit(self, underlying: str) -> UnitRules:
        """The rules of one underlying. Raises KeyError where neither it nor a default is listed."""
        rules = self.units.get(underlying)
        return self.units["default"] if rules is None else rules


def faults(rules: PortfolioRules) -> Iterator[tuple[str, str]]:
    """(key, rule) of everything in `rules` that the engine could not compute with."""
    for key, value in amounts_of("", rules):
        if amount_fault(value) is not None:
            yield key, "must be finite and within the digit bounds"
    if not 0 < rules.maintenance_factor <= rules.initial_factor:
        yield "initial_factor", "need 0 < maintenance_factor <= initial_factor"
    for key, rates in found_in("", rules, Rates):
        if rates.for_initial < rates.maintenance:
            yield key, "the initial rate must not be below the maintenance rate"
    for name, unit in rules.units.items():
        for key, rule in _unit_faults(unit):
            yield f"units.{name}.{key}", rule
    for place, pair in enumerate(rules.correlations):
        for rule in _pair_faults(rules, pair):
            yield f"correlations.{place}", rule


def _unit_faults(unit: UnitRules) -> Iterator[tuple[str, str]]:
    for scenario in unit.all_scenarios:
        yield from _scenario_faults(scenario, unit)
    if unit.settlement_seconds < 0:
        yield "settlement_seconds", "must be >= 0"
    if unit.volatility.reference_days <= 0 or unit.volatility.floor_days <= 0:
        yield "volatility", "reference_days and floor_days must be > 0"
    if unit.skew is not None and (unit.skew.width_min <= 0 or any(s.width <= 0 for s in unit.skew.steps)):
        yield "skew", "the width must be > 0"
    yield from _step_faults(unit)


def _scenario_faults(scenario: Scenario, unit: UnitRules) -> Iterator[tuple[str, str]]:
    if scenario.price <= -1:
        yield "scenarios", "a price cannot fall by 100 % or more"
    if scenario.weight < 0 or scenario.dampener < 0 or scenario.days < 0:
        yield "scenarios", "weight, dampener and days must be >= 0"
    if scenario.skew is not SkewMove.NONE and unit.skew is None:
        yield "skew", "a scenario moves the skew, but `skew` is missing"


def _step_faults(unit: UnitRules) -> Iterator[tuple[str, str]]:
    for key in ("volatility", "skew", "expiry_discount"):
        steps = getattr(getattr(unit, key), "steps", ())
        if steps and not _rising([step.days_floor for step in steps]):
            yield f"{key}.steps", "days_floor must begin at 0 and rise"
    if unit.minimum is not None and unit.minimum.tiers and not _rising([t.floor for t in unit.minimum.tiers]):
        yield "minimum.tiers", "floor must begin at 0 and rise"
    for place, hedge in enumerate(unit.settle_hedges):
        if hedge.tiers and not _rising([tier.floor for tier in hedge.tiers]):
            yield f"settle_hedges.{place}.tiers", "floor must begin at 0 and rise"


def _pair_faults(rules: PortfolioRules, pair: Correlation) -> Iterator[str]:
    if not (0 <= pair.rate <= 1 and 0 <= pair.cap <= 1):
        yield "rate and cap must lie in 0..1"
    if pair.first == pair.second:
        yield "needs two different underlyings"
    known = [name in rules.units or "default" in rules.units for name in (pair.first, pair.second)]
    if not all(known):
        yield "both underlyings need rules"
        return
    first, second = rules.unit(pair.first).grid, rules.unit(pair.second).grid
    if len(first.prices) != len(second.prices) or first.volatilities != second.volatilities:
        yield "grids must have the same rows and columns: they move row by row together"


def _rising(floors: list[Decimal]) -> bool:
    return floors[0] == 0 and all(a < b for a, b in itertools.pairwise(floors))
