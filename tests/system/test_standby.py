"""A warm standby: stands in for an owner that is gone, and gives the shards back; nothing lost, nothing twice."""

import os
import random
import signal
import threading
import time
from collections.abc import Callable

import pytest

from engine.inputs import Topic
from tests.support.cluster import PARTITIONS, Cluster
from tests.support.kafka_log import ends
from tests.support.redis_view import read_all
from tests.support.settling import settle_and_audit
from tests.support.traffic import Traffic
from tests.support.waiting import wait_for
from tests.support.workers import KILLED, WORKER_COMMAND, Worker

pytestmark = pytest.mark.system

STANDBY_COMMAND = (*WORKER_COMMAND, "--standby")
FOLLOWED_S = 3.5
"""After that, what a standby says of how far it is behind was told later than what came before."""
SESSION_S = 60
"""Of the group: so long that no rebalance could explain a takeover."""
TAKEOVER_S_MAX = 60.0
"""Patience is 3 s; the rest is for a busy machine."""
KILLS_SHARE = 0.2
"""Of those asked for: each takes some ten seconds."""
SHORT_SESSION_S = 12
"""Long enough for a standby to come before the group, short enough to wait for."""
MOMENT_S_MAX = 1.5


def start_standby(cluster: Cluster, name: str = "standby-a", **settings: str) -> Worker:
    return cluster.worker(name, command=STANDBY_COMMAND, **settings)


def shards(condition: str, *workers: Worker) -> float:
    return sum(it.metric("margin_shards", condition=condition) for it in workers)


def wait_condition(worker: Worker, condition: str, seconds_max: float = TAKEOVER_S_MAX) -> None:
    wait_for(
        f"{worker.name}: all shards are {condition}",
        lambda: shards(condition, worker) == PARTITIONS,
        seconds_max,
    )


def wait_owner(cluster: Cluster, owner: Worker, follower: Worker) -> None:
    """Every shard is the owner's, and followed."""
    wait_condition(owner, "running", seconds_max=240)
    wait_condition(follower, "standby")
    wait_for(
        f"{owner.name} owns every shard",
        lambda: {meta.owner for meta in read_all(cluster.redis.url).metas} == {owner.name},
        TAKEOVER_S_MAX,
    )


@pytest.mark.timeout(1800)
def test_standby_when_the_owner_is_killed_again_and_again_then_it_stands_in_and_nothing_is_said_twice(
    cluster: Cluster, kills: int, seed: int, say: Callable[[str], None]
) -> None:
    rng, kills = random.Random(seed), max(1, int(kills * KILLS_SHARE))
    owner = cluster.worker("worker-a", KAFKA_SESSION_TIMEOUT_SECONDS=str(SESSION_S))
    with Traffic(cluster.bootstrap, seed) as traffic:
        owner.wait_ready()
        standby = start_standby(cluster).wait_ready()
        for _ in range(kills):
            wait_owner(cluster, owner, standby)
            threading.Event().wait(rng.uniform(0.0, MOMENT_S_MAX))  # any point of its work
            owner.kill(hold_down=True)
            wait_condition(standby, "running")
            traffic.check()
            owner.release()
        wait_owner(cluster, owner, standby)
        audited = settle_and_audit(cluster, traffic)

    assert owner.statuses == [KILLED] * kills
    assert standby.statuses == []
    assert standby.metric("margin_standby_takeovers_total") >= kills * PARTITIONS
    took = sorted(line["seconds"] for line in standby.events("shard_running"))
    say(
        f"{traffic.inputs_sent} inputs, {len(audited.events)} events, {audited.repeats} of them repeated; "
        f"takeovers, from knowing to running: median {took[len(took) // 2]} s, at most {took[-1]} s"
    )


def test_owner_when_paused_and_continued_then_it_is_fenced_and_takes_its_shards_back(
    cluster: Cluster, seed: int
) -> None:
    owner = cluster.worker("worker-a", KAFKA_SESSION_TIMEOUT_SECONDS=str(SESSION_S))
    with Traffic(cluster.bootstrap, seed) as traffic:
        owner.wait_ready()
        standby = start_standby(cluster).wait_ready()
        pid = owner.pid
        for _ in range(2):
            wait_owner(cluster, owner, standby)
            os.kill(pid, signal.SIGSTOP)
            wait_condition(standby, "running")
            traffic.check()
            os.kill(pid, signal.SIGCONT)
        wait_owner(cluster, owner, standby)
        settle_and_audit(cluster, traffic)
        wait_for(
            "the group's offsets have no hole", lambda: cluster.committed(Topic.FILLS) == ends_of(cluster)
        )

    assert owner.events("shard_fenced")
    assert (owner.pid, owner.statuses, standby.statuses) == (pid, [], [])


