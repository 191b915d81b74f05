"""Prices of a busy exchange never pause: a starting worker must not wait for a quiet moment."""

import threading

import pytest

from tests.support.cluster import Cluster
from tests.support.inputs import MARKS, mark
from tests.support.sender import Sender

pytestmark = pytest.mark.system

QUOTE_S = 0.005
"""Far below the time the worker's poll waits for a record."""
READY_S = 30.0


def test_worker_when_prices_never_pause_then_it_becomes_ready(cluster: Cluster) -> None:
    sender = Sender(cluster.bootstrap)
    quiet = threading.Event()

    def quote() -> None:
        while not quiet.wait(QUOTE_S):
            for symbol in MARKS:
                sender.prices(mark(symbol), symbol)

    quoting = threading.Thread(target=quote, daemon=True)
    quoting.start()
    try:
        cluster.worker().wait_ready(READY_S)
    finally:
        quiet.set()
        quoting.join()
    sender.check()
