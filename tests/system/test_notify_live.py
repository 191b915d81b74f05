"""The notifier on a real Kafka and a real Redis: killed in the middle, two that share the work, dead letters sent again."""

import json
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from engine.events.effects import EventType
from streams.contract.cloudevents import outbox_entry
from streams.desk.notify.distance_notices import LEFT as LEFT_TYPE
from streams.desk.notify.distance_notices import NEAR as NEAR_TYPE
from tests.streams.cli.test_cli_events import publish, said_of
from tests.support.builders import SAMPLE, account
from tests.support.cli import unimargin
from tests.support.cli_state import leave_state, marks_now
from tests.support.cluster import Cluster
from tests.support.hook_receiver import SECRET, HookReceiver
from tests.support.notify_process import NotifyProcess
from tests.support.waiting import wait_for
from tests.support.workers import Worker

pytestmark = pytest.mark.system

RULES = """
[targets.desk]
kind = "webhook"
url = { env = "HOOK_URL" }
secret = { env = "HOOK_SECRET" }
timeout_seconds = 1
give_up_seconds = GIVE_UP
digest_above = 100000

[rules.all]
types = ["margin.call.*", "liquidation.*"]
targets = ["desk"]
"""


@pytest.fixture
def env(cluster: Cluster, unique: Callable[[str], str]) -> dict[str, str]:
    return {
        "UNIMARGIN_KAFKA_BOOTSTRAP_SERVERS": cluster.bootstrap,
        "UNIMARGIN_REDIS_URL": cluster.redis.url,
        "UNIMARGIN_GROUP": unique("group"),
    }


@pytest.fixture
def sample_policy(tmp_path: Path) -> Path:
    """Under it prices stay fresh for as long as the test takes."""
    path = tmp_path / "policy.toml"
    path.write_text(SAMPLE.replace("stale_after_seconds = 10", "stale_after_seconds = 600"))
    return path


def rules_in(tmp_path: Path, give_up: int) -> Path:
    file = tmp_path / "rules.toml"
    file.write_text(RULES.replace("GIVE_UP", str(give_up)))
    return file


def tell(cluster: Cluster, numbers: range, partitions: int = 2) -> set[str]:
    kinds = (EventType.CALL_OPENED, EventType.LIQUIDATION_ENTERED)
    events = [
        msgspec.structs.replace(said_of(f"a{it}", it, kinds[it % 2]), time_ns=1_700_000_000_000_000_000 + it)
        for it in numbers
    ]
    publish(cluster.kafka, [outbox_entry(it, it.sequence % partitions, "/test") for it in events])
    return {it.id for it in events}


def test_notifier_when_killed_again_and_again_then_nothing_lost_and_twice_only_under_one_id(
    cluster: Cluster, env: dict[str, str], tmp_path: Path, say: Callable[[str], None]
) -> None:
    with HookReceiver() as hook:
        hook.hang_s = 0.02
        rules = rules_in(tmp_path, 120)
        with NotifyProcess(env, rules, hook.url, tmp_path / "notify.log") as notifier:
            notifier.wait_ready()
            said: set[str] = set()
            for begin in range(0, 600, 200):
                said |= tell(cluster, range(begin, begin + 200))
                heard = len(hook.got)
                wait_for("some are told", lambda heard=heard: len(hook.got) > heard + 20)
                notifier.kill()
            hook.stop()
            said |= tell(cluster, range(600, 650))
            time.sleep(1)
            notifier.kill()
            hook.start()
            wait_for("all are told", lambda: said <= set(hook.event_ids), 120)
            wait_for("the position follows", lambda: notifier.metric("margin_notify_lag_records") == 0)
            assert set(hook.event_ids) == said
            messages = defaultdict(set)
            for got in hook.got:
                messages[got.id].add(got.body["data"]["id"])
            assert all(len(it) == 1 for it in messages.values())
            assert len(messages) == len(said)
            twice = len(hook.got) - len(messages)
            assert twice <= len(notifier.statuses)
            told = len(hook.got)
            notifier.kill()
            notifier.wait_ready()
            time.sleep(1)
            assert len(hook.got) == told
            say(f"{len(said)} events, {len(notifier.statuses)} kills, {twice} told twice")


def test_dry_run_when_events_come_then_says_who_would_hear_and_sends_nothing(
    cluster: Cluster, env: dict[str, str], tmp_path: Path
) -> None:
    rules, log = rules_in(tmp_path, 120), tmp_path / "dry.log"
    said = tell(cluster, range(10))
    words = (sys.executable, "-m", "streams.cli", "notify", "run", str(rules), "--dry-run")
    with Worker("dry", {**env, "UNIMARGIN_NOTIFY_FROM": "earliest"}, log, command=words) as dry:

        def lines() -> list[dict[str, object]]:
            return [json.loads(it) for it in log.read_text().splitlines() if it.startswith('{"targets"')]

        wait_for("all are named", lambda: {it["id"] for it in lines()} == said)
        assert all(it["targets"] == {"desk": "all"} for it in lines())
        assert dry.terminate() == 0
    with cluster.client() as client:
        assert client.keys("*notify*") == []


def test_two_notifiers_when_one_is_killed_then_the_other_tells_the_rest(
    cluster: Cluster, env: dict[str, str], tmp_path: Path
) -> None:
    rules = rules_in(tmp_path, 120)
    with (
        HookReceiver() as hook,
        NotifyProcess(env, rules, hook.url, tmp_path / "one.log", "one") as one,
        NotifyProcess(env, rules, hook.url, tmp_path / "two.log", "two") as two,
    ):
        one.wait_ready()
        two.wait_ready()
        said = tell(cluster, range(100))
        wait_for("all are told", lambda: said <= set(hook.event_ids))
        one.kill(hold_down=True)
        said |= tell(cluster, range(100, 200))
        wait_for("the rest is told", lambda: said <= set(hook.event_ids))
        assert len({it.id for it in hook.got}) == len(said)
        assert two.terminate() == 0


