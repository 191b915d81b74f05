import re

import pytest

from tests.deploy.commands import assert_command_exists
from tests.deploy.files import RUNBOOKS, alerts, compose, dashboards

HEADINGS = ["Meaning", "Impact", "Diagnosis", "Mitigation"]
TITLES = {
    page["title"].removeprefix("Margin / "): {panel["title"] for panel in page["panels"]}
    for page in dashboards().values()
}
PATHS = sorted(RUNBOOKS.glob("*.md"))


def test_every_alert_has_a_runbook_and_every_runbook_an_alert():
    assert {path.stem for path in PATHS} == set(alerts())


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_runbook_answers_the_four_questions_in_order(path):
    title, *sections = re.split(r"^## ", path.read_text(), flags=re.MULTILINE)
    assert title == f"# {path.stem}\n\n"
    assert [section.partition("\n")[0] for section in sections] == HEADINGS
    for section in sections:
        assert len(section.partition("\n")[2].split()) >= 8, section


def test_backup_page_names_commands_that_exist():
    text = (RUNBOOKS.parent / "redis" / "backup-and-restore.md").read_text()
    commands = re.findall(r"(?:`|^    )unimargin (backup \w+|account show|doctor)", text, flags=re.MULTILINE)
    assert set(commands) >= {"backup create", "backup verify", "backup restore", "doctor"}
    for command in commands:
        assert_command_exists(command.split())


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_runbook_names_alerts_commands_and_services_that_exist(path):
    text = path.read_text()
    assert set(re.findall(r"\bMargin[A-Z]\w+", text)) <= set(alerts())
    for command in re.findall(
        r"`unimargin ([^`]+)`|docker compose (?:exec|run --rm) worker-1 (doctor)", text
    ):
        assert_command_exists("".join(command).split())
    for dashboard, panel in re.findall(r'[Dd]ashboard \*([^*]+)\*(?:, row \w+)?[,:] "([^"]+)"', text):
        assert panel in TITLES[dashboard], panel
    assert not re.search(r"[Dd]ashboard[,:]", text), "which dashboard?"
    services = re.findall(r"docker compose (?:exec|restart|kill|run --rm) ([\w-]+)", text)
    assert set(services) <= set(compose()["services"])
