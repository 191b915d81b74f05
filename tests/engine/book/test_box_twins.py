"""Where a box has rules of its own beside a formula, both read the same rules of the policy.

`engine.book.boxes` runs the formulas of `engine.margin` on bounds where one text serves both. The rest are twins: each names
the other in its docstring ("Twin: ..."), and here every field of the rule book that the formula reads is read by its twin too,
by itself or by a formula of `engine.margin` that it calls, or stands below with the reason why no bound needs it. A switch of
several named values has to be told apart by both.
"""

import ast
import functools
import itertools
import typing
from collections import defaultdict
from collections.abc import Iterable, Iterator
from enum import EnumType, StrEnum
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

from engine.policy.rules import contingency_rules as charge_rules
from engine.policy.rules import policy_switches, portfolio_rules, portfolio_switches, shock_rules
from engine.policy.rules.asset_rules import Asset, BorrowTier, CollateralTier
from engine.policy.rules.instrument_rules import Instrument
from engine.policy.rules.margin_rules import MarginRules, PoolRules
from engine.policy.rules.tables import Table

ROOT = Path(__file__).parents[3]

ENGINE = Path(__file__).parents[3] / "engine"
FOLLOWED = ("engine.margin.", "engine.book.boxes.")

INITIAL = "moves initial margin alone, which decides no band"
UNBOUNDED = "accounts under this rule have no box"


class Twin(NamedTuple):
    """Modules of `engine` that state the same rules."""

    formulas: tuple[str, ...]
    bounds: tuple[str, ...]
    tables: tuple[type[Table], ...]
    shared: tuple[str, ...] = ()
    """Modules whose formulas, all or most, are run on bounds: what they read has to reach the bounds as well."""
    excused: dict[str, str] = {}  # noqa: RUF012
    """Fields that the formulas read and no bound needs, and why."""


TWINS = {
    "quotes": Twin(("margin.quotes",), ("book.boxes.swing_view",), (PoolRules, Asset)),
    "positions": Twin(
        ("margin.cross.hedge_legs", "margin.funding_accrual"),
        ("book.boxes.position_swings",),
        (MarginRules, Instrument),
        shared=("margin.position_margin", "margin.contract_formulas", "ledger.settlements"),
        excused={
            "initial: leverage": INITIAL,
            "initial: leverage_or_tier": INITIAL,
            "closing_fee_in_initial": INITIAL,
            "open_interest": INITIAL,
            "funding_offset_hours": "a bound holds whenever funding settles",
            "tiers": "bounds read the lines of the terms, which are made of the tiers",
        },
    ),
    "pools": Twin(
        ("margin.cross.cross_pool", "margin.cross.asset_equity", "margin.isolated_pool"),
        ("book.boxes.pool_swings",),
        (PoolRules, Asset, BorrowTier, CollateralTier),
        shared=("margin.collateral",),
        excused={
            "conservative_price": "read by the methods of `swing_view`, the twin of `quotes`",
            "deposit_scale_start": UNBOUNDED,
            "borrow_scale_start": UNBOUNDED,
        },
    ),
    "orders": Twin(
        ("margin.cross.order_margin",),
        ("book.boxes.pool_swings",),
        (PoolRules, MarginRules),
        excused={"order_loss": "counts in initial margin, and in MM where orders do: " + UNBOUNDED},
    ),
    "options": Twin(
        ("margin.options.option_pool", "margin.options.short_options"),
        ("book.boxes.option_swings",),
        (portfolio_rules.OptionRules, PoolRules),
        excused={
            "initial_rate": INITIAL,
            "initial_floor_rate": INITIAL,
            "put_floor_on": INITIAL,
            "put_initial_of_maintenance": INITIAL,
        },
    ),
    "series": Twin(
        ("margin.portfolio.scenarios",),
        ("book.boxes.series_swings", "book.boxes.unit_swings"),
        (
            portfolio_rules.UnitRules,
            shock_rules.Scenario,
            shock_rules.VolatilityShock,
            shock_rules.VolatilityStep,
            shock_rules.SkewShock,
            shock_rules.SkewStep,
            shock_rules.ExpiryDiscount,
            shock_rules.DiscountStep,
            shock_rules.ForwardShock,
            charge_rules.RateShock,
        ),
        shared=("margin.portfolio.shocks",),
        excused=dict.fromkeys(
            (
                "linear_cap",
                "linear_cap_slope",
                "skew: linear",
                "absolute_cap",
                "absolute_cap_slope",
                "width",
                "width_min",
                "width_scale",
                "width_volatility",
                "width_volatility_slope",
            ),
            UNBOUNDED,
        ),
    ),
    "charges": Twin(
        ("margin.portfolio.contingencies",),
        ("book.boxes.charge_swings",),
        (
            charge_rules.BasisRisk,
            charge_rules.VegaRisk,
            charge_rules.DeltaOneCharge,
            charge_rules.ShortOptionCharge,
            charge_rules.LiquidityCharge,
            charge_rules.MinimumCharge,
            charge_rules.ChargeTier,
            charge_rules.SettleHedge,
            charge_rules.Rates,
        ),
    ),
    "units": Twin(
        (
            "margin.portfolio.risk_unit",
            "margin.portfolio.correlation",
            "margin.portfolio.oracles",
            "margin.portfolio.portfolio_margin",
            "margin.portfolio.portfolio_pool",
            "margin.portfolio.pool_exposures",
        ),
        ("book.boxes.unit_swings",),
        (
            portfolio_rules.UnitRules,
            portfolio_rules.PortfolioRules,
            portfolio_rules.Correlation,
            portfolio_rules.StablecoinPeg,
            charge_rules.OracleConfidence,
            PoolRules,
        ),
        excused={
            "futures_bind_options": UNBOUNDED,
            "initial_factor": INITIAL,
            "units": "what is read are the margins of units, for lines that no bound has",
        },
    ),
}


