"""The whole risk matrix of a pool under portfolio margin: every scenario of every underlying, and what becomes of it.

Nothing is computed here that the margin is not made of (`engine.margin.portfolio`): P&L by scenario, price risk, contingencies,
minimum charge, correlation credits, factors.
"""

from decimal import Decimal

import msgspec

from engine.ledger.accounts import AccountState
from engine.margin.portfolio.contingencies import Charge
from engine.margin.portfolio.portfolio_pool import portfolio_pool
from engine.margin.portfolio.risk_unit import UnitMargin
from engine.marks.mark_book import Prices
from engine.numbers import ZERO, canonical, exact
from engine.policy import Policy


class ScenarioProfit(msgspec.Struct, frozen=True, kw_only=True):
    """P&L of one underlying in one scenario, weighted, in account currency."""

    scenario: str
    price: Decimal
    """Move of the underlying, as a fraction."""
    profit: Decimal


class ChargeView(msgspec.Struct, frozen=True, kw_only=True):
    """One part of a requirement, before the account's factors, in account currency."""

    name: str
    formula: str
    maintenance: Decimal
    initial: Decimal


class UnitMatrix(msgspec.Struct, frozen=True, kw_only=True):
    """One underlying."""

    underlying: str
    scenarios: tuple[ScenarioProfit, ...]
    worst: str
    """The scenario that loses most, the first of equals."""
    charges: tuple[ChargeView, ...]
    """Price risk first."""
    minimum: Decimal
    """The least that is required, or what is added, as the policy says; 0 for none."""
    maintenance_margin: Decimal
    initial_margin: Decimal


class CreditView(msgspec.Struct, frozen=True, kw_only=True):
    """What two underlyings offset."""

    first: str
    second: str
    maintenance: Decimal
    initial: Decimal


class RiskMatrix(msgspec.Struct, frozen=True, kw_only=True):
    """MM = maintenance factor * (sum of units - credits), and IM likewise; borrow margin comes on top. Coins that secure nothing require 0."""

    units: tuple[UnitMatrix, ...]
    credits: tuple[CreditView, ...]
    maintenance_factor: Decimal
    initial_factor: Decimal
    maintenance_margin: Decimal
    initial_margin: Decimal


def risk_matrix(state: AccountState, prices: Prices, policy: Policy) -> RiskMatrix | None:
    """The matrix of the shared pool, its open orders apart; None where the policy has no portfolio margin."""
    if policy.portfolio is None:
        return None
    with exact():
        pool = portfolio_pool(state, prices, policy)
    margin = pool.margin
    return RiskMatrix(
        units=tuple(_unit(unit) for unit in margin.units.values()),
        credits=tuple(
            CreditView(
                first=it.first,
                second=it.second,
                maintenance=canonical(it.maintenance),
                initial=canonical(it.initial),
            )
            for it in margin.credits
        ),
        maintenance_factor=margin.rules.maintenance_factor,
        initial_factor=margin.rules.initial_factor,
        maintenance_margin=canonical(margin.maintenance_margin if pool.secures else ZERO),
        initial_margin=canonical(margin.initial_margin if pool.secures else ZERO),
    )


def _unit(unit: UnitMargin) -> UnitMatrix:
    profits = tuple(
        ScenarioProfit(scenario=scenario.name, price=scenario.price, profit=canonical(profit))
        for scenario, profit in zip(unit.rules.all_scenarios, unit.profits, strict=True)
    )
    return UnitMatrix(
        underlying=unit.underlying,
        scenarios=profits,
        worst=min(profits, key=lambda it: it.profit).scenario if profits else "",
        charges=tuple(map(_charge, (unit.price_risk, *unit.contingencies, *unit.others))),
        minimum=canonical(unit.minimum),
        maintenance_margin=canonical(unit.maintenance_margin),
        initial_margin=canonical(unit.initial_margin),
    )


def _charge(charge: Charge) -> ChargeView:
    return ChargeView(
        name=charge.name,
        formula=charge.formula,
        maintenance=canonical(charge.maintenance),
        initial=canonical(charge.initial),
    )
