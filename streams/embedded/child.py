"""A server process that dies with this one, and whose failures say what the server said."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from streams.embedded import tether
from streams.embedded.embedded_errors import EmbeddedServiceError

POLL_INTERVAL_S = 0.02
LOG_TAIL_LINES = 30
# What SIGKILL needs to take effect; only a process stuck in the kernel takes longer.
KILL_TIMEOUT_S = 10.0


class TetheredProcess:
    """One server, started through `tether`, able to be stopped or killed and started again.

    `name` stands in messages; the server's output is appended to the file `log`. Its session is its own, so Ctrl-C
    in a terminal reaches the starter only, which then stops its servers in the order it needs.
    """

    def __init__(self, name: str, command: Sequence[str], log: Path) -> None:
        self.name = name
        self.command = tuple(command)
        self.log = log
        self._tether: subprocess.Popen[bytes] | None = None
        self._pid = 0

    @property
    def running(self) -> bool:
        """Whether the server was started and has not ended since."""
        return self._tether is not None and self._tether.poll() is None

    @property
    def pid(self) -> int:
        """The server's own process id. Raises EmbeddedServiceError when it is not running."""
        if not self.running:
            raise EmbeddedServiceError(f"{self.name} is not running")
        return self._pid

    def start(self) -> int:
        """Start the server and return its process id; it need not be ready yet, and may have ended already.

        Raises EmbeddedServiceError when it cannot be started.
        """
        if self.running:
            raise EmbeddedServiceError(f"{self.name} is already running as process {self._pid}")
        self._close()
        with self.log.open("ab") as log:
            started = subprocess.Popen(  # noqa: S603  a fixed command, no shell
                [sys.executable, "-I", tether.__file__, *self.command],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                start_new_session=True,
            )
        self._tether = started
        first_line = started.stdout.readline() if started.stdout else b""
        if not first_line:
            raise self.failure("could not be started")
        self._pid = int(first_line)
        return self._pid

    def wait_ready(self, problem: Callable[[], str | None], timeout_s: float) -> None:
        """Return once `problem()` is None. It returns in words why the server is not ready yet.

        Raises EmbeddedServiceError, after killing the server, when it ends or `timeout_s` seconds pass before that.
        """
        deadline_s = time.monotonic() + timeout_s
        while self.running:
            last = problem()
            if last is None:
                return
            if time.monotonic() > deadline_s:
                self.kill()
                raise self.failure(f"was not ready after {timeout_s:g} s ({last})")
            time.sleep(POLL_INTERVAL_S)
        raise self.failure("ended while starting")

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the server itself; nothing happens when it has ended."""
        if self.running:
            with suppress(ProcessLookupError):
                os.kill(self._pid, number)

    def stop(self, timeout_s: float) -> None:
        """Ask the server to end (SIGTERM), kill it after `timeout_s` seconds, and return once it has ended."""
        self.signal(signal.SIGTERM)
        self._wait_end(timeout_s)

    def kill(self) -> None:
        """End the server with SIGKILL and return once it has ended and its port is free."""
        self.signal(signal.SIGKILL)
        self._wait_end(KILL_TIMEOUT_S)

    def failure(self, what: str) -> EmbeddedServiceError:
        """Return the error that says `what` happened together with the last lines of the server's output."""
        text = self.log.read_text(errors="replace") if self.log.exists() else ""
        tail = "\n".join(text.splitlines()[-LOG_TAIL_LINES:]) or "(nothing)"
        return EmbeddedServiceError(
            f"{self.name} {what}\ncommand: {' '.join(self.command)}\nit said:\n{tail}"
        )

    def _wait_end(self, timeout_s: float) -> None:
        if self._tether is None:
            return
        try:
            self._tether.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self.signal(signal.SIGKILL)
            self._tether.wait(KILL_TIMEOUT_S)
        self._close()

    def _close(self) -> None:
        if self._tether is not None:
            for stream in (self._tether.stdin, self._tether.stdout):
                if stream is not None:
                    stream.close()
