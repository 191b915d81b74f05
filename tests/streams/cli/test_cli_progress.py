"""Commands that read a whole recording, a whole book or play a whole day show how far they are, to a terminal alone."""

import asyncio
import os
import pty
import select
import subprocess
import sys
from collections import Counter

import pytest
from pydantic import SecretStr

from streams.answers.shelf import RedisShelf
from streams.config.settings import Settings, policy_text
from streams.store.redis_access import open_redis
from tests.streams.cli.test_cli_account_show import QUOTES
from tests.support.builders import account
from tests.support.cli_state import leave_state, marks_now

ROWS = "".join(f"{1_760_000_000_000 + 1000 * n},BTC-USDT-PERP,{60_000 - 5 * n}\n" for n in range(2000))
OF_A_FILE = {
    "simulating": "simulate --offline --scenario depeg --seconds 5 --accounts 50 --json",
    "reading": "scenario from-recording day.csv",
    "policy default": "policy responsiveness default.toml --data day.csv --accounts 50 --json",
}
OF_A_BOOK = ["account list", "heatmap", "adl BTC-PERP short", "whatif --all --shock BTC=-5%"]


def said_on_a_terminal(words: str, *, cwd: os.PathLike[str], env: dict[str, str] | None = None) -> str:
    """What a command says on standard error where that is a terminal."""
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "streams.cli", *words.split()]
    with subprocess.Popen(
        command, cwd=cwd, env=os.environ | (env or {}), stdout=subprocess.DEVNULL, stderr=theirs
    ) as process:
        os.close(theirs)
        said = b""
        while process.poll() is None or select.select([ours], [], [], 0)[0]:
            if select.select([ours], [], [], 0.05)[0]:
                try:
                    said += os.read(ours, 65536)
                except OSError:  # the terminal's other end is closed
                    break
        process.wait()
    os.close(ours)
    assert process.returncode == 0, said.decode()
    return said.decode()


@pytest.mark.parametrize("expected", OF_A_FILE)
def test_bar_when_a_file_or_a_day_is_gone_through_then_seen_on_a_terminal(expected, tmp_path):
    (tmp_path / "day.csv").write_text(f"time_ms,symbol,price\n{ROWS}")
    (tmp_path / "default.toml").write_text(policy_text(None))
    assert expected in said_on_a_terminal(OF_A_FILE[expected], cwd=tmp_path)


@pytest.mark.system
@pytest.mark.parametrize("words", OF_A_BOOK)
def test_bar_when_every_account_is_read_then_seen_on_a_terminal(words, redis_env, tmp_path):
    leave_state(redis_env["UNIMARGIN_REDIS_URL"], 0, [account()], marks=marks_now(QUOTES))
    assert "reading accounts" in said_on_a_terminal(words, cwd=tmp_path, env=redis_env)


@pytest.mark.system
def test_shelf_when_accounts_are_read_then_each_is_counted(redis_env):
    leave_state(redis_env["UNIMARGIN_REDIS_URL"], 0, [account(name=name) for name in ("a", "b", "c")])
    settings, counted = Settings(redis_url=SecretStr(redis_env["UNIMARGIN_REDIS_URL"])), Counter[str]()

    async def names() -> list[str]:
        async with open_redis(settings) as client:
            shelf = RedisShelf(client, settings.redis_prefix, lambda more: counted.update(read=more))
            return [name async for name, _ in shelf.accounts(0)]

    read = asyncio.run(names())
    assert set(read) == {"a", "b", "c"}
    assert counted["read"] == len(read)


def test_bar_when_standard_error_is_no_terminal_then_nothing_of_it(tmp_path):
    (tmp_path / "day.csv").write_text(f"time_ms,symbol,price\n{ROWS}")
    command = [sys.executable, "-m", "streams.cli", *OF_A_FILE["reading"].split()]
    done = subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, text=True)
    assert done.stderr == ""
