"""A backup of running workers, Redis lost and the log trimmed behind it; and a worker that is older than what Redis holds."""

from pathlib import Path

import msgspec
import pytest
import redis

from engine.inputs import Topic
from streams.store.store_format import FORMAT
from streams.store.store_keys import ShardKeys
from tests.support.cli import unimargin
from tests.support.cluster import PARTITIONS, Cluster
from tests.support.redis_view import read_all
from tests.support.settling import settle
from tests.support.traffic import Traffic
from tests.support.waiting import wait_for
from tests.support.workers import Worker

pytestmark = pytest.mark.system


def dumped(client: redis.Redis) -> dict[bytes, object]:
    return {key: client.dump(key) for key in client.scan_iter(match="unimargin:{shard-*")}


def wait_stopped(worker: Worker, words: str, shards: int) -> None:
    def said() -> bool:
        answer = worker.get("/readyz")
        return answer.status == 503 and answer.body.count("stopped") >= shards and words in answer.body

    wait_for(f"{shards} shards are stopped: {words}", said, seconds_max=40)


def test_backup_when_redis_is_lost_and_the_log_trimmed_then_the_state_is_that_of_an_undisturbed_run(
    cluster: Cluster, seed: int, tmp_path: Path
) -> None:
    env = {"UNIMARGIN_REDIS_URL": cluster.redis.url}
    file = str(tmp_path / "live.backup")
    worker = cluster.worker(ACCOUNT_STATE_MINUTES="0")  # the copies would bring it back too
    with Traffic(cluster.bootstrap, seed) as traffic:
        worker.wait_ready()
        wait_for("inputs", lambda: traffic.inputs_sent > 800)
        made = unimargin("backup", "create", file, "--json", env=env)
        assert made.code == 0, made.err
        assert unimargin("backup", "restore", file, "--replace", env=env).code == 1, "its worker lives"
        sent = traffic.inputs_sent
        wait_for("more inputs", lambda: traffic.inputs_sent > sent + 400)
        settle(cluster, traffic)
        undisturbed = read_all(cluster.redis.url)
        worker.kill(hold_down=True)
        with cluster.client() as client:
            client.flushall()
        shards = made.json["shards"]
        assert len(shards) == PARTITIONS
        for topic in Topic:
            cluster.trim(topic, {it["shard"]: it["watermarks"].get(topic, 0) for it in shards})
        worker.release()
        wait_stopped(worker, "begins at", PARTITIONS)
        assert not read_all(cluster.redis.url).states, "of two short copies nothing is made"
        worker.kill(hold_down=True)
        restored = unimargin("backup", "restore", file, "--replace", env=env)
        assert restored.code == 0, restored.err
        then = read_all(cluster.redis.url)
        assert then.states != undisturbed.states, "nothing is left to catch up"
        assert {it.account for it in then.states.values()} == set(undisturbed.states)
        worker.release()
        worker.wait_ready()
        settle(cluster, traffic)
        now = read_all(cluster.redis.url)
        assert now.states == undisturbed.states
        assert [it.watermarks for it in now.metas] == [it.watermarks for it in undisturbed.metas]
        # what was said after the backup was read back: nobody's events are numbered anew
        for account, risk in undisturbed.risks.items():
            assert all(now.risks[account].sequences[name] >= count for name, count in risk.sequences.items())


def test_worker_when_redis_holds_what_a_newer_edition_wrote_then_it_stops_and_nothing_is_changed(
    cluster: Cluster, seed: int
) -> None:
    worker = cluster.worker()
    with Traffic(cluster.bootstrap, seed) as traffic, cluster.client() as client:
        worker.wait_ready()
        wait_for("inputs", lambda: traffic.inputs_sent > 300)
        settle(cluster, traffic)
        worker.kill(hold_down=True)
        planted = 0
        for shard in range(PARTITIONS):
            keys = ShardKeys("unimargin", shard)
            client.hset(keys.meta, "format", FORMAT + 1)
            for name, state in client.hgetall(keys.accounts).items():
                told = msgspec.json.decode(state) | {"margin_mode_of_tomorrow": "x"}
                client.hset(keys.accounts, name, msgspec.json.encode(told))
                planted += 1
        assert planted
        before = dumped(client)
        traffic.resume()
        worker.release()
        wait_stopped(worker, "written by a newer edition", PARTITIONS)
        assert dumped(client) == before
        worker.kill(hold_down=True)
        # the same number, and fields that are not known: the shards stop, and no state is touched
        for shard in range(PARTITIONS):
            client.hset(ShardKeys("unimargin", shard).meta, "format", FORMAT)
            client.hdel(ShardKeys("unimargin", shard).meta, "snapshot")
        states = {
            shard: client.hgetall(ShardKeys("unimargin", shard).accounts) for shard in range(PARTITIONS)
        }
        worker.release()
        wait_stopped(worker, "margin_mode_of_tomorrow", PARTITIONS)
        for shard, stored in states.items():
            assert client.hgetall(ShardKeys("unimargin", shard).accounts) == stored
