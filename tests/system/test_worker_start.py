"""What a worker proves before it joins the group, and that one with another policy than the one in force takes no shard."""

import time
from pathlib import Path

import pytest
from confluent_kafka import KafkaException

from engine.policy import parse
from streams.worker.proving import PAUSE_SECONDS
from tests.support.cli import NOWHERE, unimargin
from tests.support.cluster import ADMIN_S, PARTITIONS, POLICY_FILE, Cluster, admin
from tests.support.inputs import deposit, fill
from tests.support.redis_view import read_account
from tests.support.repeater import Repeater
from tests.support.sender import Sender
from tests.support.waiting import wait_for
from tests.support.workers import Worker

pytestmark = pytest.mark.system

GAVE_UP, MISTAKE = 1, 2
GONE = """
[instruments.GONE-PERP]
kind = "perpetual"
base = "ETH"
settle = "USDT"
tiers = "major"
"""


def members(cluster: Cluster) -> int:
    """Members that the group has."""
    client = admin(cluster.kafka)
    (future,) = client.describe_consumer_groups([cluster.group]).values()
    try:
        return len(future.result(ADMIN_S).members)
    except KafkaException:
        return 0


def not_ready(worker: Worker, words: str) -> bool:
    return words in (worker.ready() or "")


def env(cluster: Cluster, policy: Path = POLICY_FILE) -> dict[str, str]:
    return {
        "UNIMARGIN_KAFKA_BOOTSTRAP_SERVERS": cluster.bootstrap,
        "UNIMARGIN_REDIS_URL": cluster.redis.url,
        "UNIMARGIN_POLICY_FILE": str(policy),
    }


def test_worker_when_redis_is_away_then_it_joins_no_group_says_so_and_gives_up(cluster: Cluster) -> None:
    worker = cluster.worker(REDIS_URL=f"redis://{NOWHERE}/0", PROVE_SECONDS="4")
    wait_for("it says what is missing", lambda: not_ready(worker, "redis"))
    assert not_ready(worker, "Error 111 connecting to 127.0.0.1:1")
    assert members(cluster) == 0
    assert worker.wait_end(1) == GAVE_UP
    assert f"Redis at redis://{NOWHERE}/0" in worker.last_words()
    assert "UNIMARGIN_REDIS_URL" in worker.last_words()
    assert "Traceback" not in worker.log.read_text()
    assert members(cluster) == 0


def test_worker_when_redis_comes_while_it_proves_then_it_joins(cluster: Cluster) -> None:
    cluster.redis.stop()
    worker = cluster.worker()
    with Repeater(Sender(cluster.bootstrap)):
        wait_for("it says what is missing", lambda: not_ready(worker, "redis"))
        time.sleep(2 * PAUSE_SECONDS)
        assert members(cluster) == 0
        cluster.redis.start()
        worker.wait_ready()
        wait_for("it is a member", lambda: members(cluster) == 1)
    assert worker.statuses == []


def test_worker_when_redis_takes_no_writes_or_a_topic_or_the_broker_is_missing_then_named_and_no_member(
    cluster: Cluster,
) -> None:
    with cluster.client() as client:
        client.config_set("maxmemory", "1")
        full = cluster.worker("full", PROVE_SECONDS="3")
        assert full.wait_end(1) == GAVE_UP
        client.config_set("maxmemory", "0")
    assert "maxmemory" in full.last_words()
    full.close()
    lacking = cluster.worker("lacking", TOPIC_FILLS="nowhere")
    assert lacking.wait_end(1) == MISTAKE
    assert "topics missing: nowhere" in lacking.last_words()
    lacking.close()
    alone = cluster.worker("alone", KAFKA_BOOTSTRAP_SERVERS=NOWHERE, PROVE_SECONDS="3")
    assert alone.wait_end(1) == GAVE_UP
    assert f"Kafka at {NOWHERE}" in alone.last_words()
    assert members(cluster) == 0


@pytest.mark.parametrize(
    ("topic", "partitions", "words"),
    [
        ("margin-events", 0, "topics missing: margin-events"),
        ("quarantine", 0, "topics missing: quarantine"),
        ("liquidations", 2, f"a partition for each of {PARTITIONS} shards, found {{'liquidations': 2}}"),
    ],
)
def test_worker_when_it_could_not_say_what_it_judges_then_named_and_no_member(
    cluster: Cluster, topic: str, partitions: int, words: str
) -> None:
    client = admin(cluster.kafka)
    (future,) = client.delete_topics([topic], operation_timeout=ADMIN_S).values()
    future.result(ADMIN_S)
    wait_for("it is gone", lambda: topic not in client.list_topics(timeout=ADMIN_S).topics)
    if partitions:
        cluster.kafka.create_topics({topic: partitions})
        wait_for("it is there", lambda: topic in client.list_topics(timeout=ADMIN_S).topics)
    worker = cluster.worker()
    assert worker.wait_end(1) == MISTAKE
    assert words in worker.last_words()
    assert members(cluster) == 0


