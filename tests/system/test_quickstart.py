"""`unimargin quickstart` as a user runs it: a process of its own, everything real, nothing left behind."""

import asyncio
import os
import re
import signal
import subprocess
import time
from decimal import Decimal
from pathlib import Path
from typing import Any

from mcp import Client, StdioServerParameters

from streams.embedded.supervisor import unimargin
from tests.support.cli import NOWHERE, Said
from tests.support.cli import unimargin as command
from tests.support.interrupts import heeding_ctrl_c

SECONDS_MAX = 180
NO_BROKER = {"UNIMARGIN_KAFKA_BOOTSTRAP_SERVERS": NOWHERE}


def started(home: Path, *words: str, **env: str) -> "subprocess.Popen[str]":
    with heeding_ctrl_c():
        return subprocess.Popen(
            unimargin("quickstart", *words),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "TMPDIR": str(home), "COLUMNS": "200", **env},
            cwd=home,
        )


def ended(home: Path, *words: str, **env: str) -> Said:
    process = started(home, *words, **env)
    out, err = process.communicate(timeout=SECONDS_MAX)
    return Said(process.returncode, out, err)


async def explained_by_tool(event_id: str, env: dict[str, str]) -> Any:
    """What a client of `unimargin mcp` hears of the event."""
    first, *words = unimargin("mcp")
    async with Client(StdioServerParameters(command=first, args=words, env={**os.environ, **env})) as client:
        return (await client.call_tool("explain_event", {"event_id": event_id})).structured_content


def assert_called(report: dict[str, Any]) -> None:
    """One deposit, one fill, prices, and the call that follows of them."""
    kinds = [it["record"]["type"] for it in report["sent"]]
    assert [kind for kind in kinds if kind != "marks"] == ["deposit", "fill"]
    assert kinds.count("marks") >= 9
    paid = [
        Decimal(mark["price"])
        for it in report["sent"]
        if it["record"]["type"] == "marks"
        for mark in it["record"]["marks"]
        if mark["symbol"] == report["symbol"]
    ]
    assert paid == sorted(paid, reverse=True)
    assert paid[-1] < paid[0]
    called = [
        it for it in report["received"] if it["type"] in {"margin.call.opened", "margin.call.escalated"}
    ]
    assert [it["id"] for it in called] == [report["margin_call"]]
    assert Decimal(1) < Decimal(called[0]["ratio"]) < Decimal("1.2")
    assert Decimal(called[0]["shortfall_to_call"]) > 0
    assert not any(it["type"].startswith("liquidation") for it in report["received"])


def test_quickstart_when_no_broker_answers_then_a_call_on_an_embedded_stack_and_nothing_left(
    tmp_path: Path,
) -> None:
    said = ended(tmp_path, "--json", **NO_BROKER)
    assert said.code == 0, said.err
    report = said.json
    assert report["embedded"]
    assert_called(report)
    # what was sent and received is told as it happens
    lines = said.err.splitlines()
    assert sum(line.startswith("-> ") for line in lines) == len(report["sent"])
    assert sum(line.startswith("<- ") for line in lines) == len(report["received"])
    assert f'"account":"{report["account"]}"' in said.err
    assert not list(tmp_path.glob("unimargin-*"))


def test_quickstart_when_kept_then_its_commands_work_and_another_runs_against_it(tmp_path: Path) -> None:
    process = started(tmp_path, "--embedded", "--keep", **NO_BROKER)
    try:
        assert process.stdout is not None
        said = []
        for line in process.stdout:
            said.append(line)
            if line.startswith("Ctrl-C"):
                break
        text = "".join(said)
        env = dict(re.findall(r"export (\w+)=(\S+)", text))
        account = re.findall(r"account show (\S+) --explain", text)[0]
        shown = command("account", "show", account, "--json", env=env).json
        assert shown["pools"][0]["band"] == "margin_call"
        (event,) = re.findall(r"unimargin explain (\S+)", text)
        explained = command("explain", event, env=env)
        assert (explained.code, "MATCHES" in explained.out) == (0, True), explained.out
        mistyped = command("explain", f"{event}7", env=env)
        assert (mistyped.code, f"did you mean {account}/margin-events/" in mistyped.err) == (1, True), (
            mistyped.err
        )
        mistyped = command("explain", "--account", account.upper(), env=env)
        assert (mistyped.code, f"did you mean {account}?" in mistyped.err) == (1, True), mistyped.err
        by_tool = asyncio.run(explained_by_tool(event, env))
        assert by_tool == {"explanations": command("explain", event, "--json", env=env).json_lines}

        other = ended(tmp_path, "--no-embedded", "--json", **env)
        assert other.code == 0, other.err
        assert not other.json["embedded"]
        assert other.json["account"] != account
        assert_called(other.json)
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
    assert process.returncode == 0
    deadline = time.monotonic() + 10
    while list(tmp_path.glob("unimargin-*")) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not list(tmp_path.glob("unimargin-*"))
