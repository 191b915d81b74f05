"""Ctrl-C for commands that a test starts."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def heeding_ctrl_c() -> Iterator[None]:
    """Start a process in here and it heeds SIGINT, however the tests were started.

    A shell starts what runs in its background with SIGINT ignored, and a process that is started inherits that. What
    it does not inherit is a handler.
    """
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
