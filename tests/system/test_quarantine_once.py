"""Every worker reads all prices; what is no price is published by one of them, and by another one if that is gone."""

from collections import Counter

import pytest

from tests.support.cluster import Cluster
from tests.support.kafka_log import read_topic
from tests.support.repeater import Repeater
from tests.support.sender import Sender
from tests.support.waiting import wait_for

pytestmark = pytest.mark.system

RECORDS = 60


def published(cluster: Cluster) -> Counter[str]:
    return Counter(it.headers["ce_id"] for it in read_topic(cluster.bootstrap, "quarantine"))


def test_price_record_when_two_workers_read_it_then_quarantined_once_and_by_the_other_if_one_is_killed(
    cluster: Cluster,
) -> None:
    sender = Sender(cluster.bootstrap)
    with Repeater(sender):
        workers = [cluster.worker(name) for name in ("worker-a", "worker-b")]
        for worker in workers:
            worker.wait_ready()
        wait_for(
            "both have shards",
            lambda: all(
                it.ready() is None and it.metric("margin_shards", condition="running") for it in workers
            ),
        )
        places = [sender.send_now("prices", b"BTC-PERP", b"no price %d" % n) for n in range(RECORDS)]
        ids = {f"prices/{partition}/{offset}" for partition, offset in places}
        wait_for("all are published", lambda: published(cluster).keys() == ids)
        for worker in workers:
            wait_for(
                "both have seen them",
                lambda w=worker: w.metric("margin_quarantined_total", topic="prices") == RECORDS,
            )
        assert set(published(cluster).values()) == {1}
        # who is left has kept what the other's shards had to publish
        workers[0].kill(hold_down=True)
        more = [sender.send_now("prices", b"BTC-PERP", b"no price") for _ in range(RECORDS)]
        ids |= {f"prices/{partition}/{offset}" for partition, offset in more}
        wait_for("these too", lambda: published(cluster).keys() == ids, 60)