def test_dead_letters_when_replayed_then_told_and_kept_no_more(
    cluster: Cluster, env: dict[str, str], tmp_path: Path
) -> None:
    rules = rules_in(tmp_path, 0)
    with HookReceiver() as hook:
        hook.status = 503
        with NotifyProcess(env, rules, hook.url, tmp_path / "notify.log") as notifier:
            notifier.wait_ready()
            said = tell(cluster, range(5))
            wait_for("all are dead", lambda: notifier.metric("margin_notify_dead_letters") == 5)
            wait_for("the position follows", lambda: notifier.metric("margin_notify_lag_records") == 0)
        own = {**env, "HOOK_URL": hook.url, "HOOK_SECRET": SECRET}
        assert unimargin("notify", "replay", str(rules), env=own).code == 1
        hook.status = 200
        told = unimargin("notify", "replay", str(rules), env=own)
        assert told.code == 0, told.err
        assert set(hook.event_ids) == said
        assert unimargin("notify", "replay", str(rules), env=own).out == ""
        test = unimargin("notify", "test", str(rules), "all", env=own)
        assert test.code == 0, test.err
        assert hook.got[-1].body["data"]["types"] == {"notify.test": 1}
        wrong = unimargin("notify", "test", str(rules), "al", env=own)
        assert (wrong.code, "did you mean 'all'" in wrong.err) == (2, True)
        assert hook.url not in (tmp_path / "notify.log").read_text()
        assert SECRET not in (tmp_path / "notify.log").read_text()


NEAR = """
[targets.desk]
kind = "webhook"
url = { env = "HOOK_URL" }
secret = { env = "HOOK_SECRET" }

[groups]
vips = ["v-*"]

[rules.near]
within_percent = 10
groups = ["vips"]
targets = ["desk"]
"""
QUOTES = {"USDT-USD": 1, "BTC-USD": 50_000}
"""With them `v-1` of the test is 14.9 % from its call line, at 46,000 some 7.5 %."""


def test_distance_rule_when_killed_and_doubled_then_each_coming_and_leaving_is_told_once(
    cluster: Cluster, env: dict[str, str], sample_policy: Path, tmp_path: Path, say: Callable[[str], None]
) -> None:
    rules = tmp_path / "rules.toml"
    rules.write_text(NEAR)
    states = [
        account({"USDT": 10_000}, {"BTC-PERP": (1, 50_000)}, name=name) for name in ("v-1", "v-2", "other")
    ]
    url, env = cluster.redis.url, {**env, "UNIMARGIN_POLICY_FILE": str(sample_policy)}

    def price(bitcoin: int) -> None:
        leave_state(url, 0, states, (), marks_now({**QUOTES, "BTC-PERP": bitcoin}))

    def heard(kind: str) -> list[str]:
        return sorted(it.body["data"]["subject"] for it in hook.got if kind in it.body["data"]["types"])

    price(50_000)
    with (
        HookReceiver() as hook,
        NotifyProcess(env, rules, hook.url, tmp_path / "one.log", "one") as one,
        NotifyProcess(env, rules, hook.url, tmp_path / "two.log", "two") as two,
    ):
        one.wait_ready()
        two.wait_ready()
        hook.status = 503
        price(46_000)
        wait_for("one is asked", lambda: hook.attempts > 0)
        one.kill()
        two.kill()
        hook.status = 200
        began = time.monotonic()
        wait_for("both are told", lambda: heard(NEAR_TYPE) == ["v-1", "v-2"], 120)
        say(f"told {time.monotonic() - began:.1f} s after both notifiers were killed")
        one.kill()
        two.kill()
        price(51_000)
        wait_for("both have left", lambda: heard(LEFT_TYPE) == ["v-1", "v-2"], 120)
        price(46_000)
        wait_for("both are told again", lambda: len(heard(NEAR_TYPE)) == 4, 120)
        said = [it.body["data"] for it in hook.got]
        assert len({it["id"] for it in said}) == len({it.id for it in hook.got}) == 6
        assert len({it["episode_id"] for it in said}) == 4
        assert {it["events"][0]["distance"] for it in said if NEAR_TYPE in it["types"]} == {"0.074931"}


def test_dry_run_when_an_account_is_near_then_says_who_would_hear(
    cluster: Cluster, env: dict[str, str], sample_policy: Path, tmp_path: Path
) -> None:
    rules, log = tmp_path / "rules.toml", tmp_path / "dry.log"
    rules.write_text(NEAR)
    near = account({"USDT": 10_000}, {"BTC-PERP": (1, 50_000)}, name="v-1")
    leave_state(cluster.redis.url, 0, [near], (), marks_now({**QUOTES, "BTC-PERP": 46_000}))
    words = (sys.executable, "-m", "streams.cli", "notify", "run", str(rules), "--dry-run")
    with Worker("dry", {**env, "UNIMARGIN_POLICY_FILE": str(sample_policy)}, log, command=words) as dry:
        wait_for("it is named", lambda: "7.49 % from its margin_call line" in log.read_text())
        assert dry.terminate() == 0
    with cluster.client() as client:
        assert client.keys("*notify*") == []
