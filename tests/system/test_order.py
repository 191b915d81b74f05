"""The two input topics come in no fixed order; an account is judged only when both have been read to one instant."""

import os
import signal

import msgspec
import pytest

from engine.inputs import Topic
from tests.support.cluster import Cluster
from tests.support.inputs import MARKS, deposit, fill, mark
from tests.support.kafka_log import read_topic
from tests.support.redis_view import read_account
from tests.support.sender import Sender
from tests.support.waiting import wait_for

pytestmark = pytest.mark.system

FILLERS = 20_000
"""Ledger entries ahead of the deposits that matter: seconds of a worker's time, while the fills come at once."""
ACCOUNTS = [f"owner-{number}" for number in range(40)]


def test_fill_when_read_long_before_the_deposit_that_paid_for_it_then_nobody_is_called(
    cluster: Cluster,
) -> None:
    worker = cluster.worker(KAFKA_SESSION_TIMEOUT_SECONDS="30")
    sender = Sender(cluster.bootstrap)

    def quote() -> None:
        for symbol in MARKS:
            sender.prices(mark(symbol), symbol)

    quote()
    worker.wait_ready()
    # else it would keep up with their sending
    os.kill(worker.pid, signal.SIGSTOP)
    for number in range(FILLERS):
        filler = deposit(f"filler-{number % 500}", "1", entry_id=f"f-{number}")
        sender.send(Topic.LEDGER, filler.account.encode(), msgspec.json.encode(filler))
    sender.inputs(*(deposit(account, "2000") for account in ACCOUNTS))
    sender.inputs(*(fill(account, "0.1") for account in ACCOUNTS))
    os.kill(worker.pid, signal.SIGCONT)
    late = dict.fromkeys(ACCOUNTS, 0)

    def all_applied() -> bool:
        quote()
        for account in ACCOUNTS:
            state = read_account(cluster.redis.url, account)
            if state is not None and state.positions and not state.balances:
                late[account] += 1
            if state is None or not (state.positions and state.balances):
                return False
        return True

    wait_for("every fill and deposit is applied", all_applied, 120)
    assert any(late.values()), "no fill was applied before its deposit: the test proves nothing"
    wait_for(
        "every account is judged", lambda: worker.metric("margin_equity_value") >= 2000 * len(ACCOUNTS), 30
    )
    said = [
        record
        for topic in ("margin-events", "liquidations")
        for record in read_topic(cluster.bootstrap, topic)
    ]
    assert not said, f"{len(said)} events about accounts that were always covered"
