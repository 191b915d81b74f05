"""Faults of everything around a worker: its own code, Redis, the broker, the operator, and its fellow workers."""

import os
import signal
import threading
import time
from collections.abc import Callable

import pytest

from engine.inputs import Topic
from tests.support.cluster import PARTITIONS, Cluster
from tests.support.inputs import deposit, fill
from tests.support.kafka_log import ends, read_topic
from tests.support.redis_view import read_account, read_all
from tests.support.sender import Sender
from tests.support.settling import settle_and_audit
from tests.support.traffic import Traffic
from tests.support.waiting import wait_for
from tests.support.workers import KILLED, Worker

pytestmark = pytest.mark.system

CRASHED = 70
BACK_SECONDS_MAX = 10.0
EVENTS_MIN = 20
"""Events that must have been said before a fault, so that there is something to lose."""


def wait_for_events(cluster: Cluster, more_than: int = EVENTS_MIN) -> int:
    """Wait until there are more events than this; return how many."""
    return wait_for(
        f"more than {more_than} margin events",
        lambda: (count := sum(ends(cluster.bootstrap, "margin-events").values())) > more_than and count,
        seconds_max=120,
    )


def wait_for_commits(cluster: Cluster) -> None:
    """Wait until each shard has committed since now: one that has not does not see that Redis is rewound to now."""
    before = [it.commit for it in read_all(cluster.redis.url).metas]
    wait_for(
        "every shard commits",
        lambda: all(
            it.commit > was for it, was in zip(read_all(cluster.redis.url).metas, before, strict=True)
        ),
    )


def wait_for_return(worker: Worker) -> None:
    """The worker finds Redis rewound and takes its shards over again, in the same process and soon."""
    wait_for(
        "every shard sees that Redis was rewound",
        lambda: len(worker.events("shard_fenced")) >= PARTITIONS,
    )
    lost = worker.events("shard_fenced")
    assert all(it["returns"] for it in lost), lost
    wait_for("and begins anew", lambda: len(worker.events("shard_begun_anew")) >= PARTITIONS)
    worker.wait_ready()
    assert worker.statuses == []


def wait_for_shards(worker: Worker, count: int) -> None:
    """Wait until the worker runs this many shards."""
    wait_for(
        f"{worker.name} runs {count} shards",
        lambda: worker.ready() is None and worker.metric("margin_shards", condition="running") == count,
        seconds_max=90,
    )


def test_fill_when_sent_again_far_apart_and_across_restarts_then_counts_once(cluster: Cluster) -> None:
    worker = cluster.worker()
    sender = Sender(cluster.bootstrap)
    first = fill("alice", "0.1", trade_id="t-same")
    sender.inputs(deposit("alice"), first, first)
    sender.inputs(*(fill("alice", "0.001") for _ in range(300)), first)
    worker.wait_ready()
    wait_for(
        "two were seen again", lambda: worker.metric("margin_inputs_duplicate_total", topic="fills") == 2
    )
    assert worker.terminate() == 0
    successor = cluster.worker("worker-b", worker_id=lambda: "worker-a").wait_ready()
    sender.inputs(first)
    wait_for("the third too", lambda: successor.metric("margin_inputs_duplicate_total", topic="fills") == 1)
    successor.kill()
    sender.inputs(first)
    successor.wait_ready()
    _, offset = sender.inputs(fill("alice", "0.001"))
    wait_for(
        "the last fill is applied",
        lambda: (state := read_account(cluster.redis.url, "alice")) and state.fills.offset == offset,
    )
    state = read_account(cluster.redis.url, "alice")
    assert state is not None
    assert str(state.positions["BTC-PERP"].quantity) == "0.401"  # 0.1 + 301 * 0.001


def test_fill_when_redis_is_away_then_not_acknowledged_before_its_commit(cluster: Cluster) -> None:
    worker = cluster.worker().wait_ready()
    sender = Sender(cluster.bootstrap)
    # numbered, so that nothing is looked up: what is applied waits for its commit alone
    partition, first = sender.inputs(fill("alice", account_seq=1))
    wait_for("the first is acknowledged", lambda: cluster.committed(Topic.FILLS).get(partition) == first + 1)
    cluster.redis.kill()
    _, last = sender.inputs(*(fill("alice", account_seq=number) for number in range(2, 7)))
    wait_for("calls to Redis are repeated", lambda: worker.events("redis_call_repeated"))
    time.sleep(4)  # the group's offsets are told once a second
    assert cluster.committed(Topic.FILLS).get(partition) == first + 1
    cluster.redis.start()
    wait_for("then they are", lambda: cluster.committed(Topic.FILLS).get(partition) == last + 1)
    state = read_account(cluster.redis.url, "alice")
    assert state is not None
    assert state.fills.offset == last


