"""The loop closed on real servers: a simulated exchange executes what the workers ask for, and their books are the same."""

import asyncio
import json
import os
import signal
import subprocess
import time
from collections import Counter
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest

from engine.events.effects import EventType
from engine.inputs import Topic
from engine.ladder import Band
from engine.ledger.accounts import Progress
from engine.ledger.applying import with_progress
from engine.numbers import to_step
from streams.cli.simulate.exchange_options import make_simulation
from streams.config.settings import Settings, load_policy
from streams.embedded.supervisor import unimargin
from streams.exchange.simulation import Simulation
from streams.exchange.wire.live_simulation import Live, LiveOptions
from streams.kafka.fund_reader import read_funds
from tests.support.cluster import Cluster
from tests.support.kafka_log import read_topic
from tests.support.redis_view import read_all
from tests.support.waiting import wait_until_none
from tests.support.workers import TREE

pytestmark = pytest.mark.system

POLICY = TREE / "deploy" / "policies" / "default.toml"
ACCOUNTS, SECONDS, SEED = 150, 20.0, 3
RUN_SECONDS_MAX = 240.0
OPTIONS: dict[str, Any] = {
    "scenario": "flash-crash", "seed": SEED, "accounts": ACCOUNTS, "speed": "1", "data": None, "from_time": None,
    "to_time": None, "ticks_per_second": 210.0, "orders_per_second": 10.0, "impact": 1.0,
}  # fmt: skip


def made(policy: Any, seconds: float) -> Simulation:
    simulation, _, _ = make_simulation(
        policy, **OPTIONS, seconds=seconds, first_sequence=time.time_ns() // 1_000
    )
    return simulation


def settings_of(cluster: Cluster) -> Settings:
    return Settings(
        kafka_bootstrap_servers=cluster.bootstrap,
        kafka_fetch_wait_ms=20,
        group=cluster.group,
        fund_topic_enabled=True,
    )


def run_live(cluster: Cluster, simulation: Simulation) -> Live:
    live = Live(settings_of(cluster), simulation, LiveOptions(source="flash-crash", await_workers=True))
    asyncio.run(asyncio.wait_for(live.run(), RUN_SECONDS_MAX))
    return live


def differing(cluster: Cluster, simulation: Simulation) -> str | None:
    """The first account of which Redis holds something else than the exchange's own books; None for none."""
    states = read_all(cluster.redis.url).states
    if set(states) != set(simulation.books.customers):
        return f"{len(states)} accounts in Redis, {len(simulation.books.customers)} in the books"
    for account, ours in simulation.books.customers.items():
        theirs = states[account]
        # where the newest input lies is the broker's to know: the exchange heard of it when it was acknowledged
        placed = with_progress(ours, Topic.FILLS, placed_at(simulation, account, Topic.FILLS, ours.fills))
        placed = with_progress(
            placed, Topic.LEDGER, placed_at(simulation, account, Topic.LEDGER, ours.ledger)
        )
        if placed != theirs:
            return f"{account}:\n{placed}\n{theirs}"
    return None


def placed_at(simulation: Simulation, account: str, topic: Topic, progress: Progress) -> Progress:
    return msgspec.structs.replace(progress, offset=simulation.fence.newest(account, topic))


def executed_once(cluster: Cluster) -> Counter[str]:
    """Fills by liquidation id; fails if the topics hold an id of a message twice."""
    fills: Counter[str] = Counter()
    for topic in (Topic.FILLS, Topic.LEDGER):
        ids: Counter[tuple[str, str]] = Counter()
        for record in read_topic(cluster.bootstrap, topic):
            message = json.loads(record.value or b"")
            name = next(
                message[it] for it in ("trade_id", "update_id", "entry_id", "settlement_id") if it in message
            )
            ids[message["account"], name] += 1
            if message.get("liquidation_id"):
                fills[message["liquidation_id"]] += 1
        assert max(ids.values()) == 1
    return fills


