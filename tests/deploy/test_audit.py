"""The verdict of `.ci/audit` on what a vulnerability service said, and its waivers that end."""

import datetime as dt
import json
import os
import subprocess
import sys
import tomllib

import pytest

from tests.deploy.files import ROOT

TODAY = dt.datetime.now(dt.UTC).date()
KNOWN = {"id": "PYSEC-1", "aliases": ["CVE-1"], "fix_versions": ["2.0"]}


def dependency(*vulnerabilities):
    return {"name": "some", "version": "1.0", "vulns": list(vulnerabilities)}


def waiver(days, name="CVE-1", reason="not reached"):
    return f'[waivers.{name}]\nuntil = {TODAY + dt.timedelta(days=days)}\nreason = "{reason}"\n'


@pytest.mark.parametrize(
    ("dependencies", "waivers", "status", "words"),
    [
        ([dependency()], "", 0, "nothing known"),
        ([dependency(KNOWN)], "", 1, "some 1.0: PYSEC-1, mended in 2.0"),
        ([dependency(KNOWN)], waiver(30), 0, "waived: some 1.0: CVE-1: not reached"),
        ([dependency(KNOWN)], waiver(0), 0, "waived"),
        ([dependency(KNOWN)], waiver(-1), 2, "waiver CVE-1 ended on"),
        ([dependency()], waiver(-1), 2, "waiver CVE-1 ended on"),
        ([dependency()], waiver(100), 2, "more than 92 days away"),
        ([dependency()], waiver(30, reason=" "), 2, "needs until"),
        ([dependency(KNOWN)], waiver(30, name="CVE-2"), 1, "PYSEC-1"),
        ([dependency(), {"name": "other", "skip_reason": "not found"}], "", 1, "other: not found"),
        ([{"name": "other", "skip_reason": "not found"}], "", 3, "cannot be reached"),
        ([], "", 3, "cannot be reached"),
    ],
)
def test_audit_when_a_report_is_held_against_waivers_then_its_verdict(
    tmp_path, dependencies, waivers, status, words
):
    report, file = tmp_path / "report.json", tmp_path / "waivers.toml"
    report.write_text(json.dumps({"dependencies": dependencies}))
    file.write_text(waivers)
    done = run("--report", str(report), "--waivers", str(file))
    assert (done.returncode, words in done.stdout) == (status, True), done.stdout + done.stderr
    if status == 3:
        assert run("--report", str(report), "--waivers", str(file), AUDIT_MUST="1").returncode == 1


def run(*words, **more):
    command = [sys.executable, ROOT / ".ci" / "audit", *words]
    return subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, **more})


def test_waivers_that_are_committed_are_read():
    assert set(tomllib.loads((ROOT / ".ci" / "audit-waivers.toml").read_text())) == {"waivers"}


def test_ci_makes_a_bill_of_materials_and_asks_of_what_is_known():
    script = (ROOT / ".ci" / "run").read_text()
    assert "make sbom" in script
    assert ".ci/audit" in script
