"""Memory and descriptors of a worker process, looked at every few seconds."""

import threading
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.support.workers import Worker

EVERY_S = 5.0
MB = 1024.0
"""KB."""


class Sampling:
    """A thread that looks, between entry and exit."""

    def __init__(self, worker: Worker) -> None:
        self.rss_mb: list[float] = []
        self.descriptors: list[int] = []
        self._worker = worker
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="sampling", daemon=True)

    def wait(self, seconds: float) -> None:
        """Let time pass."""
        self._ended.wait(seconds)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._ended.wait(EVERY_S):
            if not self._worker.pid:
                continue
            process = Path("/proc") / str(self._worker.pid)
            lines = (process / "status").read_text().splitlines()
            self.rss_mb.append(
                round(next(int(it.split()[1]) for it in lines if it.startswith("VmRSS")) / MB, 1)
            )
            self.descriptors.append(len(list((process / "fd").iterdir())))
