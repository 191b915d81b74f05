"""A worker that fell behind judges the extremes of what waits, says so in a metric, and every event still recomputes."""

import os
import signal
import time
from decimal import Decimal

import msgspec
import pytest

from engine.effects import RiskEvent, Stream
from engine.inputs import Mark, MarkBatch
from engine.ladder import Band
from streams.pricing import BEHIND_NS_MAX
from tests.support.audit import audit
from tests.support.cluster import Cluster
from tests.support.inputs import deposit, fill
from tests.support.kafka_log import read_topic
from tests.support.redis_view import read_account
from tests.support.repeater import Repeater
from tests.support.sender import Sender
from tests.support.waiting import wait_for

pytestmark = pytest.mark.system

SYMBOL = "BTC-PERP"
START, LOWEST, STEP = 50_000, 42_000, 10
PER_RECORD = 100
PAUSE_S = 5 * BEHIND_NS_MAX / 1e9


def test_worker_when_marks_flood_it_while_it_stands_still_then_it_conflates_and_the_dip_is_still_judged(
    cluster: Cluster,
) -> None:
    sender = Sender(cluster.bootstrap)
    with Repeater(sender) as repeater:
        worker = cluster.worker().wait_ready()
        # 1000 + 0.1 * (42000 - 50000) = 200, of 42000 * 0.1 * 0.05 = 210 required: liquidation at the dip alone
        sender.inputs(deposit("dipped", "1000"), fill("dipped", "0.1"))
        # 1100 + 0.1 * (42000 - 50000) = 300, 1.43 of 210: a warning
        sender.inputs(deposit("warned", "1100"), fill("warned", "0.1"))
        for account in ("dipped", "warned"):
            wait_for(f"{account} holds", lambda a=account: _holds(cluster, a))
        wait_for("both are judged", lambda: worker.metric("margin_equity_value") >= 2100)
        with repeater.paused():
            flood = _dip_and_recovery()
            os.kill(worker.pid, signal.SIGSTOP)
            for first in range(0, len(flood), PER_RECORD):
                sender.prices(MarkBatch(tuple(flood[first : first + PER_RECORD])), SYMBOL)
            sender.flush()
            time.sleep(PAUSE_S)
            os.kill(worker.pid, signal.SIGCONT)
            wait_for(
                "the dip was judged", lambda: worker.metric("margin_mark_batches_total", judged="overload")
            )
        wait_for("the dip was told", lambda: len(_events(cluster, "dipped")) > 0)
        wait_for("all is published", lambda: worker.metric("margin_outbox_pending") == 0)
    sender.check()
    assert worker.metric("margin_marks_conflated_total") > 0.5 * len(flood)
    assert worker.metric("margin_marks_accepted_total", symbol=SYMBOL) > len(flood)
    at_worst = {account: _events(cluster, account)[0] for account in ("dipped", "warned")}
    assert {account: event.band for account, event in at_worst.items()} == {
        "dipped": Band.LIQUIDATION,
        "warned": Band.WARNING,
    }
    assert {event.marks[SYMBOL].price for event in at_worst.values()} == {Decimal(LOWEST)}
    assert worker.statuses == []
    audit(cluster)


def _dip_and_recovery() -> list[Mark]:
    """Down to the lowest price in steps that are no jumps, and back to where it began, a microsecond apart."""
    now_ns = time.time_ns()
    prices = [*range(START, LOWEST, -STEP), *range(LOWEST, START + 1, STEP)]
    return [
        Mark(SYMBOL, Decimal(price), now_ns // 1000 + number, now_ns + 1000 * number)
        for number, price in enumerate(prices)
    ]


def _holds(cluster: Cluster, account: str) -> bool:
    state = read_account(cluster.redis.url, account)
    return state is not None and bool(state.positions and state.balances)


def _events(cluster: Cluster, account: str) -> list[RiskEvent]:
    """What was said of the account's margin, in order."""
    records = read_topic(cluster.bootstrap, Stream.MARGIN_EVENTS)
    return [
        msgspec.json.decode(it.value or b"", type=RiskEvent) for it in records if it.key == account.encode()
    ]
