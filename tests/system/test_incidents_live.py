"""Incidents on real servers, through the real worker: what holds in one process holds where messages take their time."""

import asyncio
import threading
from decimal import Decimal
from pathlib import Path

import pytest

from engine.events.breaker_events import BreakerEvent
from engine.events.effects import EventType, RiskEvent, Stream
from engine.events.pools import pool_figures
from engine.ladder.table import LIQUIDATING
from engine.numbers import exact
from streams.cli.simulate.exchange_options import make_simulation
from streams.config.settings import Settings, load_policy
from streams.contract.cloudevents import read_event
from streams.exchange.clearing.verdicts import CONDEMNING
from streams.exchange.market.named_scenarios import SCENARIOS
from streams.exchange.simulation import Simulation
from streams.exchange.simulation_report import SimulationSummary
from streams.exchange.wire.live_simulation import Live, LiveOptions
from tests.support.cli import unimargin
from tests.support.cluster import PARTITIONS, Cluster
from tests.support.kafka_log import read_topic
from tests.support.redis_view import read_all
from tests.support.waiting import wait_for
from tests.support.workers import Worker

pytestmark = pytest.mark.system

SECONDS, ACCOUNTS = 24.0, 240
WHY = "funding of the wrong job was paid back"


class Exchange:
    """A simulated exchange that plays an incident beside the test, and the worker that judges by the incident's policy."""

    def __init__(self, cluster: Cluster, name: str, directory: Path) -> None:
        self.cluster, self.name = cluster, name
        policy = directory / "incident.toml"
        written = unimargin("simulate", "--scenario", name, "--write-policy", str(policy))
        assert written.code == 0, written.err
        self.env = {
            "UNIMARGIN_KAFKA_BOOTSTRAP_SERVERS": cluster.bootstrap,
            "UNIMARGIN_REDIS_URL": cluster.redis.url,
            "UNIMARGIN_POLICY_FILE": str(policy),
            "UNIMARGIN_OPERATOR_TOPIC_ENABLED": "true",
        }
        self.worker: Worker = cluster.worker(POLICY_FILE=str(policy), OPERATOR_TOPIC_ENABLED="true")
        self.worker.wait_ready()
        self.simulation: Simulation
        self.simulation, _, _ = make_simulation(
            load_policy(policy), scenario=name, seed=1, seconds=SECONDS, accounts=ACCOUNTS, speed="1", data=None,
            from_time=None, to_time=None, ticks_per_second=220.0, orders_per_second=10.0, impact=1.0,
        )  # fmt: skip
        settings = Settings(
            kafka_bootstrap_servers=cluster.bootstrap, kafka_fetch_wait_ms=20, group=cluster.group
        )
        self._live = Live(settings, self.simulation, LiveOptions(source=name, await_workers=True))
        self._thread = threading.Thread(target=lambda: asyncio.run(self._live.run()), daemon=True)
        self._thread.start()

    def wait_part(self, part: float) -> None:
        """Until the market has come to this part of its length."""
        wait_for(f"{part} of the market", lambda: self.simulation.second >= part * SECONDS, 60.0)

    def ended(self) -> SimulationSummary:
        """Wait for its end."""
        self._thread.join(90.0)
        summary = self._live.summary()
        assert summary.phase == "ended"
        assert summary.conserved
        assert summary.liquidations_open == 0
        assert self.simulation.books.recounted()
        wait_for("Redis holds the exchange's books", self._same_books)
        assert read_topic(self.cluster.bootstrap, "quarantine") == []
        return summary

    def said(self) -> list[RiskEvent | BreakerEvent]:
        """Every event of both streams."""
        return [
            read_event(it.value or b"")
            for topic in Stream
            for it in read_topic(self.cluster.bootstrap, topic)
        ]

    def _same_books(self) -> bool:
        states = read_all(self.cluster.redis.url).states
        ours = self.simulation.books.customers
        return states.keys() == ours.keys() and all(
            (it.balances, it.positions, it.isolated)
            == (ours[name].balances, ours[name].positions, ours[name].isolated)
            for name, it in states.items()
        )


