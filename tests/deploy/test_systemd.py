"""The units of `deploy/systemd`, read by systemd itself."""

import os
import re
import shutil
import subprocess

import pytest

from streams.config.settings import Settings, load_settings
from tests.deploy.commands import assert_command_exists
from tests.deploy.files import DEPLOY

PLACE = DEPLOY / "systemd"
UNITS = sorted(PLACE.glob("*.service"))
EXPOSURE_MAX = 1.5
"""Of 10. Services that are not confined at all have 9.6."""


def analyzed(*words):
    program = shutil.which("systemd-analyze")
    assert program, "systemd-analyze is not installed (Debian package: systemd)"
    return subprocess.run([program, *map(str, words)], capture_output=True, text=True, check=False)


@pytest.mark.parametrize("unit", UNITS, ids=lambda path: path.stem)
def test_unit_when_systemd_reads_it_then_it_understands_every_line(unit, tmp_path):
    own = tmp_path / unit.name.replace("@.", "@worker-1.")
    own.write_text(unit.read_text().replace("/opt/unimargin/bin/unimargin", shutil.which("true")))
    shutil.copy(PLACE / "unimargin.target", tmp_path)
    said = analyzed("verify", "--man=no", own)
    assert (said.returncode, said.stderr) == (0, "")


@pytest.mark.parametrize("unit", UNITS, ids=lambda path: path.stem)
def test_unit_when_its_confinement_is_measured_then_it_is_tight(unit):
    said = analyzed("security", "--offline=true", "--no-pager", unit)
    level = float(re.search(r"Overall exposure level for \S+: ([\d.]+)", said.stdout)[1])
    assert level <= EXPOSURE_MAX, said.stdout


@pytest.mark.parametrize("unit", UNITS, ids=lambda path: path.stem)
def test_unit_runs_a_command_that_exists_comes_back_and_is_given_time_to_end(unit):
    lines = unit.read_text().splitlines()
    (command,) = (line.removeprefix("ExecStart=") for line in lines if line.startswith("ExecStart="))
    assert_command_exists(command.replace(" $WORKER_OPTIONS", "").split()[1:])
    assert "Restart=on-failure" in lines
    assert "StartLimitIntervalSec=0" in lines
    (stop,) = (line.partition("=")[2] for line in lines if line.startswith("TimeoutStopSec="))
    assert int(stop) > Settings().shutdown_seconds
    told = {name for line in lines for name in re.findall(r"^Environment=(UNIMARGIN_\w+)", line)}
    assert told <= {f"UNIMARGIN_{field.upper()}" for field in Settings.model_fields}


ROLES = {"unimargin-worker@": "worker", "unimargin-api": "api", "unimargin-notify": "notifier"}
PAGE = (PLACE / "README.md").read_text()


@pytest.mark.parametrize("unit", UNITS, ids=lambda path: path.stem)
def test_unit_when_it_has_a_login_then_it_is_handed_its_own_and_no_other(unit):
    lines = unit.read_text().splitlines()
    role = ROLES[unit.stem]
    assert [line for line in lines if line.startswith("LoadCredential=")] == [
        f"LoadCredential=settings.env:/etc/unimargin/secrets/{role}.env"
    ]
    assert "EnvironmentFile=/etc/unimargin/shared.env" in lines
    (command,) = (line for line in lines if line.startswith("ExecStart="))
    assert command.endswith(" --config %d/settings.env")
    assert f"| `{role}.env` |" in PAGE


def test_readme_when_its_examples_are_a_hosts_files_then_they_are_settings(tmp_path, monkeypatch):
    for variable in [key for key in os.environ if key.startswith("UNIMARGIN_")]:
        monkeypatch.delenv(variable)
    shared, login = re.findall(r"```\n(UNIMARGIN_.*?)```", PAGE, re.DOTALL)
    for line in shared.splitlines():
        name, _, value = line.partition("=")
        monkeypatch.setenv(name, value)
    assert "PASSWORD" not in shared
    file = tmp_path / "settings.env"
    file.write_text(login)
    settings = load_settings(file)
    assert (settings.kafka_sasl_username, settings.redis_username) == ("worker", "worker")
    assert not settings.kafka_plaintext_allowed
    assert not settings.redis_plaintext_allowed
