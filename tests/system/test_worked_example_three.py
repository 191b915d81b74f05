"""Worked example 3 through a real Kafka and Redis: in one pool all positions go down together, segregated only the bad one.

    deposits 10,000          quantity   entry    mark     P&L      notional   MM = 5 %
    A  long BTC-PERP           0.8      47,500   50,000   +2,000     40,000      2,000
    B  long ETH-PERP          10         3,000    3,000        0     30,000      1,500
    C  long SOL-PERP (x 10)   20         187.5      150   -7,500     30,000      1,500
                                                          -5,500    100,000      5,000

The test is the exchange: it sells what the published plan says, naming the liquidation, and the episode ends.
"""

from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import msgspec
import pytest

from engine.events.effects import EventType, RiskEvent, Stream
from engine.inputs import MarginMode
from engine.ladder import Band
from engine.ledger.accounts import Execution, IsolatedPosition, Position
from engine.liquidation.plan import ReduceStep, TakeOverStep
from streams.contract.cloudevents import read_risk_event
from tests.support.cli import unimargin
from tests.support.cluster import POLICY_FILE, Cluster
from tests.support.inputs import MARKS, deposit, fill, mark
from tests.support.kafka_log import read_topic
from tests.support.redis_view import read_all
from tests.support.sender import Sender
from tests.support.waiting import wait_for
from tests.support.workers import Worker

pytestmark = pytest.mark.system

RULES = """
[liquidation]
partial = false
fee_rate = 0.0005
slippage_rate = 0.001
replan_seconds = 3600
stuck_seconds = 3600
"""
"""Whole positions; and one plan, however slow the machine."""
UNIFIED, SEGREGATED = "unified", "segregated"
HELD = (("BTC-PERP", "0.8", "47500"), ("ETH-PERP", "10", "3000"), ("SOL-PERP", "20", "187.5"))
RING_FENCED = {"BTC-PERP": "1000", "ETH-PERP": "2250", "SOL-PERP": "6750"}
"""Of the 10,000, so that A and B stand at 1.5: (1,000 + 2,000) / 2,000 and 2,250 / 1,500."""
INPUTS = 2 * (1 + len(HELD))
SOL = "SOL-PERP"
D = Decimal
T = EventType


class Market:
    """Prices that go on being sent, and what the worker says meanwhile."""

    def __init__(self, cluster: Cluster, sender: Sender) -> None:
        self._cluster, self._sender = cluster, sender
        self.quotes = {**MARKS, SOL: "187.5"}

    def until(self, what: str, done: Callable[[], bool]) -> None:
        """Send prices until it is so."""

        def attempt() -> bool:
            for symbol, price in self.quotes.items():
                self._sender.prices(mark(symbol, price), symbol)
            self._sender.flush()
            return done()

        wait_for(what, attempt)

    def said(self, account: str, stream: Stream | None = None) -> list[RiskEvent]:
        """Every event of an account, of both streams one after the other."""
        records = [
            it
            for topic in Stream
            if stream in {None, topic}
            for it in read_topic(self._cluster.bootstrap, topic)
        ]
        events = [read_risk_event(it.value or b"") for it in records]
        return [event for event in events if event is not None and event.account == account]

    def types(self, account: str, stream: Stream) -> list[EventType]:
        """What was said of an account, in order; progress once, however many fills one judgement saw."""
        types = [event.type for event in self.said(account, stream)]
        return [it for it, before in zip(types, [None, *types], strict=False) if it != before]

    def until_said(self, kind: EventType) -> None:
        """Until it is said of both accounts."""
        self.until(
            kind, lambda: all(kind in {it.type for it in self.said(who)} for who in (UNIFIED, SEGREGATED))
        )


@pytest.fixture
def rules(tmp_path: Path) -> Path:
    """The policy of the system tests, with liquidation of whole positions."""
    path = tmp_path / "whole.toml"
    shared, _, own = POLICY_FILE.read_text().partition("\n[liquidation]\n")
    # whatever the other tests liquidate by, up to the next table
    _, table, rest = own.partition("\n[")
    path.write_text(f"{shared}{table}{rest}\n{RULES}")
    return path


