"""A policy published under load: every worker goes over at one event time, though one is killed while it does, and all of it can be recomputed."""

import random
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from engine.events.effects import RiskEvent
from engine.policy import parse
from engine.policy.timeline import PolicyTimeline, Ruling
from streams.replay.digests import accounts_digest
from tests.support.audit import audit, unsettled
from tests.support.cli import Said, unimargin
from tests.support.cluster import POLICY_FILE, Cluster
from tests.support.inputs import deposit, fill, mark
from tests.support.market import BASE
from tests.support.redis_view import read_account, read_all
from tests.support.settling import SETTLE_S, behind
from tests.support.traffic import Traffic
from tests.support.waiting import wait_for, wait_until_none

pytestmark = pytest.mark.system

LISTED = """
[instruments.NEW-PERP]
kind = "perpetual"
base = "NEW"
settle = "USDT"
tiers = "major"
"""
RAISED = (
    ("maintenance_rate = 0.05\ninitial_rate = 0.1\n", "maintenance_rate = 0.075\ninitial_rate = 0.15\n"),
    ("maintenance_rate = 0.06\ninitial_rate = 0.12\n", "maintenance_rate = 0.08\ninitial_rate = 0.16\n"),
)
AROUND_S = 0.15


def test_policy_when_published_under_load_and_a_worker_is_killed_in_the_middle_then_one_policy_at_each_event_time(
    cluster: Cluster, seed: int, tmp_path: Path, say: Callable[[str], None]
) -> None:
    before, after = tmp_path / "before.toml", tmp_path / "after.toml"
    before.write_text(POLICY_FILE.read_text())
    after.write_text(_changed(before.read_text(), *RAISED) + LISTED)
    old, new = parse(before.read_text()), parse(after.read_text())
    workers = [cluster.worker(it, POLICY_FILE=str(before)) for it in ("worker-a", "worker-b")]
    rng = random.Random(seed)
    with Traffic(cluster.bootstrap, seed) as traffic:
        for worker in workers:
            worker.wait_ready()
        traffic.sender.inputs(deposit("early"), deposit("late"), deposit("idle", "20000"))
        env = _env(cluster, before)
        said = unimargin(
            "policy", "publish", str(after), "--why", "listed NEW", "--who", "desk", "--json", env=env
        )
        assert said.code == 0, said.err
        from_ns = said.json["activated_ns"]
        # dated before its contract is listed, so nobody can book it, now or in a rebuild
        traffic.sender.inputs(fill("early", "1", "NEW-PERP", "100", time_ns=from_ns - 1))
        wait_for("its time comes", lambda: time.time_ns() >= from_ns)
        _, offset = traffic.sender.inputs(fill("late", "1", "NEW-PERP", "100", time_ns=from_ns))
        # wherever they happen to be: the one pause that no condition can stand for
        threading.Event().wait(rng.uniform(0, AROUND_S))
        rng.choice(workers).kill()
        for worker in workers:
            worker.wait_ready()
            wait_for(
                "it went over", lambda it=worker: it.metric("margin_worker_info", policy=new.digest) == 1
            )
        wait_for("booked", lambda: _reached(cluster, "late", offset))
        newest = mark("NEW-PERP", "100")
        traffic.sender.prices(newest, "NEW-PERP")
        traffic.hold()
        traffic.sender.flush()
        cluster.policy = new
        wait_until_none("every input is applied", lambda: behind(cluster), SETTLE_S)
        held = {symbol: traffic.market.mark(symbol) for symbol in BASE} | {"NEW-PERP": newest}
        wait_until_none("every pool stands where its figures say", lambda: unsettled(cluster, held), SETTLE_S)
    timeline = PolicyTimeline([Ruling(0, 0, old), Ruling(1, from_ns, new)])
    audited = audit(cluster, timeline=timeline)
    assert audited.stored.states["early"].stopped
    assert audited.stored.states["late"].positions["NEW-PERP"].quantity == 1
    earlier = [it for it in audited.events if it.time_ns < from_ns]
    later = [it for it in audited.events if it.time_ns >= from_ns]
    say(f"{len(earlier)} events before, {len(later)} after; ends {[it.statuses for it in workers]}")
    assert {it.policy_digest for it in earlier} == {old.digest}
    assert {it.policy_digest for it in later} == {new.digest}
    for worker in workers:
        worker.close()
    _explained(cluster, after, earlier[0])
    _explained(cluster, before, later[0])
    _replayed(cluster, before, tmp_path, [old.digest, new.digest])
    _rebuilt(cluster, before, new.digest)


def _explained(cluster: Cluster, policy: Path, event: RiskEvent) -> None:
    """Whatever the settings' file is."""
    said = unimargin("explain", event.id, "--json", env=_env(cluster, policy))
    assert said.code == 0, said.err + said.out
    (told,) = said.json_lines
    assert (told["matches"], told["policy_digest"]) == (True, event.policy_digest)


def _replayed(cluster: Cluster, policy: Path, directory: Path, digests: list[str]) -> None:
    first, second = directory / "first.jsonl", directory / "second.jsonl"
    told = [_replay(cluster, policy, it) for it in (first, second)]
    assert first.read_bytes() == second.read_bytes() != b""
    assert told[0].json["digests"] == told[1].json["digests"]
    assert told[0].json["policies"] == digests
    stored = read_all(cluster.redis.url)
    assert told[0].json["digests"]["accounts"] == accounts_digest(stored.states.values())


def _rebuilt(cluster: Cluster, policy: Path, digest: str) -> None:
    """Redis is lost: a worker that starts with the first file books everything anew, and goes by what is in force by the topic."""
    wanted = accounts_digest(read_all(cluster.redis.url).states.values())
    with cluster.client() as client:
        client.flushall()
    worker = cluster.worker("worker-c", POLICY_FILE=str(policy))
    wait_for("it goes by it", lambda: worker.metric("margin_worker_info", policy=digest) == 1)
    wait_until_none("every input is applied", lambda: behind(cluster), SETTLE_S)
    assert accounts_digest(read_all(cluster.redis.url).states.values()) == wanted


def _replay(cluster: Cluster, policy: Path, events: Path) -> Said:
    said = unimargin("replay", "--from-topics", "--events", str(events), "--json", env=_env(cluster, policy))
    assert said.code == 0, said.err
    return said


def _changed(text: str, *changes: tuple[str, str]) -> str:
    for was, is_now in changes:
        assert was in text
        text = text.replace(was, is_now)
    return text


def _env(cluster: Cluster, policy: Path) -> dict[str, str]:
    return {
        "UNIMARGIN_KAFKA_BOOTSTRAP_SERVERS": cluster.bootstrap,
        "UNIMARGIN_REDIS_URL": cluster.redis.url,
        "UNIMARGIN_POLICY_FILE": str(policy),
    }


def _reached(cluster: Cluster, account: str, offset: int) -> bool:
    state = read_account(cluster.redis.url, account)
    return state is not None and state.fills.offset >= offset
