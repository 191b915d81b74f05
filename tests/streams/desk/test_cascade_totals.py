"""Liquidated notional as a board shows it: by hand, from events as their topic carries them."""

from decimal import Decimal
from typing import Any

import msgspec

from engine.events.effects import EventType, MarkUsed
from engine.ledger.accounts import Execution
from engine.liquidation.plan import LiquidationPlan, ReduceStep, TakeOverStep
from streams.desk.cascade_totals import CascadeTotals
from tests.streams.contract.test_cloudevents import EVENT
from tests.support.builders import prices, sample

QUOTES = {"USDT-USD": "0.5", "BTC-PERP": 100, "ETH-PERP": 10}
REDUCE = ReduceStep(
    symbol="BTC-PERP",
    leg=None,
    side="sell",
    quantity=Decimal(3),
    limit_price=None,
    mark=Decimal(100),
    expected_cost=Decimal(0),
    freed_margin=Decimal(0),
)
TAKE = TakeOverStep(
    symbol="ETH-PERP", leg=None, side="buy", quantity=Decimal(2), price=Decimal(9), mark=Decimal(10)
)


def event(
    number: int, kind: EventType, account: str = "one", marks: dict[str, int] | None = None, **fields: Any
) -> bytes:
    used = {symbol: MarkUsed(Decimal(price), 1, 1) for symbol, price in (marks or {}).items()}
    said = msgspec.structs.replace(
        EVENT, type=kind, sequence=number, account=account, position=None, marks=used, **fields
    )
    return msgspec.json.encode(said)


def requested(number: int, account: str = "one", *steps: Any) -> bytes:
    plan = LiquidationPlan(outcome="exit", exit_line=Decimal("1.02"), steps=steps or (REDUCE, TAKE))
    return event(number, EventType.LIQUIDATION_REQUESTED, account, plan=plan)


def progressed(number: int, closed: str, marks: dict[str, int], liquidation: str = "l1") -> bytes:
    done = Execution(liquidation, 1, {"BTC-PERP": Decimal(closed)})
    return event(number, EventType.LIQUIDATION_PROGRESSED, marks=marks, executed=done)


def totals() -> CascadeTotals:
    policy, market = sample(), prices(QUOTES)
    return CascadeTotals(policy, lambda: market)


def test_report_when_a_plan_is_asked_for_then_its_contracts_count_until_a_newer_plan_or_the_end() -> None:
    cascade = totals()
    cascade.take(requested(1))
    cascade.take(requested(1, "two", TAKE))
    # 3 BTC * 100 * 0.5, and twice 2 ETH * 10 * 0.5
    assert cascade.report().requested == {"BTC-PERP": Decimal(150), "ETH-PERP": Decimal(20)}
    cascade.take(requested(2, "one", TAKE))
    assert cascade.report().requested == {"ETH-PERP": Decimal(20)}
    cascade.take(event(3, EventType.LIQUIDATION_COMPLETED))
    cascade.take(requested(2, "one", TAKE))  # published again
    report = cascade.report()
    assert (report.requested, report.requests, report.completed) == ({"ETH-PERP": Decimal(10)}, 1, 1)
    assert report.since_ns == EVENT.time_ns


def test_report_when_fills_close_then_each_counts_once_at_the_mark_of_its_event() -> None:
    cascade = totals()
    cascade.take(progressed(1, "2", {"BTC-PERP": 90}))
    cascade.take(progressed(1, "2", {"BTC-PERP": 90}))  # published twice
    assert cascade.report().executed == {"BTC-PERP": Decimal(90)}  # 2 * 90 * 0.5
    # the position is gone, so the event names no mark of it: 1 more at 100
    cascade.take(progressed(2, "3", {}))
    assert cascade.report().executed == {"BTC-PERP": Decimal(140)}
    # another liquidation begins at nothing; its event names the index of then: 1 * 80 * 2
    cascade.take(progressed(3, "1", {"BTC-PERP": 80, "USDT-USD": 2}, "l2"))
    assert cascade.report().executed == {"BTC-PERP": Decimal(300)}


def test_report_when_an_event_cannot_be_read_then_it_counts_nothing() -> None:
    cascade = totals()
    for value in (b"", b"{}", b"\xff", b'{"type": "liquidation.thought_of"}'):
        cascade.take(value)
    assert cascade.report().since_ns is None
