"""The house rules that no linter knows: a name says one place, and a folder says what it is."""

import ast
import tomllib
from collections import Counter, defaultdict
from enum import StrEnum
from pathlib import Path

import msgspec
import pytest

from engine.policy.rules import policy_switches, portfolio_switches
from engine.policy.rules.tables import Table
from tests.support.reachable import Definition, unreached

ROOT = Path(__file__).parents[1]
SOURCES = [path for room in ("engine", "streams") for path in sorted((ROOT / room).rglob("*.py"))]


def test_files_when_listed_then_no_two_share_a_name():
    names = Counter(path.stem for path in SOURCES if not path.stem.startswith("__"))

    assert [name for name, count in names.items() if count > 1] == []


def test_folders_when_they_hold_code_then_their_docstring_says_what_they_are():
    folders = {path.parent for path in SOURCES}

    assert [
        str(it) for it in folders if not ast.get_docstring(ast.parse((it / "__init__.py").read_text()))
    ] == []


def test_layers_when_read_then_every_folder_of_the_shell_has_its_place():
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    layers = next(it["layers"] for it in contracts if "streams.cli" in it.get("layers", ()))

    listed = {name.strip() for layer in layers for name in layer.split("|")}

    assert listed == {
        f"streams.{it.name}" for it in (ROOT / "streams").iterdir() if (it / "__init__.py").exists()
    }


def test_engine_when_walked_from_the_shell_then_all_of_it_is_reached():
    """What only tests call belongs to the tests: `tests/conformance/rules` holds the rules of other systems."""
    assert unreached(ROOT, "engine", "streams") == []


@pytest.mark.parametrize(
    ("library", "left"),
    [
        ("def used(): return helper()\ndef helper(): pass", []),
        ("def used(): pass\ndef alone(): return alone()", ["alone"]),
        ("def used(): pass\ndef one(): other()\ndef other(): one()", ["one", "other"]),
        ("def used(): return LIMIT\nLIMIT = 1\nSPARE = 2", ["SPARE"]),
        (
            "class used:\n  def told(self): pass\n  def dumb(self): pass\n  def __len__(self): pass",
            ["used.dumb"],
        ),
        ("def used(): pass\nclass Lost:\n  def told(self): pass", ["Lost", "Lost.told"]),
    ],
)
def test_walk_when_a_definition_is_named_by_nobody_then_it_is_found(tmp_path, library, left):
    for package, code in (
        ("library", "from library.inside import used"),
        ("product", "from library import used\ndef main(): return used().told()"),
    ):
        (tmp_path / package).mkdir()
        (tmp_path / package / "__init__.py").write_text(code)
    (tmp_path / "library" / "inside.py").write_text(library)

    assert unreached(tmp_path, "library", "product") == [Definition("library.inside", it) for it in left]


def tables(base=Table):
    for table in base.__subclasses__():
        yield table
        yield from tables(table)


def switches():
    """Every switch of a policy: the name of the field, and its values."""
    for table in tables():
        for field in msgspec.structs.fields(table):
            if isinstance(field.type, type) and issubclass(field.type, StrEnum):
                yield field.name, field.type


OF_EXPOSURES = {
    "exposure",
    "contingencies",
    "oracles",
    "pool_change",
    "risk_unit",
    "scenarios",
    "charge_swings",
    "unit_swings",
}
"""Files that ask for the `kind` of what the scenario engine sees of a holding, which is no switch (`ExposureKind`)."""


def test_switches_when_code_compares_them_then_by_member_and_not_by_text():
    values = defaultdict(set)
    for name, switch in switches():
        values[name] |= set(switch)

    found = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path in SOURCES
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Compare)
        for side in (node.left, *node.comparators)
        if isinstance(side, ast.Attribute) and not (side.attr == "kind" and path.stem in OF_EXPOSURES)
        for text in ast.walk(node)
        if isinstance(text, ast.Constant) and text.value in values[side.attr]
    ]

    assert found == []


def test_switches_when_listed_then_each_is_a_field_of_a_policy_and_says_what_its_values_do():
    declared = {
        it
        for module in (policy_switches, portfolio_switches)
        for it in vars(module).values()
        if isinstance(it, type) and issubclass(it, StrEnum) and it is not StrEnum
    }

    assert declared == {switch for _, switch in switches()}
    assert [it.__name__ for it in declared if not it.__doc__] == []
