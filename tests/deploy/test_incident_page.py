"""The page of incidents names every scenario, its commands parse, and the table says what the sections say."""

import re

import pytest

from streams.exchange.market.named_scenarios import INCIDENTS
from tests.deploy.commands import assert_command_exists
from tests.deploy.files import DEPLOY, ROOT

PAGE = DEPLOY / "incidents" / "README.md"
NAMES = [scenario.name for scenario in INCIDENTS]


def sections():
    _, *parts = re.split(r"^## ", PAGE.read_text(), flags=re.MULTILINE)
    return {part.partition("\n")[0]: part.partition("\n")[2] for part in parts}


def test_page_when_read_then_has_a_section_for_every_incident_and_the_readme_leads_to_it():
    assert list(sections()) == NAMES
    assert "deploy/incidents/README.md" in (ROOT / "README.md").read_text()


@pytest.mark.parametrize("scenario", INCIDENTS, ids=NAMES)
def test_section_when_read_then_tells_the_day_both_sides_and_both_commands(scenario):
    section = sections()[scenario.name]
    heads = re.findall(r"^\*\*([\w ]+)\.\*\*", section, flags=re.MULTILINE)
    assert heads == ["In the market", "Here", "Naive", "Ours"]
    year, month, day = scenario.incident.happened.split("-")
    months = {"01": "January", "10": "October"}
    assert f"{int(day)} {months[month]} {year}" in section
    commands = [line for line in section.splitlines() if line.startswith("unimargin simulate")]
    assert len(commands) == 2
    assert commands[1] == f"{commands[0]} --guard-off"
    assert f"--scenario {scenario.name} " in commands[0]


@pytest.mark.parametrize("scenario", INCIDENTS, ids=NAMES)
def test_table_when_read_then_its_figures_stand_in_the_section_too(scenario):
    row = re.search(
        rf"^\| \[{scenario.name}\].*\| (\d+), (\d+) \| (\d+), (\d+) \|$", PAGE.read_text(), re.MULTILINE
    )
    assert row is not None
    naive, ours = sections()[scenario.name].split("**Ours.**")
    for part, figures in ((naive, row.groups()[:2]), (ours, row.groups()[2:])):
        assert f"{figures[0]} accounts" in part
        assert figures[1] == "0" or figures[1] in part


def test_commands_when_walked_then_all_of_them_exist():
    commands = re.findall(r"^unimargin ([^#\n]+)", PAGE.read_text(), flags=re.MULTILINE)
    assert len(commands) >= 2 * len(NAMES)
    for command in commands:
        assert_command_exists(command.split())
