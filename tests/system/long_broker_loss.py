"""One of three brokers is killed and restarted under load, each time another: nothing acknowledged is lost, and service goes on.

Not collected by itself, and so not in CI: three brokers on two cores take half a minute to come up.

make test ARGS="tests/system/long_broker_loss.py --broker-kills 6 --seed 7"
"""

import asyncio
import random
import statistics
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from streams.embedded.embedded_redis import EmbeddedRedis
from tests.conftest import system_redis_server
from tests.support.anomalies import count_anomalies
from tests.support.cluster import PARTITIONS, Cluster
from tests.support.kafka_trio import KafkaTrio
from tests.support.settling import settle
from tests.support.traffic import Traffic
from tests.support.waiting import wait_for
from tests.system.test_failover import passed, progress
from tests.system.test_faults import wait_for_events

pytestmark = pytest.mark.system


BROKER_KILLS = 3


@pytest.fixture
def broker_kills(request: pytest.FixtureRequest) -> int:
    """How many brokers to kill."""
    return int(request.config.getoption("--broker-kills", None) or BROKER_KILLS)


@pytest.mark.timeout(3600)
def test_broker_when_one_of_three_is_killed_then_service_goes_on_and_no_anomaly(
    tmp_path: Path, seed: int, say: Callable[[str], None], broker_kills: int
) -> None:
    rng = random.Random(seed)
    took_s: list[float] = []
    with (
        KafkaTrio(tmp_path / "kafka") as kafka,
        EmbeddedRedis(tmp_path / "redis", binary=system_redis_server()) as server,
        Cluster(kafka, server, tmp_path) as cluster,
    ):
        worker = cluster.worker()
        with Traffic(cluster.bootstrap, seed) as traffic:
            worker.wait_ready()
            wait_for_events(cluster)
            for _ in range(broker_kills):
                wait_for("all copies are in step", kafka.whole, 120)
                broker = kafka.leader("fills", rng.randrange(PARTITIONS))
                before = asyncio.run(progress(server.url))
                killed_s = time.monotonic()
                broker.kill()
                # what was under way may still arrive: later inputs must, too
                asyncio.run(passed(server.url, [it + 20 for it in before]))
                took_s.append(time.monotonic() - killed_s)
                threading.Event().wait(rng.uniform(0, 2))
                broker.start()
                traffic.check()
            settle(cluster, traffic)
            anomalies = count_anomalies(cluster)
        say(
            f"{broker_kills} brokers killed, every shard went on after {statistics.median(took_s):.1f} s (median), "
            f"{max(took_s):.1f} s at most; the worker ended {len(worker.statuses)} times; {anomalies}"
        )
        assert anomalies.total == 0, "\n".join(anomalies.examples)
        assert anomalies.events > 0
