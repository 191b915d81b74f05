"""A job writes absurd funding to every account: nobody is liquidated for it, whatever becomes of the worker, until an operator decides."""

import time
from collections import Counter
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import pytest

from engine.events.breaker_events import BreakerEvent, BreakerEventType
from engine.events.effects import EventType, RiskEvent, Stream
from engine.inputs import FundingPayment
from streams.contract.cloudevents import read_event
from tests.support.cli import unimargin
from tests.support.cluster import PARTITIONS, POLICY_FILE, Cluster
from tests.support.inputs import MARKS, deposit, fill, mark
from tests.support.kafka_log import read_topic
from tests.support.sender import Sender
from tests.support.waiting import wait_for
from tests.support.workers import Worker

pytestmark = pytest.mark.system

ACCOUNTS = [f"a-{number:02}" for number in range(40)]
QUOTES = {**MARKS, "SOL-PERP": "150", "USD-PERP": "50000", "ADA-PERP": "1"}
"""Every price symbol, so that a replay judges from the first of them."""
RULES = "\n[breaker]\naccounts_min = 2\nwindow_seconds = 600\n"


class Run:
    """Prices that go on being sent, and what is said meanwhile."""

    def __init__(self, cluster: Cluster, policy: Path) -> None:
        self.cluster, self.sender = cluster, Sender(cluster.bootstrap)
        self.env = {
            "UNIMARGIN_KAFKA_BOOTSTRAP_SERVERS": cluster.bootstrap,
            "UNIMARGIN_REDIS_URL": cluster.redis.url,
            "UNIMARGIN_POLICY_FILE": str(policy),
            "UNIMARGIN_OPERATOR_TOPIC_ENABLED": "true",
        }

    def until(self, what: str, done: Callable[[], bool]) -> None:
        """Send prices until it is so."""

        def attempt() -> bool:
            for symbol, price in QUOTES.items():
                self.sender.prices(mark(symbol, price), symbol)
            self.sender.flush()
            return done()

        wait_for(what, attempt)

    def said(self) -> list[RiskEvent | BreakerEvent]:
        """Every event of both streams, each once."""
        records = [it for topic in Stream for it in read_topic(self.cluster.bootstrap, topic)]
        return list({it.headers["ce_id"]: read_event(it.value or b"") for it in records}.values())

    def count(self, kind: EventType | BreakerEventType) -> int:
        """How many events of a type there are."""
        return Counter(event.type for event in self.said())[kind]

    def breakers(self) -> list[dict[str, object]]:
        """`unimargin breaker show --json`: one item a shard."""
        said = unimargin("breaker", "show", "--json", env=self.env)
        assert said.code == 0, said.err
        found: list[dict[str, object]] = said.json
        return found


@pytest.fixture
def policy(tmp_path: Path) -> Path:
    """The policy of the system tests, with a breaker."""
    path = tmp_path / "breaker.toml"
    path.write_text(POLICY_FILE.read_text() + RULES)
    return path


def test_breaker_when_funding_is_wrong_and_the_worker_is_killed_then_held_until_an_operator_releases(
    cluster: Cluster, policy: Path
) -> None:
    run = Run(cluster, policy)
    worker = cluster.worker(POLICY_FILE=str(policy), OPERATOR_TOPIC_ENABLED="true")
    worker.wait_ready()
    open_accounts(run, worker)

    liquidated = ruin_everybody(run)
    held = len(ACCOUNTS) - liquidated
    # of each shard fewer than two, or a fifth, before it was too much
    assert liquidated <= PARTITIONS * 2

    worker.kill()
    worker.wait_ready()
    run.until("the gauge again", lambda: worker.metric("margin_liquidations_held") == held)
    assert worker.metric("margin_breaker_open") == PARTITIONS
    assert run.count(EventType.LIQUIDATION_ENTERED) == liquidated
    check_explained(run)

    decided = unimargin(
        "breaker", "release", "--who", "desk", "--why", "the exchange confirms it", env=run.env
    )
    assert decided.code == 0, decided.err
    run.until("all are requested", lambda: run.count(EventType.LIQUIDATION_REQUESTED) >= len(ACCOUNTS))
    assert not any(it["open"] for it in run.breakers())
    released = [it for it in run.said() if it.type is BreakerEventType.RELEASED]
    assert [(it.who, it.why) for it in released if isinstance(it, BreakerEvent)] == [
        ("desk", "the exchange confirms it")
    ] * PARTITIONS
    replayed = unimargin("replay", "--from-topics", "--json", env=run.env)
    assert replayed.code == 0, replayed.err
    assert replayed.json["by_type"]["engine.liquidations_released"] == PARTITIONS
    requested = {it.account for it in run.said() if isinstance(it, RiskEvent) and it.liquidation_id}
    assert requested == set(ACCOUNTS)


def open_accounts(run: Run, worker: Worker) -> None:
    """1 BTC each on 8,000: 5 % of 50,000 is 2,500."""
    run.sender.inputs(*(it for name in ACCOUNTS for it in (deposit(name, "8000"), fill(name, "1"))))
    run.until(
        "all inputs applied",
        lambda: worker.metric("margin_inputs_applied_total") >= 2 * len(ACCOUNTS),
    )


def ruin_everybody(run: Run) -> int:
    """The job runs; returns how many were liquidated before the breakers of all shards opened."""
    run.sender.inputs(
        *(
            FundingPayment(
                account=name,
                time_ns=time.time_ns(),
                entry_id=f"f-{name}",
                symbol="BTC-PERP",
                amount=Decimal(-7_000),
            )
            for name in ACCOUNTS
        )
    )
    run.until("every breaker is open", lambda: sum(bool(it["open"]) for it in run.breakers()) == PARTITIONS)

    def all_told() -> bool:
        held = sum(it["state"]["held"]["accounts"] for it in run.breakers())  # type: ignore[index]
        return held + run.count(EventType.LIQUIDATION_ENTERED) == len(ACCOUNTS)

    run.until("everybody is held or liquidated", all_told)
    opened = [it for it in run.said() if it.type is BreakerEventType.HELD and isinstance(it, BreakerEvent)]
    assert len(opened) == PARTITIONS
    for event in opened:
        assert event.opening.cause.kind in {"batch", "window"}
        (taken,) = event.opening.cause.inputs
        assert (taken.topic, list(taken.kinds)) == ("ledger", ["funding_payment"])
    return run.count(EventType.LIQUIDATION_ENTERED)


def check_explained(run: Run) -> None:
    """An account that is held: its event recomputes, and says that it is held and why."""
    held = next(it for it in run.said() if isinstance(it, RiskEvent) and it.ladder.held_by is not None)
    said = unimargin("explain", held.id, env=run.env)
    assert said.code == 0, said.out + said.err
    assert "holds this pool" in said.out
    assert "funding_payment" in said.out
    shown = unimargin("breaker", "show", env=run.env)
    assert "Liquidations held" in shown.out
    assert "funding_payment" in shown.out
