import re
import subprocess

import pytest

from tests.deploy.commands import assert_command_exists
from tests.deploy.files import RUNBOOKS, alerts, compose, dashboards

HEADINGS = ["Meaning", "Impact", "Diagnosis", "Mitigation"]
TITLES = {
    page["title"].removeprefix("Margin / "): {panel["title"] for panel in page["panels"]}
    for page in dashboards().values()
}
PATHS = sorted(path for path in RUNBOOKS.glob("*.md") if path.stem != "README")
PLATFORMS = sorted(RUNBOOKS.glob("on-*.sh"))
BACKUPS = RUNBOOKS.parent / "redis" / "backup-and-restore.md"
NAMES = {"worker-1", "worker-2", "standby", "api", "notify", "feed", "kafka", "redis"}
STUBS = ("docker", "kubectl", "systemctl", "journalctl", "systemd-cgtop", "sudo", "wget", "redis-cli", "df")


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
    for command in re.findall(r"`(?:on )?unimargin ([^`]+)`", text):
        assert_command_exists(command.split())
    for dashboard, panel in re.findall(r'[Dd]ashboard \*([^*]+)\*(?:, row \w+)?[,:] "([^"]+)"', text):
        assert panel in TITLES[dashboard], panel
    assert not re.search(r"[Dd]ashboard[,:]", text), "which dashboard?"
    assert "docker" not in text, "say it by a word of README.md"


def said():
    """Every command of a page that begins with `on`, up to a pipe; what it is given is a part of it."""
    text = "\n".join(path.read_text() for path in [*PATHS, BACKUPS])
    return sorted(
        {it.partition(" | ")[0] for code in re.findall(r"`(on [^`]+)`", text) for it in code.split(" && ")}
    )


def words(text):
    return set(re.findall(r"^        ([a-z-]+)\)", text.partition("\non() {\n")[2], flags=re.MULTILINE))


def test_platforms_when_compared_then_each_knows_every_word_and_the_table_has_them_all():
    table = set(re.findall(r"^\| `on ([a-z-]+)", (RUNBOOKS / "README.md").read_text(), flags=re.MULTILINE))
    assert len(PLATFORMS) == 3
    for path in PLATFORMS:
        assert words(path.read_text()) == table, path
    used = {command.split()[1] for command in said()}
    assert used <= table
    assert used > {"logs", "start", "kill", "redis-cli", "kafka", "unimargin"}


def test_words_when_they_name_a_service_then_it_is_one_of_ours():
    named = {
        name
        for command in said()
        if command.split()[1] in {"logs", "ask", "start", "stop", "restart", "kill", "disk"}
        for name in re.findall(r"(?<= )[a-z][a-z-]+(?:-\d)?(?=$| )", command)[1:]
    }
    assert named
    assert named <= NAMES
    assert set(compose()["services"]) >= NAMES


@pytest.mark.parametrize("platform", PLATFORMS, ids=lambda path: path.stem)
def test_every_command_of_every_page_when_run_on_a_platform_then_something_of_it_is_asked(platform, tmp_path):
    """The tools stand in for themselves by saying what they were asked: there is no Docker and no cluster here."""
    for name in STUBS:
        stub = tmp_path / name
        stub.write_text(f'#!/bin/sh\necho "{name} $*" >> {tmp_path}/asked\n')
        stub.chmod(0o755)
    for command in said():
        (tmp_path / "asked").write_text("")
        script = f". {platform}; PATH={tmp_path}:$PATH; {command.replace('...', '')}"
        done = subprocess.run(["bash", "-uc", script], capture_output=True, text=True, check=False)
        asked = (tmp_path / "asked").read_text()
        at_hand = command.startswith("on kafka") and platform.stem == "on-systemd"
        assert asked or (at_hand and "/opt/kafka/bin/kafka-" in done.stderr), (command, done.stderr)
        assert "no word" not in done.stderr
        assert "unbound" not in done.stderr, (command, done.stderr)


@pytest.mark.parametrize("platform", PLATFORMS, ids=lambda path: path.stem)
def test_word_when_there_is_none_such_then_it_says_so(platform):
    done = subprocess.run(
        ["bash", "-c", f". {platform}; on fire"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "no word fire" in done.stderr
