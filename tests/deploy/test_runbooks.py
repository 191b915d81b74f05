import os
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
KAFKA_TOOLS = (
    "kafka-topics.sh",
    "kafka-configs.sh",
    "kafka-consumer-groups.sh",
    "kafka-get-offsets.sh",
    "kafka-transactions.sh",
)
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


class Tools:
    """What the words call, each standing in for itself: it keeps what it was asked and given. There is no Docker and no cluster here."""

    def __init__(self, directory):
        self.directory, self.asked_file = directory, directory / "asked"
        self.bin, self.etc = directory / "bin", directory / "etc"
        self.bin.mkdir()
        (self.etc / "secrets").mkdir(parents=True)
        (self.etc / "shared.env").write_text("UNIMARGIN_GROUP=of-this-host\n")
        (self.etc / "secrets" / "redis_prometheus").write_text("hunter2")
        for name in (*STUBS, "unimargin", *KAFKA_TOOLS):
            stub = self.bin / name
            stub.write_text(
                f'#!/bin/sh\necho "{name} $*" >>{self.asked_file}\n'
                f'case "$*" in *"cat >"*|*"sh -s"*) cat >>{directory}/given;; *"cat /tmp"*) echo packed;; esac\n'
                f'[ {name} != unimargin ] || echo "in group $UNIMARGIN_GROUP" >>{self.asked_file}\n'
            )
            stub.chmod(0o755)

    def run(self, platform, command, **more):
        """What was asked."""
        self.asked_file.write_text("")
        words = self.directory / platform.name
        text = platform.read_text()
        for place, other in (
            ("/opt/kafka/bin", self.bin),
            ("/opt/unimargin/bin", self.bin),
            ("/etc/unimargin", self.etc),
        ):
            if platform.stem == "on-systemd":
                text = text.replace(place, str(other))
        words.write_text(text.replace("deploy/", f"{RUNBOOKS.parent}/"))
        done = subprocess.run(
            ["bash", "-uc", f". {words}; PATH={self.bin}:$PATH; {command}"],
            capture_output=True,
            text=True,
            check=False,
            cwd=self.directory,
            env={**os.environ, "REDIS_SECRETS": str(self.etc / "secrets"), **more},
        )
        assert "no word" not in done.stderr
        assert "unbound" not in done.stderr, (command, done.stderr)
        return self.asked_file.read_text(), done.stderr


@pytest.fixture
def tools(tmp_path):
    return Tools(tmp_path)


@pytest.mark.parametrize("platform", PLATFORMS, ids=lambda path: path.stem)
def test_every_command_of_every_page_when_run_on_a_platform_then_something_of_it_is_asked(platform, tools):
    for command in said():
        asked, errors = tools.run(platform, command.replace("...", ""))
        assert asked, (command, errors)


@pytest.mark.parametrize("platform", PLATFORMS, ids=lambda path: path.stem)
def test_command_when_it_makes_topics_then_it_has_the_rights_of_no_operator(platform, tools):
    asked, _ = tools.run(platform, "on unimargin topics create")
    assert {
        "on-docker": "docker compose run --rm -T topics topics create\n",
        "on-kubernetes": "kubectl delete job topics --namespace unimargin --ignore-not-found\n",
        "on-systemd": f"unimargin topics create --config {tools.etc}/secrets/admin.env\n",
    }[platform.stem] in asked
    asked, _ = tools.run(platform, "on unimargin topics list")
    assert {
        "on-docker": " operator topics list\n",
        "on-kubernetes": "--namespace unimargin deployment/operator -- unimargin topics list --config ",
        "on-systemd": f"unimargin topics list --config {tools.etc}/secrets/operator.env\nin group of-this-host\n",
    }[platform.stem] in asked


@pytest.mark.parametrize("platform", PLATFORMS, ids=lambda path: path.stem)
def test_command_when_it_names_a_file_then_it_is_one_of_who_calls(platform, tools):
    (tools.directory / "mine.toml").write_text("a policy")
    asked, _ = tools.run(platform, "on unimargin policy publish mine.toml --why 'two words'")
    if platform.stem == "on-kubernetes":
        assert "unimargin policy publish /tmp/mine.toml --why two words --config" in asked
        assert (tools.directory / "given").read_text() == "a policy"
    else:
        assert "policy publish mine.toml --why two words" in asked
    if platform.stem == "on-docker":
        me = f"{os.getuid()}:{os.getgid()}"
        assert f"--user {me} " in asked
        assert f"--volume {tools.directory}:/here --workdir /here operator" in asked
    asked, _ = tools.run(platform, "on unimargin backup create of-today.backup")
    if platform.stem == "on-kubernetes":
        assert "unimargin backup create /tmp/backup --config" in asked
        assert (tools.directory / "of-today.backup").read_text() == "packed\n"
    else:
        assert "backup create of-today.backup" in asked


@pytest.mark.parametrize("platform", PLATFORMS, ids=lambda path: path.stem)
def test_broker_and_redis_when_asked_then_by_tls_and_as_somebody(platform, tools):
    asked, errors = tools.run(platform, "on kafka kafka-topics.sh --list")
    assert re.search(r"kafka-topics\.sh --bootstrap-server \S+ --command-config \S+ --list\n", asked), errors
    asked, errors = tools.run(platform, "on redis-cli INFO memory")
    look = (RUNBOOKS.parent / "redis" / "look.sh").read_text()
    if platform.stem == "on-docker":
        assert asked.endswith("redis look INFO memory\n")
    elif platform.stem == "on-kubernetes":
        assert "sh -s -- INFO memory\n" in asked
        assert (tools.directory / "given").read_text() == look
    else:
        assert re.search(r"--tls --cacert \S+/ca\.pem --user prometheus INFO memory\n", asked), errors
    assert "hunter2" not in asked


@pytest.mark.parametrize("platform", PLATFORMS, ids=lambda path: path.stem)
def test_word_when_there_is_none_such_then_it_says_so(platform):
    done = subprocess.run(
        ["bash", "-c", f". {platform}; on fire"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "no word fire" in done.stderr