def test_redis_when_killed_and_restarted_then_the_same_process_goes_on(cluster: Cluster, seed: int) -> None:
    worker = cluster.worker()
    with Traffic(cluster.bootstrap, seed) as traffic:
        worker.wait_ready()
        wait_for_events(cluster)
        pid = worker.pid
        for _ in range(3):
            before = len(worker.events("redis_call_repeated"))
            cluster.redis.kill()
            wait_for(
                "a commit is repeated",
                lambda before=before: len(worker.events("redis_call_repeated")) > before + 3,
            )
            cluster.redis.start()
            wait_for_events(cluster, sum(ends(cluster.bootstrap, "margin-events").values()))
        settle_and_audit(cluster, traffic)
    assert (worker.pid, worker.statuses) == (pid, [])


def test_redis_when_emptied_then_the_worker_rebuilds_it_from_the_log(cluster: Cluster, seed: int) -> None:
    worker = cluster.worker()
    with Traffic(cluster.bootstrap, seed) as traffic:
        worker.wait_ready()
        count = wait_for_events(cluster)
        with cluster.client() as client:
            client.flushall()
        wait_for_return(worker)
        assert worker.events("shard_rebuilt_from_log")
        assert worker.events("published_events_adopted")
        wait_for_events(cluster, count + EVENTS_MIN)
        settle_and_audit(cluster, traffic)


def test_redis_when_rewound_to_an_older_copy_then_the_worker_catches_up(cluster: Cluster, seed: int) -> None:
    worker = cluster.worker()
    with Traffic(cluster.bootstrap, seed) as traffic:
        worker.wait_ready()
        wait_for_events(cluster)
        cluster.redis.stop()
        copy = cluster.copy_redis("older")
        cluster.redis.start()
        wait_for_commits(cluster)
        count = wait_for_events(cluster, sum(ends(cluster.bootstrap, "margin-events").values()) + EVENTS_MIN)
        cluster.redis.stop()
        cluster.restore_redis(copy)
        cluster.redis.start()
        wait_for_return(worker)
        assert worker.events("published_events_adopted")
        wait_for_events(cluster, count + EVENTS_MIN)
        settle_and_audit(cluster, traffic)