def test_worker_when_told_to_stop_while_it_proves_then_it_ends_at_once(cluster: Cluster) -> None:
    worker = cluster.worker(REDIS_URL=f"redis://{NOWHERE}/0")
    wait_for("it says what is missing", lambda: not_ready(worker, "redis"))
    assert worker.terminate() == 0


def test_policy_when_a_worker_has_another_file_then_it_waits_until_that_is_published_and_then_all_go_by_it(
    cluster: Cluster,
) -> None:
    changed = cluster.directory / "changed.toml"
    changed.write_text(POLICY_FILE.read_text().replace("warning = 1.5", "warning = 1.4"))
    old, sender = cluster.worker("old"), Sender(cluster.bootstrap)
    with Repeater(sender):
        old.wait_ready()
        new = cluster.worker("new", POLICY_FILE=str(changed))
        wait_for("the new one waits", lambda: not_ready(new, f"policy {_digest(changed)} is not in force"))
        assert (members(cluster), new.metric("margin_policy_refused")) == (1, 1)
        assert len(new.events("policy_not_in_force")) == 1
        said = unimargin("doctor", "--json", env=env(cluster, changed))
        assert said.code == 1
        (check,) = [it for it in said.json if it["check"] == "policy in force"]
        assert (check["status"], _digest(changed) in check["found"]) == ("FAIL", True)

        words = ("policy", "publish", str(changed), "--why", "looser", "--who", "desk", "--json")
        assert unimargin(*words, "--dry-run", env=env(cluster)).json["version"] is None
        assert not_ready(new, "is not in force")
        said = unimargin(*words, env=env(cluster))
        assert (said.code, said.json["version"], said.json["before_version"]) == (0, 1, 0), said.err
        new.wait_ready()
        wait_for("both are in the group", lambda: members(cluster) == 2)
        for worker in (old, new):
            wait_for(
                "it goes by it", lambda it=worker: it.metric("margin_worker_info", policy=_digest(changed))
            )
        assert (old.statuses, old.metric("margin_policy_refused")) == ([], 0)
        said = unimargin("doctor", "--json", env=env(cluster, changed))
        (check,) = [it for it in said.json if it["check"] == "policy in force"]
        assert check["status"] == "ok", check
        assert "version 1 by desk" in check["found"]
        # a worker with the first file may still start: it goes by what was published
        old.kill()
        old.wait_ready()
        assert old.metric("margin_worker_info", policy=_digest(changed)) == 1
        _, offset = sender.inputs(deposit("alice"))
        wait_for("it serves", lambda: _reached(cluster, "alice", ledger=offset))


def test_policy_when_redis_names_a_version_that_the_topic_lacks_then_the_worker_gives_its_shards_back(
    cluster: Cluster,
) -> None:
    worker = cluster.worker()
    with Repeater(Sender(cluster.bootstrap)), cluster.client() as client:
        worker.wait_ready()
        client.set(
            "unimargin:{policy}:in-force",
            b'{"digest":"d9","name":"elsewhere","version":9,"activated_ns":5,"who":"desk","why":""}',
        )
        assert worker.wait_end(1) == GAVE_UP
        assert "the topic of policies has no such version" in worker.log.read_text()
        wait_for("it waits at the gate", lambda: not_ready(worker, "is not in force, but d9"))


def test_contract_when_it_leaves_the_policy_then_who_holds_it_is_degraded_and_what_comes_is_booked(
    cluster: Cluster,
) -> None:
    wide = cluster.directory / "wide.toml"
    wide.write_text(POLICY_FILE.read_text() + GONE)
    worker, sender = cluster.worker("wide", POLICY_FILE=str(wide)), Sender(cluster.bootstrap)
    with Repeater(sender):
        sender.inputs(deposit("holder"), deposit("other"))
        sender.inputs(fill("other", "0.01"))
        _, offset = sender.inputs(fill("holder", "3", symbol="GONE-PERP", price="10"))
        wait_for("the holder is there", lambda: _reached(cluster, "holder", fills=offset))
        worker.wait_ready()
        said = unimargin("policy", "publish", "--why", "delisted", env=env(cluster))
        assert said.code == 0, said.err
        wait_for("one is degraded", lambda: worker.metric("margin_accounts_degraded") == 1)
        assert worker.metric("margin_accounts_stopped") == 0
        sold = fill("holder", "-1", symbol="GONE-PERP", price="12", liquidation_id="holder/cross/1")
        _, offset = sender.inputs(sold)
        state = wait_for("it is booked", lambda: _reached(cluster, "holder", fills=offset))
        assert not state.stopped
        assert state.positions["GONE-PERP"].quantity == 2
        # 1,000 + 1 * (12 - 10)
        assert state.balances["USDT"] == 1002
        _, offset = sender.inputs(fill("holder", "-2", symbol="GONE-PERP", price="10"))
        wait_for("nobody is", lambda: worker.metric("margin_accounts_degraded") == 0)


def _reached(cluster: Cluster, account: str, **offsets: int):
    state = read_account(cluster.redis.url, account)
    reached = state is not None and all(getattr(state, it).offset >= offsets[it] for it in offsets)
    return state if reached else None


def _digest(path: Path) -> str:
    return parse(path.read_text()).digest