def test_two_standbys_when_one_of_two_workers_is_gone_then_one_stands_in_until_the_group_has_decided(
    cluster: Cluster, seed: int
) -> None:
    # the other worker would have the group decide as soon as a standby stands in
    settings = {
        "KAFKA_SESSION_TIMEOUT_SECONDS": str(SHORT_SESSION_S),
        "OWNER_SILENCE_SECONDS": str(SHORT_SESSION_S),
    }
    workers = [cluster.worker(name, **settings) for name in ("worker-a", "worker-b")]
    with Traffic(cluster.bootstrap, seed) as traffic:
        for worker in workers:
            worker.wait_ready()
        standbys = [start_standby(cluster, name).wait_ready() for name in ("standby-a", "standby-b")]
        gone, other = workers
        wait_for(
            "the shards are shared and followed",
            lambda: (
                [shards("running", it) for it in workers] == [PARTITIONS / 2] * 2
                and shards("standby", *standbys) == 2 * PARTITIONS
            ),
            240,
        )
        gone.kill(hold_down=True)
        wait_for(
            "standbys stand in for half",
            lambda: shards("running", *standbys) == PARTITIONS / 2,
            TAKEOVER_S_MAX,
        )
        traffic.check()
        wait_condition(other, "running", seconds_max=240)
        wait_for("they follow again", lambda: shards("standby", *standbys) == 2 * PARTITIONS, TAKEOVER_S_MAX)
        gone.release()
        gone.wait_ready()
        settle_and_audit(cluster, traffic)
    assert [it.statuses for it in (gone, other, *standbys)] == [[KILLED], [], [], []]


def test_standby_when_redis_is_rewound_then_it_follows_the_other_history_and_nothing_means_two_things(
    cluster: Cluster, seed: int
) -> None:
    owner = cluster.worker("worker-a", KAFKA_SESSION_TIMEOUT_SECONDS=str(SESSION_S))
    with Traffic(cluster.bootstrap, seed) as traffic:
        owner.wait_ready()
        standby = start_standby(cluster).wait_ready()
        wait_for(
            "something was said", lambda: sum(ends(cluster.bootstrap, "margin-events").values()) > 20, 120
        )
        cluster.redis.stop()
        copy = cluster.copy_redis("older")
        cluster.redis.start()
        said = sum(ends(cluster.bootstrap, "margin-events").values())
        wait_for(
            "more was said", lambda: sum(ends(cluster.bootstrap, "margin-events").values()) > said + 20, 120
        )
        time.sleep(FOLLOWED_S)
        wait_for("the standby knows it", lambda: standby.metric("margin_standby_behind_seconds") < 2)
        cluster.redis.stop()
        cluster.restore_redis(copy)
        owner.kill(hold_down=True)
        cluster.redis.start()
        wait_condition(standby, "running", seconds_max=60)
        assert standby.events("shard_trail_lost")
        assert standby.events("published_events_adopted")
        owner.release()
        wait_owner(cluster, owner, standby)
        settle_and_audit(cluster, traffic)
    assert standby.statuses == []


def test_standby_when_nobody_ever_owned_a_shard_then_it_waits(cluster: Cluster) -> None:
    standby = start_standby(cluster, STANDBY_PATIENCE_SECONDS="1")
    wait_condition(standby, "standby", seconds_max=240)
    threading.Event().wait(3)  # three times its patience

    assert standby.metric("margin_shards", condition="standby") == PARTITIONS
    with cluster.client() as client:
        # of shards: which policy is in force has been said
        assert client.keys("*{shard-*") == []
    answer = standby.get("/readyz")
    assert "standby" in answer.body or "prices" in answer.body


def ends_of(cluster: Cluster) -> dict[int, int]:
    return ends(cluster.bootstrap, Topic.FILLS)
