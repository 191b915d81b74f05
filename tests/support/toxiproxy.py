"""Toxiproxy between a client and a server: delays, cuts, slows or swallows what passes. Built once, into `.cache/toxiproxy` of this checkout.

    python -m tests.support.toxiproxy

builds it ahead of the tests.
"""

import fcntl
import json
import os
import shutil
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.request import Request, urlopen

from streams.embedded.child import TetheredProcess
from streams.embedded.ports import LOOPBACK, free_port
from tests.support.commands import output_of

MODULE = "github.com/Shopify/toxiproxy/v2/cmd/server"
VERSION = "v2.5.0"
"""The newest that Debian's Go builds."""
CACHE = Path(__file__).parents[2] / ".cache" / "toxiproxy" / VERSION
BUILD_TIMEOUT_S = 600
START_S = 20.0
STOP_S = 5.0


class ToxiproxyError(RuntimeError):
    """It could not be built; the message carries what Go said."""


def toxiproxy_server() -> Path:
    """The server's binary, built first if it is not there. Safe to call from many processes."""
    binary = CACHE / "server"
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not binary.exists():
            go = shutil.which("go")
            if go is None:
                raise ToxiproxyError("go is not on PATH: .ci/services installs it (Debian package golang-go)")
            command = [go, "install", f"{MODULE}@{VERSION}"]
            places = {**os.environ, "GOBIN": str(CACHE)}
            output_of(command, timeout_s=BUILD_TIMEOUT_S, failure=ToxiproxyError, env=places)
    return binary


class Proxy:
    """One port that leads to another."""

    def __init__(self, toxiproxy: "Toxiproxy", name: str, port: int) -> None:
        self.name, self.port = name, port
        self._toxiproxy = toxiproxy

    @contextmanager
    def toxic(self, kind: str, *, downstream: bool = True, **attributes: int) -> Iterator[None]:
        """Within, what passes suffers: `downstream` what the server says, else what the client says."""
        stream = "downstream" if downstream else "upstream"
        toxic = {"name": kind, "type": kind, "stream": stream, "toxicity": 1.0, "attributes": attributes}
        self._toxiproxy.ask("POST", f"/proxies/{self.name}/toxics", toxic)
        try:
            yield
        finally:
            self._toxiproxy.ask("DELETE", f"/proxies/{self.name}/toxics/{kind}")


class Toxiproxy:
    """The server of proxies; started on entry, ended on exit."""

    def __init__(self, directory: Path) -> None:
        self._port = free_port()
        directory.mkdir(parents=True, exist_ok=True)
        self._process = TetheredProcess(
            "toxiproxy",
            [str(toxiproxy_server()), "-host", LOOPBACK, "-port", str(self._port)],
            log=directory / "toxiproxy.log",
        )

    def proxy(self, name: str, upstream_port: int, port: int | None = None) -> Proxy:
        """A proxy on a free port, or this one."""
        made = Proxy(self, name, port or free_port())
        places = {"listen": f"{LOOPBACK}:{made.port}", "upstream": f"{LOOPBACK}:{upstream_port}"}
        self.ask("POST", "/proxies", {"name": name, "enabled": True, **places})
        return made

    def ask(self, method: str, path: str, body: object = None) -> None:
        """Tell the server something."""
        data = None if body is None else json.dumps(body).encode()
        with urlopen(Request(f"http://{LOOPBACK}:{self._port}{path}", data, method=method), timeout=5):
            pass

    def __enter__(self) -> Self:
        self._process.start()

        def problem() -> str | None:
            try:
                socket.create_connection((LOOPBACK, self._port), timeout=1).close()
            except OSError as error:
                return str(error)
            return None

        self._process.wait_ready(problem, START_S)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.stop(STOP_S)


if __name__ == "__main__":
    try:
        toxiproxy_server()
    except ToxiproxyError as error:
        sys.exit(str(error))