def test_redis_when_rewound_to_another_owners_fence_then_both_workers_are_back_at_once(
    cluster: Cluster, seed: int, say: Callable[[str], None]
) -> None:
    """The copy is from when one worker had every shard: to the other that looks like a take-over, and nobody is about to have its shards."""
    first = cluster.worker()
    with Traffic(cluster.bootstrap, seed) as traffic:
        first.wait_ready()
        wait_for_shards(first, PARTITIONS)
        wait_for_events(cluster)
        cluster.redis.stop()
        copy = cluster.copy_redis("of-one-owner")
        cluster.redis.start()
        second = cluster.worker("worker-b")
        second.wait_ready()
        wait_for_shards(second, PARTITIONS // 2)
        wait_for_shards(first, PARTITIONS // 2)
        pids = first.pid, second.pid
        wait_for_commits(cluster)
        count = wait_for_events(cluster, sum(ends(cluster.bootstrap, "margin-events").values()) + EVENTS_MIN)
        cluster.redis.stop()
        cluster.restore_redis(copy)
        before = {it: len(it.events("shard_running")) for it in (first, second)}
        fenced = {it: len(it.events("shard_fenced")) for it in (first, second)}
        cluster.redis.start()
        began_s = time.monotonic()
        wait_for(
            "both run their shards again",
            lambda: all(
                len(it.events("shard_running")) >= before[it] + PARTITIONS // 2 for it in (first, second)
            ),
            BACK_SECONDS_MAX,
        )
        say(f"back in service after {time.monotonic() - began_s:.1f} s")
        wait_for_shards(second, PARTITIONS // 2)
        wait_for_shards(first, PARTITIONS // 2)
        wait_for_events(cluster, count + EVENTS_MIN)
        lost = [it["returns"] for worker in fenced for it in worker.events("shard_fenced")[fenced[worker] :]]
        assert lost == [True] * PARTITIONS, "each sees it once, and nobody takes a shard from the other"
        settle_and_audit(cluster, traffic)
    assert (first.pid, second.pid) == pids


def test_broker_when_killed_and_restarted_then_the_worker_goes_on(cluster: Cluster, seed: int) -> None:
    worker = cluster.worker()
    with Traffic(cluster.bootstrap, seed) as traffic:
        worker.wait_ready()
        wait_for_events(cluster)
        cluster.kafka.kill()
        # Longer than the session, so that the group has to be joined anew.
        threading.Event().wait(4)
        cluster.kafka.start()
        wait_for_events(cluster, sum(ends(cluster.bootstrap, "margin-events").values()) + EVENTS_MIN)
        worker.wait_ready()
        settle_and_audit(cluster, traffic)


def test_log_when_trimmed_below_what_redis_needs_then_the_shard_stops_visibly(
    cluster: Cluster, seed: int
) -> None:
    worker = cluster.worker()
    with Traffic(cluster.bootstrap, seed) as traffic:
        worker.wait_ready()
        settle_and_audit(cluster, traffic)
        shard = cluster.partition_of(b"acct-000")
        cut = ends(cluster.bootstrap, Topic.FILLS)[shard]
        worker.kill(hold_down=True)
        cluster.trim(Topic.FILLS, {shard: cut})
        with cluster.client() as client:
            client.flushall()
        before = cluster.committed(Topic.FILLS).get(shard, 0)
        worker.release()
        stopped = wait_for(
            "the shard is stopped",
            lambda: (
                worker.metric("margin_shards", condition="stopped") == 1
                and worker.metric("margin_shards", condition="running") == PARTITIONS - 1
            ),
            90,
        )
        assert stopped
        answer = worker.get("/readyz")
        assert answer.status == 503
        assert f"{shard}: stopped" in answer.body
        assert f"begins at {cut}" in answer.body
        traffic.resume()
        wait_for(
            "new fills of that shard wait", lambda: ends(cluster.bootstrap, Topic.FILLS)[shard] > cut + 20
        )
        traffic.hold()
        others = {partition for partition in range(PARTITIONS) if partition != shard}
        wait_for(
            "the other shards go on",
            lambda: all(
                cluster.committed(Topic.FILLS).get(it) == ends(cluster.bootstrap, Topic.FILLS)[it]
                for it in others
            ),
        )
        assert cluster.committed(Topic.FILLS).get(shard, 0) == before
        assert read_account(cluster.redis.url, "acct-000") is None
        assert worker.statuses == [KILLED]


def test_worker_when_told_to_end_then_loses_nothing_and_its_successor_takes_over_at_once(
    cluster: Cluster, seed: int
) -> None:
    # Far longer than the test waits: a worker that comes back under its name need not wait for its session to run out.
    session = {"KAFKA_SESSION_TIMEOUT_SECONDS": "120"}
    worker = cluster.worker(**session)
    with Traffic(cluster.bootstrap, seed) as traffic:
        worker.wait_ready()
        wait_for_events(cluster)
        assert worker.terminate() == 0
        assert not worker.events("shutdown_unfinished")
        with cluster.client() as client:
            for outbox in ("outbox", "outbox-liquidations"):
                assert [client.llen(f"unimargin:{{shard-{it}}}:{outbox}") for it in range(PARTITIONS)] == [
                    0
                ] * 4
        successor = cluster.worker("worker-b", worker_id=lambda: "worker-a", **session)
        successor.wait_ready(seconds_max=60)
        wait_for_shards(successor, PARTITIONS)
        audited = settle_and_audit(cluster, traffic)
    assert audited.repeats == 0, "an orderly end publishes everything once"


def test_second_worker_when_it_joins_then_shares_the_shards_and_no_event_is_lost(
    cluster: Cluster, seed: int
) -> None:
    first = cluster.worker()
    with Traffic(cluster.bootstrap, seed) as traffic:
        first.wait_ready()
        wait_for_shards(first, PARTITIONS)
        wait_for_events(cluster)
        pid = first.pid
        for _ in range(3):
            second = cluster.worker("worker-b")
            second.wait_ready()
            wait_for_shards(second, PARTITIONS // 2)
            wait_for_shards(first, PARTITIONS // 2)
            wait_for_events(cluster, sum(ends(cluster.bootstrap, "margin-events").values()))
            assert second.terminate() == 0
            wait_for_shards(first, PARTITIONS)
        settle_and_audit(cluster, traffic)
    assert (first.pid, first.statuses) == (pid, []), "sharing is no reason to end"
    assert read_topic(cluster.bootstrap, "margin-events")


def test_owner_when_killed_then_its_fellow_takes_over_long_before_the_session_ends(
    cluster: Cluster, seed: int
) -> None:
    """It is not heard any more; and one that was only paused finds itself fenced, and joins again."""
    session = {"KAFKA_SESSION_TIMEOUT_SECONDS": "120"}
    workers = cluster.worker("worker-a", **session), cluster.worker("worker-b", **session)
    with Traffic(cluster.bootstrap, seed) as traffic:
        for worker in workers:
            worker.wait_ready()
        for worker in workers:
            wait_for_shards(worker, PARTITIONS // 2)
        wait_for_events(cluster)
        paused, fellow = workers
        os.kill(paused.pid, signal.SIGSTOP)
        wait_for_shards(fellow, PARTITIONS)
        os.kill(paused.pid, signal.SIGCONT)
        for worker in workers:
            wait_for_shards(worker, PARTITIONS // 2)
        assert paused.statuses == [], "paused is not ended"
        paused.kill(hold_down=True)
        wait_for_shards(fellow, PARTITIONS)
        assert len(fellow.events("silent_owner_removed")) >= 2
        settle_and_audit(cluster, traffic)
