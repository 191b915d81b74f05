"""Real worker processes: started as an operator would, killed as a machine would, restarted as docker would."""

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self
from urllib.error import HTTPError, URLError
from urllib.request import urlopen

from prometheus_client.parser import text_string_to_metric_families

from streams.embedded import tether
from tests.support.waiting import wait_for

TREE = Path(__file__).resolve().parents[2]
WORKER_COMMAND = (sys.executable, "-m", "streams.cli", "worker")
START_S = 90.0
"""Imports, compiled kernels from their cache, group join: 5 s on an idle machine."""
STOP_S = 40.0
RESTART_PAUSE_S = 0.1
KILLED = 128 + signal.SIGKILL


class Answer(NamedTuple):
    """What an HTTP endpoint of the worker said."""

    status: int
    body: str


class Worker:
    """One worker that comes back after every end but an orderly one, as `restart: on-failure` does.

    `environment` gives the UNIMARGIN_* variables; `worker_id` is called at each start. All its output goes to `log`.
    It runs in `directory`.
    """

    def __init__(
        self,
        name: str,
        environment: Mapping[str, str],
        log: Path,
        *,
        worker_id: Callable[[], str] | None = None,
        command: Sequence[str] = WORKER_COMMAND,
        directory: Path = TREE,
    ) -> None:
        self.name, self.log = name, log
        self.statuses: list[int] = []
        """How each of its processes ended, oldest first."""
        self._environment = dict(environment)
        self._worker_id = worker_id or (lambda: name)
        self._command = tuple(command)
        self._directory = directory
        self._tether: subprocess.Popen[bytes] | None = None
        self._pid = 0
        self._log_from = 0
        self._may_start = threading.Event()
        self._closing = False
        self._changed = threading.Condition()
        self._keeper: threading.Thread | None = None

    @property
    def pid(self) -> int:
        """Process id; 0 while it is down."""
        return self._pid

    def start(self) -> Self:
        """Start it and keep it running from now on."""
        self._may_start.set()
        self._launch()
        self._keeper = threading.Thread(target=self._keep, name=f"keeper of {self.name}", daemon=True)
        self._keeper.start()
        return self

    def kill(self, *, hold_down: bool = False) -> None:
        """SIGKILL; it comes back at once, or only after `release`. Returns when the process has ended."""
        if hold_down:
            self._may_start.clear()
        self._end(signal.SIGKILL)

    def release(self) -> None:
        """Let a worker that was held down start again."""
        self._may_start.set()

    def terminate(self) -> int:
        """SIGTERM as a deployment does; its exit status, KILLED if it did not end within STOP_S."""
        self._closing = True
        self._end(signal.SIGTERM)
        self._closed()
        return self.statuses[-1]

    def close(self) -> None:
        """End it for good, at once."""
        self._closing = True
        self._may_start.set()
        self._end(signal.SIGKILL)
        self._closed()

    def wait_end(self, count: int, seconds_max: float = STOP_S) -> int:
        """Return the status of its `count`-th end (1 for the first)."""
        with self._changed:
            ended = self._changed.wait_for(lambda: len(self.statuses) >= count, seconds_max)
        assert ended, f"{self.name} did not end {count} times within {seconds_max:g} s\n{self.last_words()}"
        return self.statuses[count - 1]

    def wait_ready(self, seconds_max: float = START_S) -> Self:
        """Return once /readyz says 200: prices caught up, every assigned shard running."""
        try:
            wait_for(f"{self.name} is ready", lambda: self.ready() is None, seconds_max)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.ready()}\n{self.last_words()}") from None
        return self

    def ready(self) -> str | None:
        """None when it is ready, else why not."""
        answer = self.get("/readyz")
        return None if answer.status == 200 else f"{answer.status}: {answer.body}"

    def get(self, path: str) -> Answer:
        """Ask its HTTP address; status 0 when there is no answer."""
        address = self.address()
        if address is None:
            return Answer(0, "it does not listen yet")
        try:
            with urlopen(f"http://{address}{path}", timeout=5) as response:
                return Answer(response.status, response.read().decode())
        except HTTPError as error:
            return Answer(error.code, error.read().decode())
        except (URLError, OSError) as error:
            return Answer(0, str(error))

    def address(self) -> str | None:
        """host:port of its metrics, as its log says; None before that."""
        for line in reversed(self.events("health_listens")):
            return f"{line['host']}:{line['port']}"
        return None

    def metric(self, name: str, **labels: str) -> float:
        """Sum of the samples of `name` that carry `labels`; 0 where there is none or no answer."""
        text = self.get("/metrics").body
        if not text.startswith("#"):
            return 0.0
        return sum(
            sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
            if sample.name == name and labels.items() <= sample.labels.items()
        )

    def events(self, name: str) -> list[dict[str, Any]]:
        """Log lines of this name that its current process wrote."""
        found = []
        for line in self._current_log().splitlines():
            if f'"event": "{name}"' in line:
                with suppress(json.JSONDecodeError):
                    found.append(json.loads(line))
        return found

    def last_words(self, lines: int = 30) -> str:
        """The end of its log, for messages."""
        text = self.log.read_text(errors="replace") if self.log.exists() else ""
        return f"-- {self.log}, statuses {self.statuses}\n" + "\n".join(text.splitlines()[-lines:])

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _current_log(self) -> str:
        with self.log.open("rb") as log:
            log.seek(self._log_from)
            return log.read().decode(errors="replace")

    def _launch(self) -> None:
        self.log.touch()
        self._log_from = self.log.stat().st_size
        environment = {"UNIMARGIN_WORKER_ID": self._worker_id(), **self._environment}
        with self.log.open("ab") as log:
            self._tether = subprocess.Popen(
                [sys.executable, "-I", tether.__file__, *self._command],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                cwd=self._directory,
                env=os.environ | environment,
                start_new_session=True,
            )
        first_line = self._tether.stdout.readline() if self._tether.stdout else b""
        assert first_line, f"{self.name} could not be started\n{self.last_words()}"
        self._pid = int(first_line)

    def _keep(self) -> None:
        while True:
            assert self._tether is not None
            status = self._tether.wait()
            for stream in (self._tether.stdin, self._tether.stdout):
                if stream is not None:
                    stream.close()
            self._pid = 0
            with self._changed:
                self.statuses.append(status)
                self._changed.notify_all()
            threading.Event().wait(RESTART_PAUSE_S)
            # after the pause: who is held down while it is down already must not come back
            self._may_start.wait()
            if self._closing or status == 0:
                return
            self._launch()
            if not self._may_start.is_set():
                # held down while it was being launched, before it had a number to be killed by
                with suppress(ProcessLookupError):
                    os.kill(self._pid, signal.SIGKILL)

    def _end(self, number: signal.Signals) -> None:
        ends, pid = len(self.statuses), self._pid
        if not pid:
            return
        with suppress(ProcessLookupError):
            os.kill(pid, number)
        with self._changed:
            if not self._changed.wait_for(lambda: len(self.statuses) > ends, STOP_S):
                os.kill(pid, signal.SIGKILL)
                self._changed.wait_for(lambda: len(self.statuses) > ends, STOP_S)

    def _closed(self) -> None:
        while self._keeper is not None and self._keeper.is_alive():
            # Between its look at `_closing` and a start the keeper may have launched once more.
            with suppress(ProcessLookupError):
                if self._pid:
                    os.kill(self._pid, signal.SIGKILL)
            self._keeper.join(RESTART_PAUSE_S)
