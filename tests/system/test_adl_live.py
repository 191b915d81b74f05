"""A fund is stated, an account goes bankrupt beyond it: every contract's risk is told, once, whatever becomes of the worker."""

import time
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import msgspec
import pytest

from engine.events.adl_events import AdlEvent, AdlEventType
from engine.events.effects import Stream
from engine.liquidation.adl_risk import AdlLevel, AdlReason
from engine.liquidation.fund_groups import FundBalance
from streams.contract.cloudevents import read_event
from tests.support.cli import unimargin
from tests.support.cluster import POLICY_FILE, Cluster
from tests.support.inputs import MARKS, deposit, fill, mark
from tests.support.kafka_log import read_topic
from tests.support.sender import Sender
from tests.support.waiting import wait_for

pytestmark = pytest.mark.system

QUOTES = {**MARKS, "SOL-PERP": "150", "USD-PERP": "50000", "ADA-PERP": "1"}
RULES = "\n[deleveraging]\nrisk_hold_seconds = 1\n"
NAMED = ("BTC-PERP", "ETH-PERP")
"""What the fund pays for."""


class Run:
    """Prices that go on being sent, and what is said meanwhile."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster, self.sender = cluster, Sender(cluster.bootstrap)

    def until(self, what: str, done: Callable[[], bool]) -> None:
        """Send prices until it is so."""

        def attempt() -> bool:
            for symbol, price in QUOTES.items():
                self.sender.prices(mark(symbol, price), symbol)
            self.sender.flush()
            return done()

        wait_for(what, attempt)

    def state_fund(self, dollars: str) -> None:
        """The exchange says what the fund has."""
        fund = FundBalance(
            group="major", symbols=NAMED, balances={"USD": Decimal(dollars)}, time_ns=time.time_ns()
        )
        self.sender.send_now("fund", b"major", msgspec.json.encode(fund))

    def said(self, symbol: str) -> list[AdlEvent]:
        """Every event of a contract's risk, each once, in order."""
        events: dict[str, AdlEvent] = {}
        for record in read_topic(self.cluster.bootstrap, Stream.MARGIN_EVENTS):
            if record.headers["ce_type"] == AdlEventType.RISK_CHANGED:
                event = read_event(record.value or b"")
                assert isinstance(event, AdlEvent)
                assert events.setdefault(event.id, event) == event, "one id, two meanings"
                assert record.partition == self.cluster.partition_of(f"adl/{event.symbol}".encode())
        return [it for it in events.values() if it.symbol == symbol]


def test_risk_when_an_account_owes_more_than_the_fund_has_then_told_once_and_over_when_the_fund_is_filled(
    cluster: Cluster, tmp_path: Path
) -> None:
    run, policy = Run(cluster), tmp_path / "adl.toml"
    policy.write_text(POLICY_FILE.read_text() + RULES)
    run.state_fund("1000")
    worker = cluster.worker(POLICY_FILE=str(policy), FUND_TOPIC_ENABLED="true")
    worker.wait_ready()
    # 8,000 - 9,000, and 75 to close 50,000
    run.sender.inputs(deposit("alice", "8000"), fill("alice", "1", price="59000"))
    run.until("bitcoin is active", lambda: worker.metric("margin_adl_risk", symbol="BTC-PERP") == 2)
    run.until("ether is soon", lambda: worker.metric("margin_adl_risk", symbol="ETH-PERP") == 1)
    assert worker.metric("margin_fund_expected_shortfall", group="major") == 1075
    run.until("both are said", lambda: all(run.said(it) for it in NAMED))
    (active,), (soon,) = run.said("BTC-PERP"), run.said("ETH-PERP")
    assert (active.sequence, active.level, active.reason) == (1, AdlLevel.ACTIVE, AdlReason.SHORTFALL)
    assert (active.exposure.fund, active.exposure.expected_shortfall) == (1000, 1075)
    assert (soon.level, soon.exposure.expected_shortfall_of_symbol) == (AdlLevel.SOON, 0)

    worker.kill()
    worker.wait_ready()
    run.until("the gauge again", lambda: worker.metric("margin_adl_risk", symbol="BTC-PERP") == 2)
    assert run.said("BTC-PERP") == [active]
    env = {
        "UNIMARGIN_KAFKA_BOOTSTRAP_SERVERS": cluster.bootstrap,
        "UNIMARGIN_REDIS_URL": cluster.redis.url,
        "UNIMARGIN_POLICY_FILE": str(policy),
        "UNIMARGIN_FUND_TOPIC_ENABLED": "true",
    }
    assert "deleveraging risk: active since" in unimargin("adl", "BTC-PERP", "short", env=env).out

    run.state_fund("100000")
    run.until("it is over", lambda: worker.metric("margin_adl_risk") == 0)
    run.until("that is said", lambda: len(run.said("BTC-PERP")) > 1)
    assert [(it.sequence, it.level, it.reason) for it in run.said("BTC-PERP")[1:]] == [
        (2, AdlLevel.NONE, AdlReason.RELIEVED)
    ]
