"""Portfolio margin of an account: its risk units added up, less correlation credits, as lines that sum to it.

MM = maintenance factor * (sum of unit requirements - credits);   IM = initial factor * the same at initial rates
"""

from collections.abc import Iterable, Iterator
from decimal import Decimal

import msgspec

from engine.margin.figures import Line
from engine.margin.portfolio.contingencies import Charge
from engine.margin.portfolio.correlation import Credit, correlation_credits
from engine.margin.portfolio.exposure import Exposure, value_of
from engine.margin.portfolio.unit import UnitMargin, unit_margin
from engine.numbers import ONE, ZERO, divide, exact
from engine.policy.portfolio import PortfolioRules, UnitRules


class PortfolioMargin(msgspec.Struct, frozen=True):
    """Requirement of a whole portfolio in account currency. Borrow requirements are not part of it."""

    maintenance_margin: Decimal
    initial_margin: Decimal
    value: Decimal
    """What the exposures contribute to equity: unrealised P&L, options, spot and cash."""
    units: dict[str, UnitMargin]
    credits: tuple[Credit, ...]
    lines: tuple[Line, ...]
    """For each of the two margins, the lines of that figure sum to it exactly."""

    @property
    def maintenance_surplus(self) -> Decimal:
        """Value - maintenance margin; below 0 is a shortfall."""
        with exact():
            return self.value - self.maintenance_margin

    @property
    def initial_surplus(self) -> Decimal:
        """Value - initial margin; below 0 nothing new may be opened."""
        with exact():
            return self.value - self.initial_margin


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
        found = correlation_credits(units, rules.correlations)
        maintenance = sum((unit.maintenance_margin for unit in units.values()), ZERO)
        initial = sum((unit.initial_margin for unit in units.values()), ZERO)
        maintenance -= sum((one.maintenance for one in found), ZERO)
        initial -= sum((one.initial for one in found), ZERO)
        value = sum(
            (value_of(one, rules.unit(name).rate_min) for name, group in held.items() for one in group), ZERO
        )
        lines = [
            line
            for name, unit in units.items()
            for charge in (*_core(unit, rules.unit(name)), *unit.others)
            for line in _lines(name, charge, rules)
        ]
        lines += [line for one in found for line in _credit_lines(one, rules)]
        return PortfolioMargin(
            maintenance_margin=rules.maintenance_factor * maintenance,
            initial_margin=rules.initial_factor * initial,
            value=value,
            units=units,
            credits=found,
            lines=tuple(lines),
        )


def account_leverage(deltas: Iterable[Decimal], equity: Decimal) -> Decimal:
    """Sum of |delta| / equity, negative with negative equity. Raises `decimal.DivisionByZero` without equity."""
    with exact():
        return divide(sum(map(abs, deltas), ZERO), equity)


def _core(unit: UnitMargin, rules: UnitRules) -> Iterator[Charge]:
    """Price risk, contingencies, and what the minimum charge adds to them."""
    yield unit.price_risk
    yield from unit.contingencies
    if not unit.minimum:
        return
    held = (unit.price_risk, *unit.contingencies)
    maintenance = sum((one.maintenance for one in held), ZERO)
    initial = sum((one.initial for one in held), ZERO)
    added = rules.total == "sum"
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
