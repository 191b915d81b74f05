"""The exporter that tells Prometheus what a Redis says of itself, as a child process."""

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.prometheus_server import free_port


@contextmanager
def redis_exporter(url: str, directory: Path) -> Iterator[str]:
    """Run it for the Redis at `url`; yields its address ("host:port")."""
    binary = shutil.which("prometheus-redis-exporter")
    assert binary, "prometheus-redis-exporter is not installed (Debian package of that name)"
    address = f"127.0.0.1:{free_port()}"
    with (directory / "redis-exporter.log").open("wb") as log:
        process = subprocess.Popen(
            [binary, f"-redis.addr={url}", f"-web.listen-address={address}"], stdout=log, stderr=log
        )
    try:
        yield address
    finally:
        process.terminate()
        process.wait(timeout=10)
