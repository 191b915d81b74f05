"""An upgrade to an edition that knows a higher format, worker by worker; back again; and the word after which there is no way back."""

import json
import subprocess

import pytest
import redis

from engine.inputs import Topic
from streams.store.store_format import FORMAT
from streams.store.store_keys import ShardKeys
from tests.support import newer_edition
from tests.support.cluster import PARTITIONS, Cluster
from tests.support.kafka_log import ends
from tests.support.newer_edition import FIELD
from tests.support.settling import settle_and_audit
from tests.support.traffic import Traffic
from tests.support.waiting import wait_for
from tests.support.workers import TREE, Worker

pytestmark = pytest.mark.system

NEW_WORKER = (*newer_edition.COMMAND, "worker")
COPIES = {"ACCOUNT_STATE_MINUTES": "0.05"}


def raised(cluster: Cluster) -> subprocess.CompletedProcess[str]:
    """The operator's word, said by the new edition."""
    return subprocess.run(
        [*newer_edition.COMMAND, "format", "raise", "--reason", "all are new"],
        cwd=TREE,
        env={"UNIMARGIN_REDIS_URL": cluster.redis.url, "PYTHONPATH": str(TREE), "PATH": ""},
        capture_output=True,
        text=True,
        check=False,
    )


def formats(client: redis.Redis) -> set[bytes | None]:
    return {client.hget(ShardKeys("unimargin", shard).meta, "format") for shard in range(PARTITIONS)}


def noted(client: redis.Redis) -> set[bytes]:
    """Accounts whose state has the field of tomorrow."""
    return {
        name
        for shard in range(PARTITIONS)
        for name, state in client.hgetall(ShardKeys("unimargin", shard).accounts).items()
        if FIELD in json.loads(state)
    }


def caught_up(cluster: Cluster, client: redis.Redis) -> bool:
    """As `behind`, but without a look at states, which this edition cannot read any more."""
    return all(
        int(client.hget(ShardKeys("unimargin", shard).meta, f"watermark:{topic}") or 0) == end
        for topic in Topic
        for shard, end in ends(cluster.bootstrap, topic).items()
    )


def running(worker: Worker) -> int:
    return int(worker.metric("margin_shards", condition="running"))


def send_more(traffic: Traffic) -> None:
    sent = traffic.inputs_sent
    traffic.resume()
    wait_for("more inputs", lambda: traffic.inputs_sent > sent + 150)


def test_upgrade_when_rolled_out_and_back_and_out_again_then_nothing_is_lost_and_the_old_is_refused_after_the_word(
    cluster: Cluster, seed: int
) -> None:
    today, tomorrow = str(FORMAT).encode(), str(FORMAT + 1).encode()
    old = cluster.worker("old", **COPIES)
    with Traffic(cluster.bootstrap, seed) as traffic, cluster.client() as client:
        old.wait_ready()
        new = cluster.worker("new", command=NEW_WORKER, **COPIES).wait_ready()
        wait_for("both have shards", lambda: 0 < running(new) < PARTITIONS)
        send_more(traffic)
        refused = raised(cluster)
        assert (refused.returncode, f"old (knows {FORMAT})" in refused.stderr) == (1, True), refused.stderr
        assert new.terminate() == 0
        wait_for("the old one has all again", lambda: running(old) == PARTITIONS)
        send_more(traffic)
        settle_and_audit(cluster, traffic)
        assert formats(client) == {today}

        new = cluster.worker("new", command=NEW_WORKER, **COPIES).wait_ready()
        assert old.terminate() == 0
        wait_for("the new one has all", lambda: running(new) == PARTITIONS)
        send_more(traffic)
        settle_and_audit(cluster, traffic)
        assert formats(client) == {today}
        assert noted(client) == set()

        client.hdel("unimargin:{format}:workers", "old")  # as after a minute
        said = raised(cluster)
        assert said.returncode == 0, said.stderr
        new.kill()
        wait_for("every shard has the new format", lambda: formats(client) == {tomorrow})
        wait_for("the new one has all", lambda: running(new) == PARTITIONS)
        send_more(traffic)
        traffic.hold()
        traffic.sender.flush()
        wait_for("all is applied", lambda: caught_up(cluster, client))
        then = noted(client)
        assert len(then) > PARTITIONS

        old = cluster.worker("old", **COPIES)
        assert old.wait_end(1) == 1
        assert "the deployment holds format" in old.last_words()
        assert "written by a newer edition" in old.last_words()
        send_more(traffic)
        assert noted(client) >= then
        assert formats(client) == {tomorrow}
        assert running(new) == PARTITIONS
