"""`unimargin replay --from-topics` beside a real worker: the same accounts, and the same events where their order is one."""

import json
from collections import defaultdict
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from engine.events.effects import EventType, Stream
from engine.events.reasons import BEHIND
from engine.inputs import MarkBatch, Topic
from streams.replay.digests import accounts_digest
from tests.support.cli import Said, unimargin
from tests.support.cluster import POLICY_FILE, Cluster
from tests.support.inputs import MARKS, deposit, fill, mark
from tests.support.kafka_log import read_topic
from tests.support.redis_view import read_account, read_all
from tests.support.replay import ClusterScene, Replay
from tests.support.sender import Sender
from tests.support.traffic import Traffic
from tests.support.waiting import wait_for

pytestmark = pytest.mark.system

BUSY_S = 8.0
ACCOUNTS = 30
FALL = ("49000", "48000", "47400", "46800", "44500")
"""The owner's ratio: 1.63, 1.25, 1.01, 0.77, below nothing."""
SLOW = {
    "ladder": ("exit_hold_seconds", "update_check_seconds", "update_seconds"),
    "liquidation": ("replan_seconds", "stuck_seconds"),
}
"""All at an hour nothing is said because time passed, so that every event follows from one mark."""


def slow_policy(path: Path) -> Path:
    lines = [
        it for it in POLICY_FILE.read_text().splitlines() if it.split(" ")[0] not in sum(SLOW.values(), ())
    ]
    for section, names in SLOW.items():
        head = f"[{section}]"
        if head not in lines:
            lines.append(head)
        place = lines.index(head) + 1
        lines[place:place] = [f"{name} = 3600" for name in names]
    path.write_text("\n".join(lines))
    return path


def replayed(cluster: Cluster, policy: Path, *words: str) -> Said:
    env = {"UNIMARGIN_KAFKA_BOOTSTRAP_SERVERS": cluster.bootstrap, "UNIMARGIN_POLICY_FILE": str(policy)}
    return unimargin("replay", "--from-topics", *words, env=env)


def test_replay_when_a_worker_took_the_same_log_then_equal_accounts_refusals_and_digests_each_time(
    cluster: Cluster, seed: int, tmp_path: Path
) -> None:
    worker = cluster.worker()
    with Traffic(cluster.bootstrap, seed, ACCOUNTS) as traffic:
        worker.wait_ready()
        wait_for("traffic", lambda: traffic.inputs_sent > 60 * BUSY_S, 60)
        traffic.sender.send(Topic.LEDGER, b"acct-003", b"{")
        traffic.sender.send(Topic.FILLS, b"stranger", b'{"type":"gift"}')
        traffic.sender.send("prices", b"x", b"no price")
    log = wait_for("Redis holds the log", lambda: _same_as_redis(cluster), 60)
    worker.close()

    first, second = tmp_path / "first.jsonl", tmp_path / "second.jsonl"
    told = replayed(cluster, POLICY_FILE, "--events", str(first), "--json")
    assert told.code == 0, told.err
    stored = read_all(cluster.redis.url)
    assert told.json["digests"]["accounts"] == accounts_digest(stored.states.values())
    assert told.json["accounts"] == len(stored.states)
    assert told.json["inputs_duplicate"] == log.duplicates > 0
    prices_refused = 1
    assert sum(told.json["quarantined"].values()) == len(log.refused) + prices_refused
    assert told.json["by_type"]["margin.warning.opened"] > 0
    again = replayed(cluster, POLICY_FILE, "--events", str(second), "--json")
    assert again.json["digests"] == told.json["digests"]
    assert first.read_bytes() == second.read_bytes()


def _same_as_redis(cluster: Cluster) -> Replay | None:
    log = Replay(ClusterScene(cluster))
    stored = read_all(cluster.redis.url)
    return log if accounts_digest(log.states.values()) == accounts_digest(stored.states.values()) else None