def test_depeg_on_real_servers_then_doubted_and_no_liquidation_rests_on_it(
    cluster: Cluster, tmp_path: Path
) -> None:
    exchange = Exchange(cluster, "depeg-one-venue", tmp_path)
    summary = exchange.ended()
    assert "USDE-USD" in summary.doubted
    assert summary.accounts_degraded > 0
    # the policy believes the book within half a per cent of what the issuer pays; 0.95 of a coin counts
    believed, ratio = Decimal("0.995"), Decimal("0.95")
    seen = 0
    details = {it.verdict: it.detail for it in exchange.said() if isinstance(it, RiskEvent) and it.detail}
    for event in exchange.said():
        if not isinstance(event, RiskEvent) or event.type not in CONDEMNING or "USDE-USD" not in event.marks:
            continue
        if event.previous_band in LIQUIDATING:
            continue
        if event.id not in details:  # one of a crowd
            continue
        coins = sum(line.amount for line in details[event.id].collateral if line.asset == "USDE")
        seen += 1
        missing = max(Decimal(0), believed - event.marks["USDE-USD"].price) * coins * ratio
        assert event.collateral_value + missing < event.maintenance_margin, event
    degraded = [it for it in exchange.said() if it.type is EventType.DEGRADED]
    assert seen + len(degraded) > 0


def test_bad_ledger_on_real_servers_then_held_named_and_voided_by_command(
    cluster: Cluster, tmp_path: Path
) -> None:
    exchange = Exchange(cluster, "bad-ledger", tmp_path)
    wrong = SCENARIOS["bad-ledger"].incident.wrong_funding
    assert wrong is not None
    exchange.wait_part(wrong.at)
    wait_for("every breaker is open", lambda: exchange.worker.metric("margin_breaker_open") == PARTITIONS)
    exchange.wait_part(wrong.repaired_at + 0.05)
    decided = unimargin("breaker", "void", "--who", "desk", "--why", WHY, env=exchange.env)
    assert decided.code == 0, decided.err
    summary = exchange.ended()
    assert len(summary.holds) == PARTITIONS
    for hold in summary.holds:
        assert (hold.ended, hold.why) == ("voided", WHY)
        batches = {it.topic: it for it in hold.cause.inputs}
        assert batches["ledger"].kinds["funding_payment"] > 0
        assert batches["ledger"].last_offset >= batches["ledger"].first_offset
    held = {
        it.account for it in exchange.said() if isinstance(it, RiskEvent) and it.ladder.held_by is not None
    }
    # of each shard a tenth, or three, are condemned before it is too much for one cause
    assert summary.wrongly_liquidated <= PARTITIONS * max(3, ACCOUNTS // PARTITIONS // 10 + 1)
    assert len(held) > 2 * summary.wrongly_liquidated
    assert exchange.worker.metric("margin_breaker_open") == 0


def test_burst_on_real_servers_then_lag_is_seen_and_made_up_and_everybody_is_judged(
    cluster: Cluster, tmp_path: Path
) -> None:
    exchange = Exchange(cluster, "burst-80x", tmp_path)
    since, _, _ = SCENARIOS["burst-80x"].incident.burst or (0.0, 0.0, 1)
    exchange.wait_part(since)
    summary = exchange.ended()
    # eighty times the usual for a hundredth of the length, as far as one process can send it
    assert summary.ticks > 1.1 * SECONDS * 220
    wait_for("nothing is left to read", lambda: exchange.worker.metric("margin_consumer_lag_records") == 0)
    slow = exchange.worker.metric("margin_tick_to_event_seconds_count") - exchange.worker.metric(
        "margin_tick_to_event_seconds_bucket", le="5.0"
    )
    assert slow == 0
    market = exchange.simulation
    risks = read_all(cluster.redis.url).risks
    for account, state in market.books.customers.items():
        figures = pool_figures(state, "", market._true_prices(), market.policy)
        with exact():
            below = figures.collateral_value < market.policy.ladder.liquidation * figures.requirement
        assert not below or risks[account].pools[""].band in LIQUIDATING, account
