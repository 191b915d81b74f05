"""A worker that fell behind judges the extremes of what waits, says so in a metric, and every event still recomputes."""

import os
import signal
import time
from decimal import Decimal

import msgspec
import pytest

from engine.events.effects import RiskEvent, Stream
from engine.inputs import Mark, MarkBatch
from engine.ladder import SEVERITY, Band
from streams.prices.price_desk import BEHIND_NS_MAX
from tests.support.audit import audit, unsettled
from tests.support.cluster import Cluster
from tests.support.inputs import MARKS, deposit, fill, mark
from tests.support.kafka_log import read_topic
from tests.support.redis_view import read_account
from tests.support.repeater import Repeater
from tests.support.sender import Sender
from tests.support.settling import SETTLE_S
from tests.support.waiting import wait_for, wait_until_none

pytestmark = pytest.mark.system

SYMBOL = "BTC-PERP"
# a fall of 9 % is no jump
START, LAST_BEFORE, LOWEST = 50_000, 45_510, 45_500
PAUSE_S = 5 * BEHIND_NS_MAX / 1e9


def test_worker_when_marks_flood_it_while_it_stands_still_then_it_conflates_and_the_dip_is_still_judged(
    cluster: Cluster,
) -> None:
    sender = Sender(cluster.bootstrap)
    with Repeater(sender) as repeater:
        worker = cluster.worker().wait_ready()
        # 677 + 0.1 * (45500 - 50000) = 227, of 45500 * 0.1 * 0.05 = 227.5 required: liquidation at the dip alone, for at 45510
        # it is 228 of 227.55
        sender.inputs(deposit("dipped", "677"), fill("dipped", "0.1"))
        # 760 + 0.1 * (45500 - 50000) = 310, 1.36 of 227.5: a warning
        sender.inputs(deposit("warned", "760"), fill("warned", "0.1"))
        for account in ("dipped", "warned"):
            wait_for(f"{account} holds", lambda a=account: _holds(cluster, a))
        wait_for("both are judged", lambda: worker.metric("margin_equity_value") >= 1420)
        with repeater.paused():
            flood = _dip_and_recovery()
            os.kill(worker.pid, signal.SIGSTOP)
            for it in flood:  # each an instant of its own
                sender.prices(MarkBatch((it,)), SYMBOL)
            sender.flush()
            time.sleep(PAUSE_S)
            os.kill(worker.pid, signal.SIGCONT)
            wait_for(
                "the flood was taken",
                lambda: worker.metric("margin_marks_accepted_total", symbol=SYMBOL) > len(flood),
            )
        # the flood may come in several batches, of which the first says no more than a warning
        wait_for(
            "the dip was told",
            lambda: any(it.band is Band.LIQUIDATION for it in _verdicts(cluster, "dipped")),
        )
        held = {symbol: mark(symbol) for symbol in MARKS}
        wait_until_none("all is said and published", lambda: unsettled(cluster, held), SETTLE_S)
    sender.check()
    assert worker.metric("margin_instants_conflated_total") > 0.5 * len(flood)
    assert worker.metric("margin_mark_batches_total", judged="overload") > 0
    # what waited may have come in several batches, and each is judged at its lowest
    at_dip = _worst(cluster, "dipped")
    assert at_dip.band is Band.LIQUIDATION
    assert at_dip.marks[SYMBOL].price == Decimal(LOWEST)
    assert _worst(cluster, "warned").band is Band.WARNING
    assert worker.statuses == []
    audit(cluster)


def _dip_and_recovery() -> list[Mark]:
    """Down to the lowest price and back to where it began, a microsecond apart."""
    now_ns = time.time_ns()
    # so many that they are a large batch also where a busy machine brings them in several
    prices = [*range(START, LAST_BEFORE - 1, -1), LOWEST, *range(LAST_BEFORE, START + 1)]
    return [
        Mark(SYMBOL, Decimal(price), now_ns // 1000 + number, now_ns + 1000 * number)
        for number, price in enumerate(prices)
    ]


def _holds(cluster: Cluster, account: str) -> bool:
    state = read_account(cluster.redis.url, account)
    return state is not None and bool(state.positions and state.balances)


def _worst(cluster: Cluster, account: str) -> RiskEvent:
    return max(_verdicts(cluster, account), key=lambda it: SEVERITY[it.band])


def _verdicts(cluster: Cluster, account: str) -> list[RiskEvent]:
    """What was said of the account when it came into a worse band; what comes behind is of later prices."""
    records = [it for stream in Stream for it in read_topic(cluster.bootstrap, stream)]
    events = [
        msgspec.json.decode(it.value or b"", type=RiskEvent) for it in records if it.key == account.encode()
    ]
    return [it for it in events if it.entered is not None]
