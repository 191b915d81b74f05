"""A broker, a redis-server and the shipped policy in a directory of their own: what the benchmarks of whole workers run on."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from streams.embedded.embedded_redis import EmbeddedRedis
from tests.conftest import system_redis_server
from tests.support.cluster import Cluster
from tests.support.kafka_server import RealKafka
from tests.support.workers import TREE


@contextmanager
def bench_cluster() -> Iterator[tuple[Cluster, Path]]:
    """The cluster, without workers, and the policy file that they are to be given."""
    with tempfile.TemporaryDirectory(prefix="unimargin-bench-") as name:
        directory = Path(name)
        policy_file = directory / "policy.toml"
        shipped = (TREE / "deploy" / "policies" / "default.toml").read_text()
        # Between two measurements nobody sends prices; they must not go stale for that.
        policy_file.write_text(shipped.replace("stale_after_seconds = 10", "stale_after_seconds = 3600"))
        (directory / "redis").mkdir()
        with (
            RealKafka(directory / "kafka") as kafka,
            EmbeddedRedis(directory / "redis", binary=system_redis_server()) as server,
            Cluster(kafka, server, directory) as cluster,
        ):
            yield cluster, policy_file
