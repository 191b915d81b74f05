"""The page of incidents, played again by its own commands: its table says what they print. Slow for a unit test: ten runs of 1,000 accounts."""

import re
from pathlib import Path

import pytest

from streams.exchange.market.named_scenarios import INCIDENTS
from tests.support.cli import unimargin

pytestmark = pytest.mark.system

PAGE = (Path(__file__).parents[2] / "deploy" / "incidents" / "README.md").read_text()


@pytest.mark.parametrize("name", [scenario.name for scenario in INCIDENTS])
def test_page_when_its_commands_are_run_then_its_table_says_what_they_print(name: str) -> None:
    row = re.search(rf"^\| \[{name}\].*\| (\d+), (\d+) \| (\d+), (\d+) \|$", PAGE, re.MULTILINE)
    assert row is not None
    commands = re.findall(rf"^unimargin (simulate --offline --scenario {name} .*)$", PAGE, re.MULTILINE)
    guarded, naive = (unimargin(*command.split(), "--json").json for command in commands)
    printed = [
        str(summary[key])
        for summary in (naive, guarded)
        for key in ("accounts_liquidated", "wrongly_liquidated")
    ]
    assert printed == list(row.groups())
    assert guarded["conserved"]
    assert naive["conserved"]
    assert guarded["liquidations_open"] == naive["liquidations_open"] == 0
