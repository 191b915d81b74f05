"""Child processes of a command that runs several: they die with it, and a crashed worker comes back.

A worker is crash-only: it ends rather than go on in doubt, and counts on someone to start it again. In a deployment
that is systemd or Kubernetes, here it is a `Supervisor`.
"""

import asyncio
import os
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from streams.embedded import tether

KILL_TIMEOUT_SECONDS = 10.0
"""What SIGKILL needs to take effect; only a process stuck in the kernel takes longer."""
BACKOFF_FIRST_SECONDS = 0.5
BACKOFF_SECONDS_MAX = 10.0
"""From a crash nobody notices to a pace that does not burden a broker that is coming back."""
STABLE_SECONDS = 30.0
"""A child that ran this long had started well: its next crash is a first one again."""
FINAL_STATUSES = frozenset({0, 2})
"""Ended in order, or was started with a mistake that a restart would only repeat."""


class ChildError(RuntimeError):
    """A child could not be started; the message names it and carries its last words."""


def unimargin(*arguments: str) -> tuple[str, ...]:
    """The command line that runs `unimargin ARGUMENTS` with this interpreter and installation."""
    return (sys.executable, "-m", "streams.cli", *arguments)


class ChildProcess:
    """One process that ends at the latest when this one does; may be started again after it ended.

    `name` stands in messages; all it prints is appended to the file `log`; `environment` comes on top of ours. Its
    session is its own, so Ctrl-C in a terminal reaches the starter only, which then stops its children in its order.
    """

    def __init__(
        self, name: str, command: Sequence[str], *, log: Path, environment: Mapping[str, str] | None = None
    ) -> None:
        """Prepare; nothing runs before `start`."""
        self.name = name
        self.command = tuple(command)
        self.log = log
        self._environment = dict(environment or {})
        self._tether: asyncio.subprocess.Process | None = None
        self._pid = 0

    @property
    def running(self) -> bool:
        """Whether it was started and has not ended since."""
        return self._tether is not None and self._tether.returncode is None

    @property
    def pid(self) -> int:
        """Process id of the command itself. Raises ChildError when it is not running."""
        if not self.running:
            raise ChildError(f"{self.name} is not running")
        return self._pid

    async def start(self) -> None:
        """Start it; it need not be ready yet. Raises ChildError when it cannot be started or runs already."""
        if self.running:
            raise ChildError(f"{self.name} already runs as process {self._pid}")
        with self.log.open("ab") as log:
            started = await asyncio.create_subprocess_exec(
                *(sys.executable, "-I", tether.__file__, *self.command),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
                env=os.environ | self._environment,
                start_new_session=True,
            )
        first_line = await started.stdout.readline() if started.stdout else b""
        if not first_line:
            await started.wait()
            raise ChildError(f"{self.name} could not be started; it said:\n{self.last_words()}")
        self._tether, self._pid = started, int(first_line)

    async def wait(self) -> int:
        """Its exit status once it ended, 128 + N if signal N ended it; 0 if it was never started."""
        if self._tether is None:
            return 0
        status = await self._tether.wait()
        if self._tether.stdin is not None:
            self._tether.stdin.close()
        return status

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the command itself; nothing happens when it has ended."""
        if self.running:
            with suppress(ProcessLookupError):
                os.kill(self._pid, number)

    async def stop(self, *, within_seconds: float) -> int:
        """Ask it to end (SIGTERM), kill it when it takes longer than the bound; its exit status."""
        self.signal(signal.SIGTERM)
        try:
            return await asyncio.wait_for(self.wait(), within_seconds)
        except TimeoutError:
            return await self.kill()

    async def kill(self) -> int:
        """End it with SIGKILL, as a crash would; its exit status."""
        self.signal(signal.SIGKILL)
        return await asyncio.wait_for(self.wait(), KILL_TIMEOUT_SECONDS)

    def last_words(self, lines: int = 8) -> str:
        """The last lines of its log."""
        text = self.log.read_text(encoding="utf-8", errors="replace") if self.log.exists() else ""
        return "\n".join(text.splitlines()[-lines:]) or "(nothing)"


class Supervisor:
    """Keeps `child` running: starts it again after a crash, each time in a row a little later.

    It gives up when the child ended in order or by its user's mistake (`FINAL_STATUSES`), or after `restarts_max`
    crashes in a row, none of them after `STABLE_SECONDS` of running.
    """

    def __init__(
        self,
        child: ChildProcess,
        *,
        restarts_max: int | None = None,
        backoff_first_seconds: float = BACKOFF_FIRST_SECONDS,
    ) -> None:
        """`restarts_max` None: never give up."""
        self.child = child
        self.restarts = 0
        self._restarts_max = restarts_max
        self._backoff_first_seconds = backoff_first_seconds
        self._stopping = asyncio.Event()
        self._task: asyncio.Task[int] | None = None

    @property
    def status(self) -> int | None:
        """The child's last exit status once it will not be started again, else None. Raises what a start raised."""
        return self._task.result() if self._task is not None and self._task.done() else None

    async def start(self) -> None:
        """Start the child and watch over it from now on. Raises ChildError when it cannot be started."""
        self._stopping.clear()
        await self.child.start()
        self._task = asyncio.create_task(self._watch(), name=f"supervisor of {self.child.name}")

    async def stop(self, *, within_seconds: float) -> None:
        """Stop the child for good, by SIGKILL when it takes longer than the bound."""
        self._stopping.set()
        await self.child.stop(within_seconds=within_seconds)
        if self._task is not None:
            await asyncio.gather(self._task, return_exceptions=True)

    async def _watch(self) -> int:
        in_a_row = 0
        while True:
            began = time.monotonic()
            status = await self.child.wait()
            if time.monotonic() - began >= STABLE_SECONDS:
                in_a_row = 0
            if self._stopping.is_set() or status in FINAL_STATUSES or in_a_row == self._restarts_max:
                return status
            pause_seconds = min(self._backoff_first_seconds * 2**in_a_row, BACKOFF_SECONDS_MAX)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), pause_seconds)
                return status
            await self.child.start()
            if self._stopping.is_set():  # asked for while it was being started
                return await self.child.kill()
            self.restarts += 1
            in_a_row += 1
