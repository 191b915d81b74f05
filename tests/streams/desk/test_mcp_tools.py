"""`unimargin mcp` as a client starts it: a process of its own on standard input and output, over a real Redis."""

import asyncio
import json
import os
import subprocess
from collections.abc import Mapping
from typing import Any

import pytest
from mcp import Client, StdioServerParameters

from engine.events.effects import AccountRisk
from engine.ladder import Band, LadderState
from streams.embedded.supervisor import unimargin as command_line
from tests.support.builders import account
from tests.support.cli import NOWHERE, unimargin
from tests.support.cli_state import leave_state, marks_now
from tests.support.redis_contents import everything

pytestmark = pytest.mark.system

QUOTES = {"USDT-USD": 1, "BTC-USD": 100, "BTC-PERP": 100, "ETH-PERP": 50, "USD-PERP": 100}
TIMED = {"read_at_ns", "age_seconds"}


def timeless(said: Any) -> Any:
    """The same without what says when it was asked."""
    if isinstance(said, dict):
        return {name: timeless(value) for name, value in said.items() if name not in TIMED}
    return [timeless(it) for it in said] if isinstance(said, list) else said


@pytest.fixture
def env(redis_env: Mapping[str, str]) -> dict[str, str]:
    env = {**redis_env, "UNIMARGIN_KAFKA_BOOTSTRAP_SERVERS": NOWHERE}
    states = [
        account({"USD": 250}, {"USD-PERP": (10, 100)}, name="long"),
        account({"USD": 52}, {"USD-PERP": (10, 100)}, name="near"),
        account({"USD": 9_000}, {"BTC-PERP": (1, 100)}, name="rich"),
    ]
    risks = [AccountRisk("near", {"": LadderState(Band.REDUCE_ONLY, "near/cross/1")})]
    leave_state(env["UNIMARGIN_REDIS_URL"], 0, states, risks, marks_now(QUOTES))
    return env


def server(env: Mapping[str, str]) -> Client:
    command, *words = command_line("mcp")
    return Client(StdioServerParameters(command=command, args=words, env={**os.environ, **env}))


async def answered(client: Client, tool: str, **arguments: Any) -> Any:
    said = await client.call_tool(tool, arguments)
    assert not said.is_error, said.content
    assert json.loads(said.content[0].text) == said.structured_content
    return said.structured_content


async def refused(client: Client, tool: str, **arguments: Any) -> str:
    said = await client.call_tool(tool, arguments)
    assert said.is_error
    text: str = said.content[0].text
    return text


async def test_tools_when_listed_then_each_is_described_and_only_reads(env: dict[str, str]) -> None:
    async with server(env) as client:
        tools = (await client.list_tools()).tools
    assert {it.name for it in tools} == {
        "show_account",
        "riskiest_accounts",
        "what_if",
        "what_if_all",
        "explain_event",
    }
    for tool in tools:
        assert tool.description
        assert tool.input_schema["type"] == "object"
        assert tool.annotations is not None
        assert (tool.annotations.read_only_hint, tool.annotations.destructive_hint) == (True, False)


def test_answers_when_asked_then_those_of_the_command_line_and_nothing_is_written(
    env: dict[str, str],
) -> None:
    before = everything(env["UNIMARGIN_REDIS_URL"])
    shocks = [{"target": "BTC", "move": "-0.2"}]
    order = {"symbol": "USD-PERP", "side": "sell", "quantity": "4"}

    async def ask() -> list[Any]:
        async with server(env) as client:
            return [
                await answered(client, "show_account", account="long", explain=True),
                await answered(client, "riskiest_accounts", sort="shortfall", limit=2),
                await answered(client, "what_if", account="long", shocks=shocks, orders=[order]),
                await answered(client, "what_if_all", shocks=shocks),
            ]

    shown, listed, changed, moved = asyncio.run(ask())
    said = unimargin("account", "show", "long", "--explain", "--json", env=env).json
    assert timeless(shown) == timeless(said)
    said = unimargin("account", "list", "--sort", "shortfall", "--limit", "2", "--json", env=env).json
    assert timeless(listed) == timeless(said)
    assert [it["account"] for it in listed["accounts"]] == ["near", "long"]
    words = ("--shock", "BTC=-20%", "--order", "USD-PERP", "sell", "4")
    assert timeless(changed) == timeless(unimargin("whatif", "long", *words, "--json", env=env).json)
    said = unimargin("whatif", "--all", "--shock", "BTC=-20%", "--json", env=env).json
    assert timeless(moved) == timeless(said)
    assert {it["account"] for it in moved["accounts"]} == {"long", "near"}
    assert everything(env["UNIMARGIN_REDIS_URL"]) == before


async def test_questions_when_they_cannot_be_meant_then_told_and_the_next_is_answered(
    env: dict[str, str],
) -> None:
    async with server(env) as client:
        assert "did you mean near?" in await refused(client, "show_account", account="naer")
        assert "did you mean USD-PERP" in await refused(client, "riskiest_accounts", symbol="USD-PREP")
        assert "unknown field" in await refused(client, "show_account", account="near", why="so")
        assert "account" in await refused(client, "show_account")
        assert "limit" in await refused(client, "riskiest_accounts", limit=100_000)
        assert "100 %" in await refused(
            client, "what_if", account="near", shocks=[{"target": "BTC", "move": "-1"}]
        )
        assert "either account or portfolio" in await refused(client, "what_if")
        assert "no event id" in await refused(client, "explain_event", event_id="near")
        assert NOWHERE in await refused(client, "explain_event", event_id="near/margin-events/1")
        assert "did you mean show_account" in await refused(client, "show_acount")
        assert (await answered(client, "show_account", account="near"))["account"] == "near"


async def test_tools_when_redis_is_away_then_told(env: dict[str, str]) -> None:
    async with server({**env, "UNIMARGIN_REDIS_URL": f"redis://{NOWHERE}/0"}) as client:
        assert NOWHERE in await refused(client, "show_account", account="near")


def test_mcp_when_nothing_answers_and_its_client_has_left_then_said_and_1() -> None:
    command, *words = command_line("mcp")
    away = {"UNIMARGIN_REDIS_URL": f"redis://{NOWHERE}", "UNIMARGIN_KAFKA_BOOTSTRAP_SERVERS": NOWHERE}
    said = subprocess.run(
        [command, *words],
        env={**os.environ, **away},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (said.returncode, said.stdout) == (1, "")
    assert f"Redis at redis://{NOWHERE}" in said.stderr.splitlines()[-1]
