"""Constant prices of `inputs.MARKS`, repeated so that nothing goes stale."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Self

from engine.inputs import MarkBatch
from tests.support.inputs import MARKS, mark
from tests.support.sender import Sender

EVERY_S = 0.2


class Repeater:
    """A thread between entry and exit; every symbol under its own key, so that its order holds."""

    def __init__(self, sender: Sender) -> None:
        self._sender = sender
        self._sending, self._stopping = threading.Lock(), threading.Event()
        self._thread = threading.Thread(target=self._run, name="repeater", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopping.set()
        self._thread.join()

    @contextmanager
    def paused(self) -> Iterator[None]:
        """No marks but the caller's inside."""
        with self._sending:
            yield

    def _run(self) -> None:
        while not self._stopping.wait(EVERY_S):
            with self._sending:
                for symbol in MARKS:
                    self._sender.prices(MarkBatch(marks=(mark(symbol),)), key=symbol)
