"""Portfolio margin of an account: its risk units added up, less correlation credits, as lines that sum to it.

MM = maintenance factor * (sum of unit requirements - credits);   IM = initial factor * the same at initial rates

Twin: `engine.book.boxes.unit_swings`.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from decimal import Decimal

import msgspec

from engine.margin.figures import Line
from engine.margin.portfolio.contingencies import Charge
from engine.margin.portfolio.correlation import Credit, correlation_credits
from engine.margin.portfolio.exposure import Exposure, value_of
from engine.margin.portfolio.risk_unit import UnitMargin, unit_margin
from engine.numbers import ONE, ZERO, exact
from engine.policy.rules.portfolio_rules import PortfolioRules, UnitRules
from engine.policy.rules.portfolio_switches import UnitTotal

_SUM = UnitTotal.SUM


class PortfolioMargin(msgspec.Struct, frozen=True):
    """Requirement of a whole portfolio in account currency. Borrow requirements are not part of it."""

    maintenance_margin: Decimal
    initial_margin: Decimal
    exposures: dict[str, list[Exposure]]
    """By underlying."""
    units: dict[str, UnitMargin]
    credits: tuple[Credit, ...]
    rules: PortfolioRules

    @property
    def value(self) -> Decimal:
        """What the exposures contribute to equity: unrealised P&L, options, spot and cash."""
        with exact():
            return sum(
                [
                    value_of(one, self.rules.unit(name).rate_min)
                    for name, group in self.exposures.items()
                    for one in group
                ],
                ZERO,
            )

    @property
    def lines(self) -> tuple[Line, ...]:
        """For each of the two margins, the lines of that figure sum to it exactly."""
        rules = self.rules
        with exact():
            lines = [
                line
                for name, unit in self.units.items()
                for charge in (*_core(unit, rules.unit(name)), *unit.others)
                for line in _lines(name, charge, rules)
            ]
            lines += [line for one in self.credits for line in _credit_lines(one, rules)]
        return tuple(lines)


def portfolio_margin(
    exposures: Iterable[Exposure], rules: PortfolioRules, stable_price: Decimal = ONE
) -> PortfolioMargin:
    """Margin of a portfolio. `stable_price` is that of the account's stablecoin, for rules that watch its peg.

    Raises KeyError for an underlying without rules.
    """
    held: dict[str, list[Exposure]] = {}
    for one in exposures:
        held.setdefault(one.underlying, []).append(one)
    with exact():
        units = {
            name: unit_margin(name, held[name], rules.unit(name), rules.peg, stable_price)
            for name in sorted(held)
        }
        return total_margin(held, units, correlation_credits(units, rules.correlations), rules)


def total_margin(
    held: dict[str, list[Exposure]],
    units: dict[str, UnitMargin],
    found: tuple[Credit, ...],
    rules: PortfolioRules,
) -> PortfolioMargin:
    """Margin of a portfolio of which the units and their credits are known. Inside `numbers.exact()`."""
    initial = sum([unit.initial_margin for unit in units.values()], ZERO)
    initial -= sum([one.initial for one in found], ZERO)
    return PortfolioMargin(
        maintenance_margin=total_maintenance(units, found, rules),
        initial_margin=rules.initial_factor * initial,
        exposures=held,
        units=units,
        credits=found,
        rules=rules,
    )


def total_maintenance(
    units: Mapping[str, UnitMargin], found: Sequence[Credit], rules: PortfolioRules
) -> Decimal:
    """MM of a portfolio of which the units and their credits are known. Inside `numbers.exact()`."""
    # factor * (sum of requirements - credits)
    maintenance = sum([unit.maintenance_margin for unit in units.values()], ZERO)
    return rules.maintenance_factor * (maintenance - sum([one.maintenance for one in found], ZERO))


def _core(unit: UnitMargin, rules: UnitRules) -> Iterator[Charge]:
    """Price risk, contingencies, and what the minimum charge adds to them."""
    yield unit.price_risk
    yield from unit.contingencies
    if not unit.minimum:
        return
    held = (unit.price_risk, *unit.contingencies)
    maintenance = sum((one.maintenance for one in held), ZERO)
    initial = sum((one.initial for one in held), ZERO)
    added = rules.total is _SUM
    yield Charge(
        "minimum_charge",
        "minimum charge" if added else "max(0, minimum charge - price risk - contingencies)",
        {"minimum_charge": unit.minimum},
        unit.minimum if added else max(ZERO, unit.minimum - maintenance),
        unit.minimum if added else max(ZERO, unit.minimum - initial),
    )


def _lines(underlying: str, charge: Charge, rules: PortfolioRules) -> Iterator[Line]:
    for figure, factor, value in (
        ("maintenance_margin", rules.maintenance_factor, charge.maintenance),
        ("initial_margin", rules.initial_factor, charge.initial),
    ):
        inputs = {**charge.inputs, "factor": factor}
        yield Line(
            figure, f"{underlying} {charge.name}", f"factor * ({charge.formula})", inputs, factor * value
        )


def _credit_lines(credit: Credit, rules: PortfolioRules) -> Iterator[Line]:
    for figure, factor, value in (
        ("maintenance_margin", rules.maintenance_factor, credit.maintenance),
        ("initial_margin", rules.initial_factor, credit.initial),
    ):
        yield Line(
            figure,
            f"{credit.first}/{credit.second} correlation",
            "-factor * min(rate * offset, cap * smaller price risk)",
            {"credit": value, "factor": factor},
            -factor * value,
        )
