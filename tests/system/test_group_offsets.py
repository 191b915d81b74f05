"""The group's offsets are a hint: lost, or of another group, they cost nothing."""

import time

import msgspec
import pytest
from confluent_kafka import KafkaException

from tests.support.cluster import ADMIN_S, Cluster, admin
from tests.support.inputs import deposit, fill
from tests.support.kafka_log import ends
from tests.support.redis_view import read_account
from tests.support.repeater import Repeater
from tests.support.sender import Sender
from tests.support.waiting import wait_for

pytestmark = pytest.mark.system

OLD_RECORDS = 60_000
LATE_S_MAX = 1.0


@pytest.mark.parametrize("loss", ["deleted", "another group"])
def test_fill_when_the_groups_offsets_are_lost_behind_many_old_records_then_it_does_not_wait(
    cluster: Cluster, loss: str
) -> None:
    sender = Sender(cluster.bootstrap, **{"linger.ms": 20})
    worker = cluster.worker()
    with Repeater(Sender(cluster.bootstrap)):
        worker.wait_ready()
        sender.inputs(deposit("alice"))
        for number in range(OLD_RECORDS // 100):
            for message in (fill(f"old-{number % 50}", "0.001") for _ in range(100)):
                sender.send("fills", message.account.encode(), msgspec.json.encode(message))
        sender.flush()
        wait_for(
            "the group's offsets are at the end",
            lambda: cluster.committed("fills") == ends(cluster.bootstrap, "fills"),
            90,
        )
        assert worker.terminate() == 0
        settings: dict[str, str] = {}
        if loss == "deleted":
            wait_for(
                "the group is deleted, once the session of its member is over", lambda: _deleted(cluster)
            )
        else:
            settings["GROUP"] = f"{cluster.group}-renamed"
        successor = cluster.worker("worker-b", **settings).wait_ready()
        sent = time.monotonic()
        _, offset = sender.inputs(fill("alice", "0.5"))

        def applied() -> bool:
            state = read_account(cluster.redis.url, "alice")
            return state is not None and state.fills.offset == offset

        wait_for("the new fill is applied", applied, 10)
        assert time.monotonic() - sent < LATE_S_MAX
        # none of the old ones; a shard may have been begun anew just when the new fill came
        assert successor.metric("margin_recovered_records_total") <= 1
        if loss == "deleted":
            wait_for(
                "the offsets are told again",
                lambda: cluster.committed("fills") == ends(cluster.bootstrap, "fills"),
            )


def _deleted(cluster: Cluster) -> bool:
    client = admin(cluster.kafka)
    try:
        client.delete_consumer_groups([cluster.group])[cluster.group].result(ADMIN_S)
    except KafkaException:
        return False
    return True