def test_cascade_when_pooled_then_all_goes_and_when_segregated_then_only_the_loser(
    cluster: Cluster, rules: Path
) -> None:
    sender = Sender(cluster.bootstrap)
    market = Market(cluster, sender)
    worker = cluster.worker(POLICY_FILE=str(rules))
    open_accounts(market, sender, worker)

    # C falls by 20 %, in steps that are believed
    market.quotes[SOL] = "170"
    market.until("a price of 170", lambda: True)
    market.quotes[SOL] = "166"
    # pooled: (10,000 + 2,000 - 4,300) / (3,500 + 1,660) = 1.49; C alone: (6,750 - 4,300) / 1,660 = 1.48
    market.until_said(T.WARNING_OPENED)
    market.quotes[SOL] = "150"
    market.until_said(T.LIQUIDATION_REQUESTED)

    execute_whole_account(market, sender)
    execute_the_loser(market, sender)
    market.until_said(T.LIQUIDATION_COMPLETED)
    check_the_end(cluster, market)
    worker.close()
    check_explained(cluster, market, rules)


def open_accounts(market: Market, sender: Sender, worker: Worker) -> None:
    """The same positions at the same entry prices, pooled and each with its own margin."""
    worker.wait_ready()
    sender.inputs(deposit(UNIFIED, "10000"), deposit(SEGREGATED, "10000"))
    for symbol, quantity, entry in HELD:
        own = {"margin_mode": MarginMode.ISOLATED, "margin_transfer": D(RING_FENCED[symbol])}
        sender.inputs(
            fill(UNIFIED, quantity, symbol, entry), fill(SEGREGATED, quantity, symbol, entry, **own)
        )
    market.until("all inputs applied", lambda: worker.metric("margin_inputs_applied_total") >= INPUTS)


def the_request(market: Market, account: str) -> RiskEvent:
    return next(it for it in market.said(account, Stream.LIQUIDATIONS) if it.type is T.LIQUIDATION_REQUESTED)


def execute_whole_account(market: Market, sender: Sender) -> None:
    request = the_request(market, UNIFIED)
    plan = request.plan
    assert plan is not None
    entered = next(it for it in market.said(UNIFIED, Stream.LIQUIDATIONS) if it.type is T.LIQUIDATION_ENTERED)
    assert (entered.position, entered.previous_band, entered.entered) == (
        None,
        Band.WARNING,
        Band.LIQUIDATION,
    )
    assert (request.position, request.band, request.verdict) == (None, Band.LIQUIDATION, entered.id)
    # 10,000 + 2,000 + 0 - 7,500 against 2,000 + 1,500 + 1,500
    assert (request.equity, request.maintenance_margin, str(request.ratio)) == (4_500, 5_000, "0.9")
    # every position frees as much per cost, so the largest loss goes first; the one in profit goes as well
    steps = [it for it in plan.steps if isinstance(it, ReduceStep)]
    assert [(it.symbol, it.side, it.quantity) for it in steps] == [
        (SOL, "sell", 20),
        ("ETH-PERP", "sell", 10),
        ("BTC-PERP", "sell", D("0.8")),
    ]
    assert (plan.outcome, len(plan.steps), plan.freed_margin) == ("exit", 3, 5_000)
    # (0.0005 + 0.001) * (30,000 + 30,000 + 40,000) = 45 + 45 + 60
    assert [it.expected_cost for it in steps] == [45, 45, 60]
    assert (plan.expected_cost, plan.equity_after, plan.requirement_after) == (150, 4_350, 0)
    for it in steps:
        assert it.limit_price is not None
        assert it.limit_price < it.mark
        sold = fill(UNIFIED, f"-{it.quantity}", it.symbol, str(it.mark), fee=it.expected_cost)
        sender.inputs(msgspec.structs.replace(sold, liquidation_id=request.liquidation_id))


