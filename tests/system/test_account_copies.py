"""The second copies of accounts: Redis emptied and the logs cut behind it, as far as the copies reach, and further."""

import random

import msgspec
import pytest
import redis

from engine.events.effects import Stream
from engine.inputs import Topic
from streams.contract.account_copy import SHARD_KEY, ShardCovered, read_copy
from streams.store.store_format import FORMAT
from streams.store.store_keys import ShardKeys
from tests.support.cluster import PARTITIONS, Cluster
from tests.support.kafka_log import ends, read_topic
from tests.support.redis_view import read_all
from tests.support.settling import behind, settle
from tests.support.traffic import Traffic
from tests.support.waiting import wait_for, wait_until_none
from tests.support.workers import Worker

pytestmark = pytest.mark.system

SOON = {"ACCOUNT_STATE_MINUTES": "0.05"}
SLOWLY = {**SOON, "ACCOUNT_STATE_BYTES_PER_SECOND": "30000"}
"""A sweep takes longer than the time between two."""
LATER = {"ACCOUNT_STATE_MINUTES": "1440"}
KILLS = 3


def covered(cluster: Cluster) -> dict[int, ShardCovered]:
    """By shard, what the newest record of how far the copies reach says."""
    found = {}
    for record in read_topic(cluster.bootstrap, "account-state"):
        if record.key == SHARD_KEY:
            said = read_copy(record.value or b"")
            assert isinstance(said, ShardCovered)
            found[record.partition] = said
    return found


def wait_covered(cluster: Cluster) -> None:
    """Return once the copies have all that the logs hold."""

    def missing() -> str | None:
        said = covered(cluster)
        for topic in Topic:
            for shard, end in ends(cluster.bootstrap, topic).items():
                reached = 0 if shard not in said else getattr(said[shard], topic.value)
                if reached < end:
                    return f"{topic}/{shard}: the copies reach to {reached} of {end}"
        return None

    wait_until_none("the copies have everything", missing, 60)


def wait_copied(worker: Worker, accounts: int) -> None:
    """Return once its process has copied so many."""
    wait_for("copies", lambda: worker.metric("margin_account_state_copies_total") > accounts)


def contents(client: redis.Redis) -> dict[bytes, dict[bytes, bytes]]:
    """States, open orders and ids of all accounts, as they lie in Redis."""
    kinds = (b"}:accounts", b"}:orders:", b"}:ids:")
    keys = [it for it in client.scan_iter(match="unimargin:{shard-*") if any(kind in it for kind in kinds)]
    return {key: client.hgetall(key) for key in keys}


def trim(cluster: Cluster, further: dict[Topic, int]) -> None:
    """Cut both inputs where the copies reach to, and so much further."""
    said = covered(cluster)
    for topic in Topic:
        cluster.trim(topic, {it: getattr(said[it], topic.value) + further.get(topic, 0) for it in said})


def wait_stopped(worker: Worker, words: str) -> None:
    def otherwise() -> str | None:
        answer = worker.get("/readyz")
        stopped = answer.status == 503 and answer.body.count("stopped") >= PARTITIONS and words in answer.body
        return None if stopped else f"{answer.status}: {answer.body}"

    wait_until_none(f"every shard is stopped: {words}", otherwise, 60)


def send_more(traffic: Traffic, inputs: int) -> None:
    sent = traffic.inputs_sent
    traffic.resume()
    wait_for("more inputs", lambda: traffic.inputs_sent > sent + inputs)


def test_copies_when_redis_is_lost_and_the_logs_are_cut_then_every_account_is_as_it_was_to_the_byte(
    cluster: Cluster, seed: int
) -> None:
    rng = random.Random(seed)
    first = cluster.worker("first", **SLOWLY)
    with Traffic(cluster.bootstrap, seed) as traffic, cluster.client() as client:
        first.wait_ready()
        for _ in range(KILLS):
            wait_copied(first, rng.randint(1, 70))
            first.kill()
            first.wait_ready()
        settle(cluster, traffic)
        wait_covered(cluster)
        first.close()
        second = cluster.worker("second", **LATER).wait_ready()
        send_more(traffic, 300)
        settle(cluster, traffic)
        second.kill(hold_down=True)
        before, undisturbed = contents(client), read_all(cluster.redis.url)
        client.flushall()
        trim(cluster, {})
        second.release()
        second.wait_ready()
        wait_until_none("the rest of the logs is applied", lambda: behind(cluster), 60)
        assert contents(client) == before
        assert len(second.events("shard_rebuilt_from_copies")) == PARTITIONS
        settle(cluster, traffic)
        risks = read_all(cluster.redis.url).risks
        assert {name: risks[name].sequences for name in undisturbed.risks} == {
            name: risk.sequences for name, risk in undisturbed.risks.items()
        }


def test_copies_when_newer_or_not_enough_then_every_shard_stops_and_nothing_is_written(
    cluster: Cluster, seed: int
) -> None:
    first = cluster.worker("first", **SOON)
    with Traffic(cluster.bootstrap, seed) as traffic, cluster.client() as client:
        first.wait_ready()
        wait_for("inputs", lambda: traffic.inputs_sent > 300)
        settle(cluster, traffic)
        wait_covered(cluster)
        first.close()
        send_more(traffic, 200)
        traffic.hold()
        traffic.sender.flush()
        client.flushall()
        said = covered(cluster)

        def say(**changes: int) -> None:
            for shard, record in said.items():
                changed = msgspec.json.encode(msgspec.structs.replace(record, **changes))
                traffic.sender.send("account-state", SHARD_KEY, changed, shard)
            traffic.sender.flush()

        say(format=FORMAT + 1)
        wait_stopped(cluster.worker("older", **SOON), "written by a newer edition")
        say()
        trim(cluster, {Topic(random.Random(seed).choice(list(Topic))): 1})
        told = {stream: ends(cluster.bootstrap, stream) for stream in (*Stream, "account-state")}
        for worker in cluster.workers:
            worker.close()
        wait_stopped(cluster.worker("second", **SOON), "account-state has its accounts up to these offsets")
        for shard in range(PARTITIONS):
            keys = ShardKeys("unimargin", shard)
            there = set(client.scan_iter(match=f"{keys.root}:*"))
            assert there == {it.encode() for it in (keys.fence, keys.meta, keys.trail)}
            assert not [it for it in client.hkeys(keys.meta) if it.startswith((b"watermark:", b"log:"))]
        assert {stream: ends(cluster.bootstrap, stream) for stream in told} == told
