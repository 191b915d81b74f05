"""Parts of a risk unit's margin that tests ask for by name."""

from decimal import Decimal

import msgspec

from engine.margin.portfolio.contingencies import Charge
from engine.margin.portfolio.risk_unit import UnitMargin
from engine.numbers import ZERO
from engine.policy.rules.portfolio_rules import Scenario
from engine.policy.rules.portfolio_switches import ScenarioGroup


class ScenarioProfit(msgspec.Struct, frozen=True):
    """Simulated P&L of a unit in one scenario."""

    scenario: Scenario
    profit: Decimal

    @property
    def loss(self) -> Decimal:
        """max(0, -P&L)."""
        return max(ZERO, -self.profit)


def worst(unit: UnitMargin, group: ScenarioGroup | None = None) -> ScenarioProfit | None:
    """The scenario with the largest loss, of one group or of all; None without scenarios."""
    found = map(ScenarioProfit, unit.rules.all_scenarios, unit.profits)
    counted = [one for one in found if group is None or one.scenario.group == group]
    return min(counted, key=lambda one: one.profit, default=None)


def worst_loss(unit: UnitMargin) -> Decimal:
    """max(0, worst scenario loss, forward loss)."""
    found = worst(unit)
    return max(unit.forward_loss, ZERO if found is None else found.loss)


def charge(unit: UnitMargin, name: str) -> Charge | None:
    """The charge of that name, None where it is not ruled."""
    return next((one for one in (*unit.contingencies, *unit.others) if one.name == name), None)
