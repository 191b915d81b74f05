"""A network between worker and Redis that delays, cuts, swallows and slows: nothing is lost, doubled or said twice with two meanings."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from streams.embedded.embedded_redis import EmbeddedRedis
from streams.store.redis_client import CALL_TIMEOUT_S
from tests.conftest import system_redis_server
from tests.support.anomalies import count_anomalies
from tests.support.cluster import Cluster
from tests.support.kafka_log import ends
from tests.support.kafka_server import RealKafka
from tests.support.settling import settle
from tests.support.toxiproxy import Toxiproxy
from tests.support.traffic import Traffic
from tests.system.proxy_faults import FAULTS, suffer
from tests.system.test_faults import wait_for_events

pytestmark = pytest.mark.system

FAULT_S = 1.0


@pytest.fixture
def toxiproxy(tmp_path: Path) -> Iterator[Toxiproxy]:
    with Toxiproxy(tmp_path / "toxiproxy") as found:
        yield found


def test_worker_when_the_network_to_redis_fails_in_every_way_then_no_anomaly(
    system_kafka: RealKafka, tmp_path: Path, toxiproxy: Toxiproxy, seed: int, say: Callable[[str], None]
) -> None:
    with (
        EmbeddedRedis(tmp_path / "redis", binary=system_redis_server()) as server,
        Cluster(system_kafka, server, tmp_path) as cluster,
    ):
        proxy = toxiproxy.proxy("redis", server.port)
        worker = cluster.worker(REDIS_URL=f"redis://127.0.0.1:{proxy.port}/0")
        with Traffic(cluster.bootstrap, seed) as traffic:
            worker.wait_ready()
            wait_for_events(cluster)
            pid = worker.pid
            for fault in FAULTS:
                suffer(proxy, fault, FAULT_S)
                wait_for_events(cluster, sum(ends(cluster.bootstrap, "margin-events").values()))
            settle(cluster, traffic)
            anomalies = count_anomalies(cluster)
        repeated = len(worker.events("redis_call_repeated"))
        say(f"{len(FAULTS)} faults of {FAULT_S:g} s, {repeated} calls repeated; {anomalies}")
        assert anomalies.total == 0, "\n".join(anomalies.examples)
        assert repeated, f"calls that were cut, or not answered within {CALL_TIMEOUT_S:g} s"
        assert (worker.pid, worker.statuses) == (pid, [])
