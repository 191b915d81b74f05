"""kill -9 in the middle of a cascade, of workers and of the exchange: both end with the same books, no liquidation runs twice."""

import asyncio
import random
import re
import signal
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from pathlib import Path

import pytest

from engine.events.effects import EventType, Stream
from engine.inputs import Topic
from engine.ladder.table import LIQUIDATING
from engine.policy import Policy
from streams.cli.simulate.exchange_options import make_simulation
from streams.config.settings import Settings, load_policy
from streams.exchange.simulation import Simulation
from streams.exchange.simulation_report import SimulationSummary
from streams.exchange.wire.live_simulation import Live, LiveOptions
from tests.support.audit import audit, unsettled
from tests.support.cascade import ExchangeProcess, check_liquidations, mark_again
from tests.support.cluster import Cluster
from tests.support.kafka_log import ends
from tests.support.sender import Sender
from tests.support.settling import SETTLE_S, behind
from tests.support.simulating import without_offsets
from tests.support.waiting import wait_for, wait_until_none
from tests.support.workers import KILLED, TREE, Worker

pytestmark = pytest.mark.system

SHIPPED = TREE / "deploy" / "policies" / "default.toml"
QUICKER = {
    "exit_hold_seconds": 1,
    "replan_seconds": 1,
    "update_check_seconds": 1,
    # once prices stand still nothing more is said, so that the run can be brought to rest
    "update_seconds": 3600,
}
"""Than the shipped policy, so that a cascade of seconds has time for new plans and cures."""
ACCOUNTS, MARKS_PER_SECOND, ORDERS_PER_SECOND = 500, 210, 10
FIRST_LIFE_SECONDS = 45.0
"""Length of the market in which the exchange is killed."""
EXECUTED_BEFORE_KILL = 10
SAID_BETWEEN_KILLS = 20
"""Events of the liquidations topic, so that each kill falls among requests and fills."""
KILLS_A_LIFE = 2
"""Of workers, before and after the exchange is killed."""
MOMENT_S = 0.1, 0.6
RUN_S_MAX = 240.0


def test_workers_and_exchange_when_killed_in_a_cascade_then_same_books_and_each_liquidation_runs_once(
    cluster: Cluster, seed: int, tmp_path: Path, say: Callable[[str], None]
) -> None:
    policy_file = _quicker_policy(tmp_path)
    cluster.policy = load_policy(policy_file)
    rng = random.Random(seed)
    workers = [cluster.worker(name, POLICY_FILE=str(policy_file)) for name in ("worker-a", "worker-b")]
    for worker in workers:
        worker.wait_ready()
    began = time.monotonic()
    with ExchangeProcess(cluster, _options(policy_file, seed), tmp_path / "exchange.log") as exchange:
        kills = _kill_workers(cluster, workers, rng, exchange.ended)
        wait_for("liquidations run", lambda: exchange.executed() >= EXECUTED_BEFORE_KILL, RUN_S_MAX)
        assert exchange.kill() == -signal.SIGKILL
    killed_at = {topic: ends(cluster.bootstrap, topic) for topic in Topic}

    simulation = _second_life(cluster.policy, seed, time.monotonic() - began)
    with ThreadPoolExecutor(1) as thread:
        running = thread.submit(_run, cluster, simulation)
        kills += _kill_workers(cluster, workers, rng, running.done)
        summary = running.result(RUN_S_MAX)
    for worker in workers:
        worker.wait_ready()
    _bring_to_rest(cluster, simulation.prices)

    statuses = [status for worker in workers for status in worker.statuses]
    assert statuses == [KILLED] * kills, "\n".join(it.last_words(100) for it in workers)
    assert kills > KILLS_A_LIFE, "the market ended before workers were killed in its second part"
    assert summary.conserved
    audited = audit(cluster)
    theirs = {account: without_offsets(state) for account, state in audited.stored.states.items()}
    assert simulation.books.recounted()
    assert theirs == {account: without_offsets(it) for account, it in simulation.books.customers.items()}
    lots = {contract.symbol: contract.step for contract in simulation.population.contracts}
    seen = check_liquidations(cluster, audited.events, lots, killed_at)
    assert not {it.band for risk in audited.stored.risks.values() for it in risk.pools.values()} & LIQUIDATING
    assert seen.executed
    assert seen.replaced
    completed = seen.ended[EventType.LIQUIDATION_COMPLETED]
    assert completed
    say(
        f"{kills} kills of workers, {seen.requested} liquidations requested, {seen.executed} executed, "
        f"{seen.replaced} replaced, {completed} completed; {len(audited.events)} events, {audited.repeats} repeated"
    )