def path_of(module: str) -> Path:
    return ENGINE / (module.replace(".", "/") + ".py")


@functools.cache
def tree_of(module: str) -> ast.Module:
    return ast.parse(path_of(module).read_text())


def trees_of(modules: Iterable[str]) -> list[ast.Module]:
    return [tree_of(module) for module in modules]


def called(tree: ast.Module, wanted: Iterable[str], seen: set[tuple[str, str]]) -> Iterator[ast.AST]:
    """The functions by these names that a module has or imports, and all that those call, from margin and boxes."""
    homes = {
        alias.name: node.module
        for node in tree.body
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(FOLLOWED)
        for alias in node.names
    }
    functions = {it.name: it for it in tree.body if isinstance(it, ast.FunctionDef)}
    for name in wanted:
        place = homes.get(name, str(id(tree))), name
        if place in seen:
            continue
        seen.add(place)
        if name in functions:
            yield functions[name]
            yield from called(tree, names_in(functions[name]), seen)
        elif name in homes and path_of(homes[name].removeprefix("engine.")).exists():
            yield from called(tree_of(homes[name].removeprefix("engine.")), [name], seen)


def names_in(tree: ast.AST) -> list[str]:
    return [it.id for it in ast.walk(tree) if isinstance(it, ast.Name)]


def nodes(trees: Iterable[ast.AST]) -> Iterator[ast.AST]:
    return itertools.chain.from_iterable(map(ast.walk, trees))


def read(trees: Iterable[ast.AST]) -> set[str]:
    """Every attribute that is read."""
    return {node.attr for node in nodes(trees) if isinstance(node, ast.Attribute)}


def said(trees: Iterable[ast.AST]) -> set[str]:
    """The values of every switch that something is compared with or matched against: `Switch.VALUE`, or its constant."""
    found = set()
    for node in nodes(trees):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            found |= member_of(node.value.id, node.attr)
        elif isinstance(node, ast.Name):
            found |= constants().get(node.id, set())
    return found


def member_of(switch: str, name: str) -> set[str]:
    """The value of a member of a switch; nothing for what is no switch."""
    kinds = (getattr(module, switch, None) for module in (policy_switches, portfolio_switches))
    return {str(kind[name]) for kind in kinds if isinstance(kind, EnumType) and name in kind.__members__}


