"""`unimargin format` on a real Redis."""

import time

import pytest
import redis

from streams.store.store_format import FORMAT
from tests.streams.conftest import SHARDS
from tests.support.builders import account
from tests.support.cli import unimargin
from tests.support.cli_state import leave_state

pytestmark = pytest.mark.system

WORKERS = "unimargin:{format}:workers"


@pytest.fixture
def env(redis_env: dict[str, str]) -> dict[str, str]:
    """Every shard taken over."""
    for shard in range(SHARDS):
        leave_state(redis_env["UNIMARGIN_REDIS_URL"], shard, [account({"USD": 1}, name=f"account-{shard}")])
    return redis_env


def test_show_when_shards_and_workers_are_there_then_what_each_has(env: dict[str, str]) -> None:
    with redis.Redis.from_url(env["UNIMARGIN_REDIS_URL"]) as client:
        client.hset(WORKERS, mapping={"a": f"{FORMAT} {time.time_ns()}", "long gone": "0 1"})
    said = unimargin("format", "show", "--json", env=env)
    assert said.json == {
        "in_force": 1,
        "known": FORMAT,
        "shards": dict.fromkeys(map(str, range(SHARDS)), 1),
        "workers": {"a": FORMAT},
    }
    assert "worker a knows" in unimargin("format", "show", env=env).out


def test_raise_when_a_worker_does_not_know_it_or_no_reason_is_given_then_refused(env: dict[str, str]) -> None:
    with redis.Redis.from_url(env["UNIMARGIN_REDIS_URL"]) as client:
        client.hset(WORKERS, "old", f"{FORMAT - 1} {time.time_ns()}")
    said = unimargin("format", "raise", "--reason", "all are new", env=env)
    assert (said.code, f"would be shut out: old (knows {FORMAT - 1})" in said.err) == (1, True)
    assert unimargin("format", "raise", "--reason", " ", env=env).code == 2


def test_raise_when_in_force_already_then_says_so(env: dict[str, str]) -> None:
    said = unimargin("format", "raise", "--reason", "again", env=env)
    assert (said.code, f"format {FORMAT} is in force already" in said.err) == (1, True)
