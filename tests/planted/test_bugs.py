"""The list of planted bugs must not rot: every place it names is still in the source, once, and every test exists."""

import ast

import pytest

from tests.planted.__main__ import TREE, planted
from tests.planted.bugs import BUGS, Bug


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.name)
def test_bug_when_planted_then_its_place_occurs_once_and_the_source_changes(bug: Bug) -> None:
    sound = (TREE / bug.file).read_text()
    broken = planted(sound, bug)
    assert broken != sound
    if bug.file.endswith(".py"):
        compile(broken, bug.file, "exec")


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.name)
def test_bug_when_its_test_is_looked_for_then_it_exists(bug: Bug) -> None:
    file, _, name = bug.test.partition("::")
    tree = ast.parse((TREE / file).read_text())
    names = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
    assert name.partition("[")[0] in names


def test_bug_when_its_place_is_gone_then_planting_fails() -> None:
    with pytest.raises(ValueError, match="0 times"):
        planted("", BUGS[0])
