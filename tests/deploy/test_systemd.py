"""The units of `deploy/systemd`, read by systemd itself."""

import re
import shutil
import subprocess

import pytest

from streams.config.settings import Settings
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