def _quicker_policy(directory: Path) -> Path:
    text = SHIPPED.read_text()
    for name, value in QUICKER.items():
        text, found = re.subn(rf"(?m)^{name} = .*$", f"{name} = {value}", text)
        assert found == 1, f"{found} lines say {name}"
    file = directory / "policy.toml"
    file.write_text(text)
    return file


def _options(policy_file: Path, seed: int) -> list[str]:
    options = {
        "policy": policy_file, "seed": seed, "accounts": ACCOUNTS, "seconds": FIRST_LIFE_SECONDS,
        "ticks-per-second": MARKS_PER_SECOND, "orders-per-second": ORDERS_PER_SECOND,
    }  # fmt: skip
    return [
        *(word for name, value in options.items() for word in (f"--{name}", str(value))),
        "--await-workers",
    ]


def _second_life(policy: Policy, seed: int, passed_s: float) -> Simulation:
    """The same exchange in a market twice as long as the time that has passed: it goes on in the middle of the fall."""
    simulation, _, _ = make_simulation(
        policy, scenario="flash-crash", seed=seed, seconds=2 * passed_s, accounts=ACCOUNTS, speed="1",
        data=None, from_time=None, to_time=None,
        ticks_per_second=MARKS_PER_SECOND, orders_per_second=ORDERS_PER_SECOND, impact=1.0,
        first_sequence=time.time_ns() // 1_000,
    )  # fmt: skip
    return simulation


def _run(cluster: Cluster, simulation: Simulation) -> SimulationSummary:
    settings = Settings(
        kafka_bootstrap_servers=cluster.bootstrap, kafka_fetch_wait_ms=20, group=cluster.group
    )
    options = LiveOptions(source="flash-crash", await_workers=False)
    live = Live(settings, simulation, options)
    asyncio.run(asyncio.wait_for(live.run(), RUN_S_MAX))
    return live.summary()


def _kill_workers(
    cluster: Cluster, workers: list[Worker], rng: random.Random, ended: Callable[[], bool]
) -> int:
    """Kill one after the other, each once more was said of liquidations; return how many, fewer if the exchange ends."""
    kills, said = 0, _said(cluster)
    while kills < KILLS_A_LIFE and not ended():
        threading.Event().wait(rng.uniform(*MOMENT_S))
        running = [worker for worker in workers if _runs(worker)]
        if running and _said(cluster) >= said + SAID_BETWEEN_KILLS:
            rng.choice(running).kill()
            kills, said = kills + 1, _said(cluster)
    return kills


def _said(cluster: Cluster) -> int:
    """Events of the liquidations topic until now, those published again included."""
    return sum(ends(cluster.bootstrap, Stream.LIQUIDATIONS).values())


def _runs(worker: Worker) -> bool:
    return worker.metric("margin_shards", condition="running") > 0


def _bring_to_rest(cluster: Cluster, prices: Mapping[str, Decimal]) -> None:
    """Repeat these prices until every input is applied, every event published, and nobody is about to say more."""
    sender = Sender(cluster.bootstrap)
    wait_until_none(
        "everything is at rest",
        lambda: behind(cluster) or unsettled(cluster, mark_again(sender, prices)),
        SETTLE_S,
    )
