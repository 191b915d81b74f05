"""Snapshots under kill -9, other owners, rewinds of Redis and another policy: starts from them, and every state is still the log's."""

import random
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.cli import unimargin
from tests.support.cluster import POLICY_FILE, Cluster
from tests.support.settling import settle_and_audit
from tests.support.traffic import Traffic
from tests.support.waiting import wait_for
from tests.support.workers import Worker

pytestmark = pytest.mark.system

EVERY_SECONDS = "0.05"
"""With so few accounts everybody has soon changed, and a snapshot is of no use."""
COPIES = 0.1
"""Of the faults: Redis is stopped, copied and started."""
REWINDS = 0.15
"""Of the faults: Redis comes back as it was when it was copied."""
MOMENT_S_MAX = 1.5


@pytest.mark.timeout(3600)
def test_snapshots_when_workers_are_killed_and_redis_rewound_then_the_states_are_those_of_the_log(
    cluster: Cluster, kills: int, seed: int, say: Callable[[str], None]
) -> None:
    rng = random.Random(seed)
    workers = [cluster.worker(name, SNAPSHOT_SECONDS=EVERY_SECONDS) for name in ("worker-a", "worker-b")]
    rewinds = 0
    with Traffic(cluster.bootstrap, seed) as traffic:
        _all_ready(workers)
        copies = [_copied(cluster, "copy-0")]
        for number in range(1, kills + 1):
            # wherever they happen to be: the one pause that no condition can stand for
            threading.Event().wait(rng.uniform(0.0, MOMENT_S_MAX))
            fault = rng.random()
            if fault < COPIES:
                copies.append(_copied(cluster, f"copy-{number}"))
            elif fault < COPIES + REWINDS:
                # copies of a history that has ended so are of no use any more
                del copies[rng.randrange(len(copies)) + 1 :]
                _restored(cluster, copies[-1])
                rewinds += 1
            else:
                rng.choice(workers).kill()
            traffic.check()
            if rng.random() < 0.5:
                _all_ready(workers)
        _all_ready(workers)
        audited = settle_and_audit(cluster, traffic)
    loads = [
        line for worker in workers for line in worker.log.read_text().splitlines() if "shard_loaded" in line
    ]
    from_snapshot = sum('"snapshot": true' in line for line in loads)
    assert from_snapshot, "no shard was ever loaded from a snapshot"
    assert len(audited.replay.states) == 60
    say(
        f"{traffic.inputs_sent} inputs, {rewinds} rewinds, {len(loads)} shards loaded, {from_snapshot} of them from a snapshot"
    )


def test_snapshot_when_the_policy_changes_then_it_is_not_used_and_another_is_written(
    cluster: Cluster, seed: int, tmp_path: Path
) -> None:
    changed = tmp_path / "changed.toml"
    changed.write_text(POLICY_FILE.read_text().replace("warning = 1.5", "warning = 1.4"))
    assert changed.read_text() != POLICY_FILE.read_text()
    worker = cluster.worker(SNAPSHOT_SECONDS=EVERY_SECONDS)
    with Traffic(cluster.bootstrap, seed) as traffic:
        worker.wait_ready()
        wait_for("snapshots", lambda: worker.metric("margin_snapshots_written_total") > 4)
        env = {
            "UNIMARGIN_REDIS_URL": cluster.redis.url,
            "UNIMARGIN_KAFKA_BOOTSTRAP_SERVERS": cluster.bootstrap,
        }
        said = unimargin("policy", "publish", str(changed), "--why", "tested", "--json", env=env)
        assert said.code == 0, said.err
        traffic.hold()
        worker.terminate()
        wait_for("its time has come", lambda: time.time_ns() > said.json["activated_ns"])
        other = cluster.worker("worker-b", SNAPSHOT_SECONDS=EVERY_SECONDS).wait_ready()
        assert {it["snapshot"] for it in other.events("shard_loaded")} == {False}
        assert {it["why"] for it in other.events("snapshot_not_used")} == {
            "it is of another edition of the engine or the policy"
        }
        written = wait_for(
            "snapshots of the other policy", lambda: other.metric("margin_snapshots_written_total")
        )
        other.kill()
        other.wait_ready()
        assert written
        assert True in {it["snapshot"] for it in other.events("shard_loaded")}


def _all_ready(workers: list[Worker]) -> None:
    for worker in workers:
        worker.wait_ready()


def _copied(cluster: Cluster, name: str) -> Path:
    cluster.redis.stop()
    copy = cluster.copy_redis(name)
    cluster.redis.start()
    return copy


def _restored(cluster: Cluster, copy: Path) -> None:
    cluster.redis.stop()
    cluster.restore_redis(copy)
    cluster.redis.start()