def test_replay_when_marks_and_inputs_came_one_after_the_other_then_the_events_are_the_published_ones(
    cluster: Cluster, tmp_path: Path
) -> None:
    policy = slow_policy(tmp_path / "slow.toml")
    sender = Sender(cluster.bootstrap)
    quotes = dict(MARKS) | {"SOL-PERP": "150", "USD-PERP": "50000", "ADA-PERP": "0.5"}

    def quote() -> None:
        # in one record: between partitions of prices a worker keeps no order
        sender.prices(MarkBatch(tuple(mark(symbol, price) for symbol, price in quotes.items())), "batch")
        sender.flush()

    def quoting(wanted: Callable[[], bool]) -> Callable[[], bool]:
        def attempt() -> bool:
            quote()
            return wanted()

        return attempt

    quote()
    worker = cluster.worker(POLICY_FILE=str(policy))
    worker.wait_ready()
    sender.inputs(*(deposit(name, "5000") for name in ("owner", "ringed")))
    sender.inputs(fill("owner", "0.6"), fill("owner", "0.4", fee="0.5"))
    sender.inputs(fill("ringed", "0.1", margin_mode="isolated", margin_transfer="400"))
    wait_for("every input is applied and judged", quoting(lambda: _applied(cluster)), 60)
    for price in FALL:
        quotes |= {"BTC-PERP": price, "BTC-USD": price}
        before = len(_published(cluster))
        wait_for(f"events at {price}", quoting(partial(_more, cluster, before)), 30)
    worker.close()

    out = tmp_path / "out.jsonl"
    told = replayed(cluster, policy, "--events", str(out))
    assert told.code == 0, told.err
    assert "marks/s" in told.out
    published = _published(cluster)
    kinds = {json.loads(it)["type"] for it in published}
    assert kinds >= {EventType.WARNING_OPENED, EventType.LIQUIDATION_REQUESTED, EventType.ACCOUNT_BANKRUPT}
    assert _by_stream(out.read_bytes().splitlines()) == _by_stream(published)


def _applied(cluster: Cluster) -> bool:
    owner, ringed = (read_account(cluster.redis.url, name) for name in ("owner", "ringed"))
    return bool(owner and owner.fills.offset >= 1 and ringed and ringed.isolated and ringed.balances)


def _more(cluster: Cluster, before: int) -> bool:
    return len(_published(cluster)) > before


def _published(cluster: Cluster) -> list[bytes]:
    return [it.value or b"" for stream in Stream for it in read_topic(cluster.bootstrap, stream)]


def _by_stream(lines: list[bytes]) -> dict[str, list[Any]]:
    """Events by account and stream, in order; how the streams of several accounts fall together is free."""
    found: defaultdict[str, list[Any]] = defaultdict(list)
    for line in lines:
        event = json.loads(line)
        found[event["id"].rpartition("/")[0]].append(_without_the_moment_of_reasons(event))
    return dict(found)


def _without_the_moment_of_reasons(event: Any) -> Any:
    """Reasons come when the worker has time: a second may have begun, and prices been quoted anew as they are, since the verdict."""
    if event["type"] in BEHIND:
        for field in ("time_ns", "instant"):
            del event[field]
        for mark in event["marks"].values():
            del mark["sequence"], mark["time_ns"]
    for ladder in (event["ladder"], event["ladder_before"]):
        for part, field in (
            (ladder, "said_ns"),
            (ladder, "checked_ns"),
            (ladder["request"] or {}, "progress_ns"),
        ):
            part.pop(field, None)
    return event


def test_replay_when_the_log_was_trimmed_then_refused_unless_told_to_begin_there(cluster: Cluster) -> None:
    nothing = replayed(cluster, POLICY_FILE)
    assert (nothing.code, nothing.out) == (1, "")
    assert "nothing to replay" in nothing.err
    sender = Sender(cluster.bootstrap)
    partition, _ = sender.inputs(deposit("owner", "10"), deposit("owner", "20"))
    cluster.trim(Topic.LEDGER, {partition: 1})
    refused = replayed(cluster, POLICY_FILE)
    assert (refused.code, refused.out) == (1, "")
    assert f"ledger/{partition} begins at offset 1" in refused.err
    assert "--from-first" in refused.err
    allowed = replayed(cluster, POLICY_FILE, "--from-first", "--json")
    assert allowed.code == 0
    assert allowed.json["inputs_applied"] == 1
    assert allowed.json["notes"] == [
        f"the log was trimmed: ledger/{partition} begins at offset 1",
        "no price was believed, so nobody was judged",
    ]