def event_types(cluster: Cluster) -> Counter[str]:
    kinds: Counter[str] = Counter()
    for topic in ("liquidations", "margin-events"):
        kinds.update(record.headers["ce_type"] for record in read_topic(cluster.bootstrap, topic))
    return kinds


def test_a_crash_on_real_servers_then_liquidations_are_executed_and_both_sides_have_the_same_books(
    cluster: Cluster,
) -> None:
    cluster.worker(POLICY_FILE=str(POLICY)).wait_ready()
    simulation = made(load_policy(POLICY), SECONDS)
    summary = run_live(cluster, simulation).summary(cascade=True)
    assert summary.conserved
    (fund,) = asyncio.run(read_funds(settings_of(cluster)))
    has = {asset: it.fund for asset, it in simulation.balances.items() if it.fund}
    assert fund.balances == {
        asset: to_step(amount, Decimal("1e-18"), "down") for asset, amount in has.items()
    }
    assert all(it.difference == 0 for it in summary.conservation.values())
    assert simulation.books.recounted()
    assert summary.liquidations_executed > 0
    assert summary.liquidations_open == 0
    assert summary.cascade
    wait_until_none("Redis holds the exchange's books", lambda: differing(cluster, simulation))
    fills = executed_once(cluster)
    kinds = event_types(cluster)
    assert kinds[EventType.LIQUIDATION_REQUESTED] > 0
    assert kinds[EventType.LIQUIDATION_COMPLETED] > 0
    assert fills
    bands = Counter(
        pool.band for risk in read_all(cluster.redis.url).risks.values() for pool in risk.pools.values()
    )
    assert bands[Band.BANKRUPT] + bands[Band.LIQUIDATION] <= 3
    assert read_topic(cluster.bootstrap, "quarantine") == []


def test_an_exchange_when_killed_in_a_cascade_then_takes_up_its_books_and_executes_nothing_twice(
    cluster: Cluster, tmp_path: Path
) -> None:
    cluster.worker(POLICY_FILE=str(POLICY)).wait_ready()
    killed_at_fills = kill_in_cascade(cluster, tmp_path)
    assert killed_at_fills
    # it goes on at the time that has passed since the opening: a longer market has not ended by then
    simulation = made(load_policy(POLICY), 90.0)
    summary = run_live(cluster, simulation).summary()
    assert summary.conserved
    assert simulation.books.recounted()
    wait_until_none("Redis holds the exchange's books", lambda: differing(cluster, simulation))
    fills = executed_once(cluster)
    # what was executed before the kill got no fill after it
    assert {one: fills[one] for one in killed_at_fills} == killed_at_fills
    assert read_topic(cluster.bootstrap, "quarantine") == []


def kill_in_cascade(cluster: Cluster, tmp_path: Path) -> dict[str, int]:
    """Run the command until it has executed liquidations, SIGKILL it, and return its fills by liquidation id."""
    arguments = [
        "--bootstrap-servers",
        cluster.bootstrap,
        "--policy",
        str(POLICY),
        "--seconds",
        "60",
        "--json",
    ]
    arguments += ["--seed", str(SEED), "--accounts", str(ACCOUNTS), "--ticks-per-second", "210"]
    arguments += ["--orders-per-second", "10", "--await-workers"]
    log = tmp_path / "exchange.log"
    environment = {"UNIMARGIN_GROUP": cluster.group}
    with log.open("wb") as err:
        process = subprocess.Popen(
            unimargin("simulate", *arguments), stdout=err, stderr=err, env=os.environ | environment
        )
        try:
            wait_until_none(
                "liquidations were executed", lambda: _still_quiet(log), seconds_max=RUN_SECONDS_MAX
            )
            process.send_signal(signal.SIGKILL)
        finally:
            process.kill()
            process.wait()
    return dict(executed_once(cluster))


def _still_quiet(log: Path) -> str | None:
    text = log.read_text()
    told = [json.loads(line) for line in text.splitlines() if line.startswith("{") and line.endswith("}")]
    if told and told[-1]["liquidations_executed"] >= 3:
        return None
    return text[-500:]