@cache
def constants() -> dict[str, set[str]]:
    """By name of a module's constant: the members of switches that it stands for."""
    found = defaultdict(set)
    for path in (ROOT / "engine").rglob("*.py"):
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.Assign):
                names = [
                    it.id for target in node.targets for it in ast.walk(target) if isinstance(it, ast.Name)
                ]
                members = [
                    it
                    for it in ast.walk(node.value)
                    if isinstance(it, ast.Attribute) and isinstance(it.value, ast.Name)
                ]
                for name, member in zip(names, members, strict=False):
                    found[name] |= member_of(member.value.id, member.attr)
    return found


def fields(tables: Iterable[type[Table]]) -> set[str]:
    return {name for table in tables for name in table.__struct_fields__}


def switches(tables: Iterable[type[Table]]) -> Iterator[tuple[str, set[str]]]:
    """Fields that are one of a few named values."""
    for table in tables:
        for name, hint in typing.get_type_hints(table).items():
            if isinstance(hint, type) and issubclass(hint, StrEnum):
                yield name, set(map(str, hint))


def lacking(twin: Twin, known: set[str], names: set[str]) -> set[str]:
    """What the formulas know and bounds that read `known` and say `names` do not: rules, and named values of switches."""
    formulas = trees_of((*twin.formulas, *twin.shared))
    asked = read(formulas)
    found = (asked & fields(twin.tables)) - known
    for name, values in switches(twin.tables):
        unnamed = values - names
        if name in asked & known and len(unnamed) > 1:  # the last value is whatever is not named
            found |= {f"{name}: {value}" for value in unnamed & said(formulas)}
    return found


def bounding(twin: Twin) -> list[ast.AST]:
    """What the bounds consist of."""
    trees = trees_of(twin.bounds)
    seen: set[tuple[str, str]] = set()
    return [*trees, *(it for tree in trees for it in called(tree, names_in(tree), seen))]


@pytest.mark.parametrize("name", TWINS)
def test_twins_when_a_formula_reads_a_rule_then_its_bound_does_or_says_why_not(name):
    twin = TWINS[name]
    bounds = bounding(twin)
    assert lacking(twin, read(bounds), said(bounds)) == set(twin.excused)


@pytest.mark.parametrize("name", TWINS)
def test_twins_when_a_bound_reads_a_rule_then_some_formula_does(name):
    twin = TWINS[name]
    rules = read(trees_of(twin.bounds)) & fields(twin.tables)
    assert rules
    formulas = [ast.parse(it.read_text()) for it in (ENGINE / "margin").rglob("*.py")]
    assert rules - read([*formulas, *trees_of(twin.shared)]) == set()


@pytest.mark.parametrize("name", TWINS)
def test_twins_when_a_bound_forgets_any_of_its_rules_then_it_is_found_lacking(name):
    twin, bounds = TWINS[name], bounding(TWINS[name])
    known = read(bounds)
    both = read(trees_of((*twin.formulas, *twin.shared))) & known & fields(twin.tables)
    assert both
    for field in both:
        assert field in lacking(twin, known - {field}, said(bounds))


@pytest.mark.parametrize("name", TWINS)
def test_twins_when_read_then_each_names_the_other(name):
    twin = TWINS[name]
    for modules, others in ((twin.formulas, twin.bounds), (twin.bounds, twin.formulas)):
        for module, tree in zip(modules, trees_of(modules), strict=True):
            _, _, named = (ast.get_docstring(tree) or "").partition("Twin: ")
            assert any(f"`engine.{other}`" in named for other in others), module


def test_twins_when_a_module_of_the_engine_names_one_then_they_are_compared_here():
    compared = {module for twin in TWINS.values() for module in (*twin.formulas, *twin.bounds)}
    named = {
        ".".join(path.relative_to(ENGINE).with_suffix("").parts)
        for path in ENGINE.rglob("*.py")
        if "Twin: " in (ast.get_docstring(ast.parse(path.read_text())) or "")
    }
    assert named == compared
