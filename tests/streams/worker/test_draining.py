"""A worker that was told to stop is not ready while it makes durable what it has."""

import threading
from collections.abc import Callable
from pathlib import Path

import redis

from streams.embedded.embedded_broker import EmbeddedBroker
from tests.support.inputs import deposit
from tests.support.sender import Sender
from tests.support.waiting import wait_for
from tests.support.workers import Worker

HELD_MS = 8_000


def test_readiness_when_a_worker_drains_then_503_says_so_until_it_has_ended(
    redis_url_db: str, tmp_path: Path, unique: Callable[[str], str]
) -> None:
    with EmbeddedBroker({"fills": 2, "ledger": 2, "account-state": 2, "prices": 1}) as broker:
        environment = {
            "UNIMARGIN_GROUP": unique("group"),
            "UNIMARGIN_KAFKA_BOOTSTRAP_SERVERS": broker.bootstrap_servers,
            "UNIMARGIN_KAFKA_FETCH_WAIT_MS": "5",
            "UNIMARGIN_KAFKA_IDEMPOTENT_PRODUCER": "false",
            "UNIMARGIN_METRICS_PORT": "0",
            "UNIMARGIN_REDIS_URL": redis_url_db,
        }
        with (
            Worker("worker-1", environment, tmp_path / "worker.log") as worker,
            redis.Redis.from_url(redis_url_db) as client,
        ):
            worker.wait_ready()
            client.execute_command("CLIENT", "PAUSE", HELD_MS, "WRITE")
            sender = Sender(broker.bootstrap_servers)
            sender.inputs(deposit("alice", "10"))
            wait_for("the deposit", lambda: worker.metric("margin_inputs_applied_total", topic="ledger"))
            ending = threading.Thread(target=worker.terminate)
            ending.start()
            wait_for("a worker that is stopping", lambda: "is stopping" in worker.get("/readyz").body)
            assert worker.get("/readyz").status == 503
            assert worker.get("/livez").status == 200
            ending.join()
            assert worker.statuses[-1] == 0
            assert sum(client.hlen(f"unimargin:{{shard-{shard}}}:accounts") for shard in range(2)) == 1
