"""The same network between worker and Kafka. Not collected by itself, and so not in CI: it needs a broker of its own.

make test ARGS="tests/system/long_proxied_kafka.py --seed 7"
"""

from collections.abc import Callable
from pathlib import Path

import pytest

from streams.embedded.embedded_redis import EmbeddedRedis
from streams.embedded.ports import LOOPBACK, free_port
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

FAULT_S = 10.0
"""Longer than the session of a member of the group: it has to join anew."""


@pytest.mark.timeout(1800)
def test_worker_when_the_network_to_kafka_fails_in_every_way_then_no_anomaly(
    tmp_path: Path, seed: int, say: Callable[[str], None]
) -> None:
    port = free_port()
    with (
        RealKafka(tmp_path / "kafka", proxy_port=port) as kafka,
        EmbeddedRedis(tmp_path / "redis", binary=system_redis_server()) as server,
        Toxiproxy(tmp_path / "toxiproxy") as toxiproxy,
        Cluster(kafka, server, tmp_path) as cluster,
    ):
        proxy = toxiproxy.proxy("kafka", kafka.proxied_port, port)
        worker = cluster.worker(KAFKA_BOOTSTRAP_SERVERS=f"{LOOPBACK}:{port}")
        with Traffic(cluster.bootstrap, seed) as traffic:
            worker.wait_ready()
            wait_for_events(cluster)
            for fault in FAULTS:
                before = len(worker.statuses)
                suffer(proxy, fault, FAULT_S)
                wait_for_events(cluster, sum(ends(cluster.bootstrap, "margin-events").values()))
                say(f"{fault}: went on, the worker ended {len(worker.statuses) - before} times")
            settle(cluster, traffic)
            anomalies = count_anomalies(cluster)
        say(
            f"{len(FAULTS)} faults of {FAULT_S:g} s, the worker ended {len(worker.statuses)} times; {anomalies}"
        )
        assert anomalies.total == 0, "\n".join(anomalies.examples)
