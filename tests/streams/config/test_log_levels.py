"""How loud each logger is: ours, and those of libraries."""

import json
import subprocess
import sys

import pytest

from streams.config.settings import SettingsError, load_settings

SAYS = """
import logging
from streams.config.logs import configure_logs
from streams.config.settings import load_settings
settings = load_settings()
configure_logs(settings.log_level, settings.log_levels)
for name in ("aiokafka.consumer", "faust.app", "streams.outbox", "streams.worker"):
    for level in ("debug", "info", "warning"):
        getattr(logging.getLogger(name), level)(level)
"""


def said(monkeypatch: pytest.MonkeyPatch, **variables: str) -> set[tuple[str, str]]:
    for name, value in variables.items():
        monkeypatch.setenv(f"UNIMARGIN_{name}", value)
    lines = subprocess.run([sys.executable, "-c", SAYS], capture_output=True, text=True, check=True).stderr
    return {(line["logger"], line["event"]) for line in map(json.loads, lines.splitlines())}


def test_logs_when_nothing_is_set_then_libraries_are_quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    assert said(monkeypatch) == {
        ("aiokafka.consumer", "warning"),
        ("faust.app", "warning"),
        *((name, level) for name in ("streams.outbox", "streams.worker") for level in ("info", "warning")),
    }


def test_logs_when_levels_are_set_then_they_hold_for_these_loggers_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    loud = said(
        monkeypatch,
        LOG_LEVEL="WARNING",
        LOG_LEVELS="aiokafka=INFO, streams.outbox=DEBUG,streams.worker=ERROR",
    )
    assert loud == {
        ("aiokafka.consumer", "info"),
        ("aiokafka.consumer", "warning"),
        ("faust.app", "warning"),
        *(("streams.outbox", level) for level in ("debug", "info", "warning")),
    }


@pytest.mark.parametrize("wrong", ["aiokafka", "aiokafka=LOUD", "=INFO", "aiokafka=INFO,mode"])
def test_settings_when_a_level_is_none_then_the_message_names_the_setting_and_what_is_wanted(
    wrong: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UNIMARGIN_LOG_LEVELS", wrong)
    with pytest.raises(SettingsError, match=r"^UNIMARGIN_LOG_LEVELS: .*logger=LEVEL.*WARNING"):
        load_settings()
