"""Inputs in Kafka transactions: what was committed counts, what was aborted does not, and an open one delays and is told."""

import time
from collections.abc import Iterator
from decimal import Decimal

import pytest

from tests.support.cli import unimargin
from tests.support.cluster import Cluster
from tests.support.inputs import deposit, fill
from tests.support.kafka_log import ends
from tests.support.redis_view import read_account
from tests.support.repeater import Repeater
from tests.support.sender import Sender
from tests.support.transactions import TransactionalSender
from tests.support.waiting import wait_for
from tests.support.workers import Worker

pytestmark = pytest.mark.system

STALL_S = 3
"""The watchdog's patience in these tests."""
A_FEW_STALLS_S = 8.0


@pytest.fixture
def sender(cluster: Cluster) -> Iterator[TransactionalSender]:
    with Repeater(Sender(cluster.bootstrap)):
        yield TransactionalSender(cluster.bootstrap)


def start(cluster: Cluster) -> Worker:
    return cluster.worker(STALL_SECONDS=str(STALL_S)).wait_ready()


def position(cluster: Cluster, account: str) -> Decimal | None:
    state = read_account(cluster.redis.url, account)
    held = None if state is None else state.positions.get("BTC-PERP")
    return None if held is None else held.quantity


def wait_position(cluster: Cluster, account: str, quantity: str) -> None:
    wait_for(
        f"{account} holds {quantity}", lambda: position(cluster, account) == Decimal(quantity), seconds_max=20
    )


def without_lag(worker: Worker) -> bool:
    return (
        worker.metric("margin_consumer_lag_records") == 0
        and worker.metric("margin_input_uncommitted_records") == 0
    )


def test_fills_when_one_transaction_is_aborted_then_the_others_count_live_and_rebuilt_from_the_log(
    cluster: Cluster, sender: TransactionalSender
) -> None:
    worker = start(cluster)
    sender.committed(deposit("alice"), fill("alice", "1"))
    sender.aborted(fill("alice", "100"), deposit("alice", "5"))
    sender.begin(fill("alice", "1"))
    wait_position(cluster, "alice", "1")
    sender.commit()
    wait_position(cluster, "alice", "2")
    sender.aborted(fill("alice", "100"))
    wait_for("nothing lags", lambda: without_lag(worker))
    places = wait_for(
        "the group's offsets are at the ends",
        lambda: (
            {it: at for it, at in ends(cluster.bootstrap, "fills").items() if at}
            == {it: at for it, at in cluster.committed("fills").items() if at}
        ),
    )
    assert places

    worker.kill(hold_down=True)
    with cluster.client() as client:
        client.flushall()
    worker.release()
    worker.wait_ready()
    wait_position(cluster, "alice", "2")
    state = read_account(cluster.redis.url, "alice")
    assert state is not None
    assert state.balances["USDT"] == 1000
    wait_for("nothing lags", lambda: without_lag(worker))


def test_partition_when_it_ends_with_markers_or_aborted_records_then_nothing_lags_and_nobody_exits(
    cluster: Cluster, sender: TransactionalSender
) -> None:
    worker = start(cluster)
    sender.committed(deposit("alice"))
    sender.aborted(*(fill(name, "100") for name in ("alice", "bob", "carol", "dave", "erin")))
    wait_for("the markers are passed over", lambda: without_lag(worker), seconds_max=10)
    time.sleep(A_FEW_STALLS_S)
    assert worker.statuses == []
    assert without_lag(worker)
    assert position(cluster, "bob") is None

    worker.kill()
    worker.wait_ready()
    assert without_lag(worker)


def test_transaction_when_left_open_then_only_what_is_behind_it_waits_and_it_is_told(
    cluster: Cluster, sender: TransactionalSender
) -> None:
    worker = start(cluster)
    plain = Sender(cluster.bootstrap)
    open_in = cluster.partition_of(b"alice")
    other = next(
        name for name in map("trader-{}".format, range(99)) if cluster.partition_of(name.encode()) != open_in
    )
    plain.inputs(deposit("alice"), deposit(other))
    sender.begin(fill("alice", "1"))
    plain.inputs(fill("alice", "2"))
    plain.inputs(fill(other, "3"))
    wait_position(cluster, other, "3")
    wait_for(
        "the open transaction is told",
        lambda: worker.metric("margin_input_uncommitted_records", topic="fills", partition=str(open_in)) == 2,
    )
    wait_for("it is logged", lambda: worker.events("open_transaction"))
    address = {
        "UNIMARGIN_KAFKA_BOOTSTRAP_SERVERS": cluster.bootstrap,
        "UNIMARGIN_REDIS_URL": cluster.redis.url,
    }
    said = unimargin("doctor", env=address).out
    assert "behind an open transaction" in said
    assert f"fills/{open_in}" in said
    assert position(cluster, "alice") is None
    assert worker.statuses == []
    sender.commit()
    wait_position(cluster, "alice", "3")
    wait_for("nothing lags", lambda: without_lag(worker))


@pytest.mark.parametrize("topic", ["prices", "policies", "operator", "margin-events"])
def test_transaction_when_left_open_in_any_other_topic_then_told_until_it_ends(
    cluster: Cluster, sender: TransactionalSender, topic: str
) -> None:
    worker = start(cluster)
    sender.begin_elsewhere(0, topic)
    waiting = {"topic": topic, "partition": "0"}
    wait_for("it is told", lambda: worker.metric("margin_input_uncommitted_records", **waiting) or None)
    wait_for("it is logged", lambda: [it for it in worker.events("open_transaction") if it["topic"] == topic])
    address = {
        "UNIMARGIN_KAFKA_BOOTSTRAP_SERVERS": cluster.bootstrap,
        "UNIMARGIN_REDIS_URL": cluster.redis.url,
    }
    (check,) = [it for it in unimargin("doctor", "--json", env=address).json if it["check"] == "transactions"]
    assert (check["status"], f"{topic}/0" in check["found"]) == ("warn", True)
    sender.abort()
    wait_for("it is over", lambda: worker.metric("margin_input_uncommitted_records", **waiting) == 0)
    assert worker.statuses == []
