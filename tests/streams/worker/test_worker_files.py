"""What a worker leaves on the disk where it was started: nothing."""

from collections.abc import Callable
from pathlib import Path

from streams.embedded.embedded_broker import EmbeddedBroker
from tests.support.workers import Worker


def test_worker_when_it_ran_and_ended_then_its_working_directory_is_empty(
    redis_url_db: str, tmp_path: Path, unique: Callable[[str], str]
) -> None:
    directory = tmp_path / "started-here"
    directory.mkdir()
    with EmbeddedBroker({"fills": 2, "ledger": 2, "prices": 1}) as broker:
        environment = {
            "UNIMARGIN_GROUP": unique("group"),
            "UNIMARGIN_KAFKA_BOOTSTRAP_SERVERS": broker.bootstrap_servers,
            "UNIMARGIN_KAFKA_FETCH_WAIT_MS": "5",
            "UNIMARGIN_KAFKA_IDEMPOTENT_PRODUCER": "false",
            "UNIMARGIN_ACCOUNT_STATE_MINUTES": "0",
            "UNIMARGIN_METRICS_PORT": "0",
            "UNIMARGIN_REDIS_URL": redis_url_db,
        }
        with Worker("worker-1", environment, tmp_path / "worker.log", directory=directory) as worker:
            worker.wait_ready()
            assert worker.terminate() == 0
    assert list(directory.iterdir()) == []
