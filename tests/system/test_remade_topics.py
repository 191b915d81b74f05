"""A log that is another one: made anew, cut at its end, with more partitions. Every shard stops visibly, and nothing of it is applied."""

from collections.abc import Callable

import pytest
from confluent_kafka import KafkaException
from confluent_kafka.admin import NewPartitions, NewTopic

from tests.support.cluster import ADMIN_S, PARTITIONS, Cluster, admin
from tests.support.inputs import deposit, fill
from tests.support.kafka_log import ends
from tests.support.redis_view import read_all
from tests.support.repeater import Repeater
from tests.support.sender import Sender
from tests.support.waiting import wait_for
from tests.support.workers import Worker

pytestmark = pytest.mark.system

ACCOUNTS = [f"acct-{number}" for number in range(24)]


def remake(cluster: Cluster, topic: str) -> None:
    """Delete the topic and make it anew, empty, under the same name."""
    client = admin(cluster.kafka)
    client.delete_topics([topic], operation_timeout=ADMIN_S)[topic].result(ADMIN_S)

    def made() -> bool:
        try:
            client.create_topics([NewTopic(topic, PARTITIONS, 1)])[topic].result(ADMIN_S)
        except KafkaException:  # its name is free a moment later
            return False
        return True

    wait_for(f"{topic} is made anew", made)


def grow(cluster: Cluster, topic: str, partitions: int) -> None:
    client = admin(cluster.kafka)
    client.create_partitions([NewPartitions(topic, partitions)])[topic].result(ADMIN_S)


def send_fills(sender: Sender, per_account: int) -> None:
    for _ in range(per_account):
        for account in ACCOUNTS:
            sender.inputs(fill(account, "0.001"))


def settled(cluster: Cluster, worker: Worker) -> None:
    wait_for(
        "all is durable",
        lambda: all(
            cluster.committed(topic).get(shard, 0) == end
            for topic in ("fills", "ledger")
            for shard, end in ends(cluster.bootstrap, topic).items()
        ),
    )
    assert worker.statuses == []


def wait_stopped(worker: Worker, words: str) -> None:
    def said() -> bool:
        answer = worker.get("/readyz")
        return answer.status == 503 and answer.body.count("stopped") >= PARTITIONS and words in answer.body

    wait_for(f"every shard is stopped: {words}", said, seconds_max=40)


Change = Callable[[Cluster, Sender], None]


def anew(cluster: Cluster, sender: Sender) -> None:
    remake(cluster, "fills")
    send_fills(sender, 8)  # beyond what the old one held


def cut_to_nothing(cluster: Cluster, _: Sender) -> None:
    remake(cluster, "ledger")


def grown(cluster: Cluster, sender: Sender) -> None:
    for topic in ("fills", "ledger", "account-state"):
        grow(cluster, topic, 2 * PARTITIONS)
    send_fills(Sender(cluster.bootstrap), 2)
    sender.flush()


CHANGES: dict[str, tuple[Change, str]] = {
    "made anew and longer": (anew, "made anew"),
    "made anew and empty": (cut_to_nothing, "ledger"),
    "grown": (grown, f"has {2 * PARTITIONS} partitions, and had {PARTITIONS}"),
}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("while_running", [True, False])
def test_topic_when_it_is_another_one_then_every_shard_stops_with_nothing_of_it_applied(
    cluster: Cluster, change: str, *, while_running: bool
) -> None:
    act, words = CHANGES[change]
    worker = cluster.worker()
    sender = Sender(cluster.bootstrap)
    with Repeater(Sender(cluster.bootstrap)):
        worker.wait_ready()
        sender.inputs(*(deposit(account) for account in ACCOUNTS))
        send_fills(sender, 4)
        settled(cluster, worker)
        before = read_all(cluster.redis.url).states
        if not while_running:
            worker.kill(hold_down=True)
        act(cluster, sender)
        worker.release()
        wait_stopped(worker, words)
    assert read_all(cluster.redis.url).states == before


def test_topic_when_made_anew_on_purpose_then_the_runbooks_way_out_goes_on_with_the_accounts(
    cluster: Cluster,
) -> None:
    worker = cluster.worker()
    sender = Sender(cluster.bootstrap)
    with Repeater(Sender(cluster.bootstrap)):
        worker.wait_ready()
        sender.inputs(*(deposit(account) for account in ACCOUNTS))
        send_fills(sender, 2)
        settled(cluster, worker)
        anew(cluster, sender)
        wait_stopped(worker, "made anew")
        worker.kill(hold_down=True)
        with cluster.client() as client:
            for shard in range(PARTITIONS):
                client.hset(f"unimargin:{{shard-{shard}}}:meta", "watermark:fills", 0)
                client.hdel(f"unimargin:{{shard-{shard}}}:meta", "log:fills")
        worker.release()
        worker.wait_ready()
        stored = read_all(cluster.redis.url).states
    assert {str(stored[account].positions["BTC-PERP"].quantity) for account in ACCOUNTS} == {
        "0.01"
    }  # 0.002 + 0.008
