"""`unimargin demo` as a user runs it: a process of its own, everything real, nothing left behind."""

import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pytest

from streams.embedded.supervisor import unimargin
from tests.support.interrupts import heeding_ctrl_c
from tests.support.waiting import wait_for

MARK = "DEMO_TEST_RUN"
RUN_SECONDS_MAX = 240
HEADER = "ts_ms,symbol,price,qty"
START_MS = 1_760_130_000_000


class DemoProcess:
    """The demo with a mark in its environment, which all its children inherit."""

    def __init__(self, mark: str, home: Path, *arguments: str) -> None:
        self._mark = f"{MARK}={mark}".encode()
        with heeding_ctrl_c():
            self._process = subprocess.Popen(
                unimargin("demo", *arguments),
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                env={**os.environ, MARK: mark, "TMPDIR": str(home)},
                cwd=home,
            )

    def until_said(self, pattern: str) -> str:
        """Read standard error until a line matches, and return what did."""
        assert self._process.stderr is not None
        for line in self._process.stderr:
            if found := re.search(pattern, line):
                return found[0]
        pytest.fail(f"the demo ended without saying {pattern!r}")

    def signal(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def finish(self) -> tuple[int, str, str]:
        """Exit status, standard output, standard error."""
        out, err = self._process.communicate(timeout=RUN_SECONDS_MAX)
        return self._process.returncode, out, err

    def family(self) -> list[str]:
        """The command lines of all its processes that still live."""
        found = []
        for place in Path("/proc").glob("[0-9]*"):
            try:
                if self._mark in (place / "environ").read_bytes().split(b"\0"):
                    found.append((place / "cmdline").read_text().replace("\0", " "))
            except OSError:  # ended meanwhile
                continue
        return found

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()


@pytest.fixture
def start_demo(unique: Any, tmp_path: Path) -> Iterator[Any]:
    started: list[DemoProcess] = []

    def start(*arguments: str) -> DemoProcess:
        started.append(DemoProcess(unique("demo"), tmp_path, *arguments))
        return started[-1]

    yield start
    for process in started:
        process.kill()


def assert_nothing_left(process: DemoProcess, home: Path) -> None:
    deadline = time.monotonic() + 10
    while process.family() and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not process.family()
    assert not list(home.glob("unimargin-*"))


def summary_of(out: str) -> dict[str, Any]:
    (line,) = out.splitlines()
    summary: dict[str, Any] = json.loads(line)
    return summary


def test_demo_when_run_to_its_end_tells_one_true_summary(start_demo: Any, tmp_path: Path) -> None:
    process = start_demo("--seconds", "8", "--accounts", "300", "--seed", "7", "--json")
    code, out, err = process.finish()
    assert code == 0, err
    summary = summary_of(out)
    assert summary["completed"]
    assert (summary["accounts"], summary["seed"]) == (300, 7)
    # The exchange drops what it cannot send in time, never invents: 8 s at 1,000 a second, start prices, and until all is quiet.
    assert 1_000 < summary["ticks"] < 25_000
    assert summary["fills"] > 300
    assert summary["ledger_entries"] > 300
    kinds = summary["events_by_type"]
    assert sum(kinds.values()) == summary["events"]
    assert any(kind.startswith("margin.call.") for kind in kinds)
    assert 0 < summary["latency_seconds"]["p50"] <= summary["latency_seconds"]["p99"]
    assert "acknowledged" in summary["latency_seconds"]["measured"]
    assert sum(summary["accounts_by_band"].values()) == 300
    assert set(summary["marks_refused"]) == {"jump_unconfirmed", "not_positive", "old_sequence"}
    assert summary["newest"]["account"].startswith("a-")
    assert (summary["worker_restarts"], summary["quarantined"], summary["events_missed"]) == (0, 0, 0)
    exchange = summary["exchange"]
    assert exchange["conserved"]
    assert {line["difference"] for line in exchange["conservation"].values()} == {"0"}
    assert exchange["margin_calls"] > 0
    assert exchange["liquidations_executed"] > 0
    # what is completed after the exchange has closed it does not hear of
    assert 0 < exchange["pools_cured"] <= kinds["liquidation.completed"]
    assert_nothing_left(process, tmp_path)


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_demo_when_interrupted_tells_so_far_and_leaves_nothing(
    start_demo: Any, tmp_path: Path, number: signal.Signals, status: int
) -> None:
    process = start_demo("--seconds", "60", "--accounts", "100", "--json")
    address, _, key = process.until_said(r"http://127[^ ]*/board/#key=.*").partition("#key=")
    process.until_said(r"\bcalm\b")
    assert len(process.family()) > 5
    wait_for("the board is there", lambda: b"<main" in read_url(address))
    accounts = address.replace("/board/", "/accounts")
    wait_for("it shows accounts", lambda: b'"total":100' in read_url(accounts, key))
    process.signal(number)
    code, out, err = process.finish()
    assert code == status, err
    assert "Traceback" not in err
    assert not summary_of(out)["completed"]
    assert_nothing_left(process, tmp_path)


def test_demo_when_interrupted_during_set_up_leaves_nothing(start_demo: Any, tmp_path: Path) -> None:
    process = start_demo("--accounts", "100", "--json")
    process.until_said("redis-server at")
    process.signal(signal.SIGINT)
    code, out, err = process.finish()
    assert (code, out) == (130, ""), err
    assert_nothing_left(process, tmp_path)


def test_demo_when_killed_takes_its_children_along(start_demo: Any) -> None:
    process = start_demo("--seconds", "60", "--accounts", "100", "--json")
    process.until_said(r"\bcalm\b")
    process.signal(signal.SIGKILL)
    deadline = time.monotonic() + 15
    while process.family() and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not process.family()


def test_demo_when_given_a_recording_replays_it(start_demo: Any, tmp_path: Path) -> None:
    rows = [
        f"{START_MS + 100 * step},{symbol},{price * (1 - fall * step / 400):.4f},1"
        for step in range(400)
        for symbol, price, fall in (
            ("BTCUSDT", 113_000, 0.15),
            ("ETHUSDT", 4_100, 0.25),
            ("DOGEUSDT", 0.245, 0.5),
        )
    ]
    recording = tmp_path / "crash.csv"
    recording.write_text("\n".join([HEADER, *rows]) + "\n")
    process = start_demo(
        *("--data", str(recording), "--speed", "10", "--accounts", "200", "--json", "--no-board")
    )
    code, out, err = process.finish()
    assert code == 0, err
    assert "board" not in err
    summary = summary_of(out)
    assert summary["source"] == str(recording)
    assert summary["ticks"] > 1_200
    assert summary["events"] > 0
    assert sum(summary["accounts_by_band"].values()) == 200
    recording.unlink()
    assert_nothing_left(process, tmp_path)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--data", "missing.csv"], r"missing\.csv.*No such file"),
        (["--data", "wrong.csv"], r"wrong\.csv, line 1: the header 'a,b' is none of"),
        (["--data", "good.csv", "--speed", "fast"], "--speed 'fast': a number above 0, or max"),
        (["--data", "good.csv", "--from", "noon"], "--from 'noon': not an ISO time"),
        (["--ticks-per-second", "1"], "symbols need at least"),
    ],
)
def test_demo_when_asked_for_the_impossible_says_why_and_starts_nothing(
    start_demo: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("wrong.csv").write_text("a,b\n1,2\n")
    Path("good.csv").write_text(f"{HEADER}\n{START_MS},BTCUSDT,1,1\n")
    code, out, err = start_demo(*arguments).finish()
    assert (code, out) == (2, "")
    assert re.search(message, err)
    assert "Traceback" not in err


def test_demo_when_a_worker_cannot_start_shows_its_last_words(start_demo: Any, unused_kafka: str) -> None:
    code, out, err = start_demo("--kafka", unused_kafka, "--json").finish()
    assert (code, out) == (1, "")
    assert "worker-1 ended with status" in err
    assert "KafkaConnectionError" in err
    assert "logs: " in err


def test_demo_when_the_extra_is_missing_then_it_says_so_and_goes_on_without_a_board(
    start_demo: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "sitecustomize.py").write_text(HIDES_LITESTAR)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")]))
    code, _, err = start_demo("--seconds", "1", "--accounts", "20", "--json").finish()
    assert code == 0, err
    assert "no board: `pip install unimargin[desk]`" in err
    assert "/board/#key" not in err


HIDES_LITESTAR = """
import sys
class Hidden:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "litestar":
            raise ModuleNotFoundError(name, name=name)
sys.meta_path.insert(0, Hidden())
"""


def read_url(address: str, key: str = "") -> bytes:
    """The body; nothing while nobody answers."""
    try:
        with urlopen(Request(address, headers={"Authorization": f"Bearer {key}"})) as response:
            body: bytes = response.read()
            return body
    except OSError:
        return b""


@pytest.fixture
def unused_kafka() -> str:
    return "127.0.0.1:1"
