"""What a network does to a worker: each fault in turn, for as long as given, on whatever passes one proxy."""

import threading
from collections.abc import Callable
from contextlib import AbstractContextManager

from tests.support.toxiproxy import Proxy

Fault = Callable[[Proxy], AbstractContextManager[None]]

FAULTS: dict[str, Fault] = {
    "latency": lambda proxy: proxy.toxic("latency", latency=150, jitter=100),
    "reset after the request": lambda proxy: proxy.toxic("reset_peer", timeout=0),
    "half-open": lambda proxy: proxy.toxic("timeout", timeout=0),
    "requests swallowed": lambda proxy: proxy.toxic("timeout", downstream=False, timeout=0),
    "bandwidth": lambda proxy: proxy.toxic("bandwidth", rate=100),
}
"""What the server says is late; comes to an end once it says something, so that what was asked for was done; is never heard; or what it
is asked is not; 100 KB come through in a second."""


def suffer(proxy: Proxy, fault: str, seconds: float) -> None:
    """Have everything that passes suffer for so long."""
    with FAULTS[fault](proxy):
        threading.Event().wait(seconds)
