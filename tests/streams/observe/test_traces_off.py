"""Traces that nobody asked for: nothing is loaded, nothing changes."""

import subprocess
import sys

import pytest

from streams.config.settings import Settings, SettingsError
from streams.contract.commit import Commit, OutboxEntry
from streams.observe.traces import NO_TRACES
from streams.worker.app import _traces


def test_traces_when_not_asked_for_then_parts_are_as_they_were_and_what_is_inside_runs() -> None:
    assert _traces(Settings()) is NO_TRACES
    entry = OutboxEntry("margin-events", 0, b"alice", b"{}", (), "any")
    parts = [Commit(outbox=(entry,))]
    with NO_TRACES.span("judge", shard=1), NO_TRACES.goes_on("commit", parts[0].outbox):
        assert NO_TRACES.stamped(parts) is parts


def test_worker_when_traces_are_not_asked_for_then_nothing_that_sends_any_is_imported() -> None:
    # Redis' client imports by itself what it finds of OpenTelemetry's programming interface.
    asks = "import sys, streams.worker.app; print([it for it in sys.modules if 'otlp' in it])"
    assert subprocess.check_output([sys.executable, "-c", asks], text=True).strip() == "[]"


def test_traces_when_the_extra_is_not_installed_then_the_message_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry", None)
    monkeypatch.delitem(sys.modules, "streams.observe.otlp_traces", raising=False)
    with pytest.raises(SettingsError, match=r"install unimargin\[traces\]"):
        _traces(Settings(traces_endpoint="http://127.0.0.1:1/v1/traces"))