def execute_the_loser(market: Market, sender: Sender) -> None:
    request = the_request(market, SEGREGATED)
    plan = request.plan
    assert plan is not None
    assert (request.position, request.band) == (SOL, Band.BANKRUPT)
    # 6,750 - 7,500
    assert (request.equity, request.maintenance_margin) == (-750, 1_500)
    (step,) = plan.steps
    assert isinstance(step, TakeOverStep)
    # 187.5 - 6,750 / (20 * 10)
    assert (step.symbol, step.quantity, step.price) == (SOL, 20, D("153.75"))
    # closing at market costs 0.0015 * 30,000 = 45, on top of the 750 that are missing
    assert (plan.outcome, plan.expected_cost, plan.expected_shortfall) == ("takeover", 45, 795)
    taken = fill(SEGREGATED, "-20", SOL, "153.75", margin_mode=MarginMode.ISOLATED)
    sender.inputs(msgspec.structs.replace(taken, liquidation_id=request.liquidation_id))


def check_the_end(cluster: Cluster, market: Market) -> None:
    # the band is left once the pool has been well for a second
    told = [it for it in market.types(UNIFIED, Stream.MARGIN_EVENTS) if it is not T.EXPLAINED]
    assert told == [
        T.WARNING_OPENED,
        T.REDUCE_ONLY_ESCALATED,
        T.REDUCE_ONLY_RESOLVED,
    ]
    assert market.types(UNIFIED, Stream.LIQUIDATIONS) == [
        T.LIQUIDATION_ENTERED,
        T.LIQUIDATION_REQUESTED,
        T.LIQUIDATION_PROGRESSED,
        T.LIQUIDATION_COMPLETED,
    ]
    assert market.types(SEGREGATED, Stream.LIQUIDATIONS) == [
        T.LIQUIDATION_ENTERED,
        T.ACCOUNT_BANKRUPT,
        T.LIQUIDATION_REQUESTED,
        T.LIQUIDATION_PROGRESSED,
        T.LIQUIDATION_COMPLETED,
    ]
    # of A and B nothing was ever said
    assert {event.position for event in market.said(SEGREGATED)} == {SOL}
    closed = {
        UNIFIED: (3, {"BTC-PERP": D("0.8"), "ETH-PERP": D(10), SOL: D(20)}),
        SEGREGATED: (1, {SOL: D(20)}),
    }
    for account, (fills, quantities) in closed.items():
        events = market.said(account)
        (name,) = {it.liquidation_id for it in events if it.liquidation_id is not None}
        assert len({event.episode_id for event in events}) == 1
        progress = [it.executed for it in events if it.type is T.LIQUIDATION_PROGRESSED]
        assert progress[-1] == Execution(str(name), fills, quantities)
        assert events[-1].ladder.band is Band.HEALTHY
    stored = read_all(cluster.redis.url)
    assert {account: stored.risks[account].pools for account in closed} == {UNIFIED: {}, SEGREGATED: {}}
    pooled, apart = stored.states[UNIFIED], stored.states[SEGREGATED]
    # 10,000 + 2,000 - 7,500 - 150
    assert (pooled.positions, pooled.balances) == ({}, {"USDT": 4_350})
    # A and B live on with what they had; C and its 6,750 are gone
    assert apart.balances == {}
    assert apart.isolated == {
        "BTC-PERP": IsolatedPosition(Position(D("0.8"), D(38_000)), D(1_000)),
        "ETH-PERP": IsolatedPosition(Position(D(10), D(30_000)), D(2_250)),
    }


def check_explained(cluster: Cluster, market: Market, rules: Path) -> None:
    """Every event follows from the log alone."""
    env = {"UNIMARGIN_KAFKA_BOOTSTRAP_SERVERS": cluster.bootstrap, "UNIMARGIN_POLICY_FILE": str(rules)}
    events = [*market.said(UNIFIED), *market.said(SEGREGATED)]
    for event in events:
        shown = unimargin("explain", event.id, env=env)
        assert (shown.code, shown.err) == (0, ""), f"{shown.err}{shown.out}"
        assert "MATCHES" in shown.out
