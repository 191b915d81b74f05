"""unimargin as it ships: one worker, four shards, Redis with an append-only file, every rule of the shipped policy.

What it says is read from its topics: margin calls, liquidation requests with their plans, warnings besides.
"""

import time
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import msgspec
from confluent_kafka import Message

from engine.inputs import Deposit, Fill, Mark
from engine.ladder.states import SEVERITY, Band
from streams.bench.bench_market import bench_policy_text, contract
from streams.config.settings import load_policy
from streams.embedded.embedded_redis import EmbeddedRedis
from streams.exchange.market.sample_market import start_prices
from tests.benchmarks.peers import kafka_peer
from tests.benchmarks.peers.kafka_peer import Record, Subject
from tests.benchmarks.peers.peer_answer import Answer, Row
from tests.benchmarks.peers.peer_scenario import SYMBOLS, Scenario
from tests.conftest import system_redis_server
from tests.support.cluster import Cluster
from tests.support.kafka_server import RealKafka
from tests.support.waiting import wait_for

DEADLINE_S, SEEDING_S_PER_ACCOUNT = 180.0, 0.006
BELOW = (Band.MARGIN_CALL, Band.LIQUIDATION)
"""The first band below each of the scenario's lines."""
encode = msgspec.json.encode


def level_of(band: Band) -> int:
    """Below how many of the scenario's lines a pool in this band is."""
    return sum(SEVERITY[band] >= SEVERITY[it] for it in BELOW)


def answer(scenario: Scenario, expected: dict[Row, int], directory: Path) -> Answer:
    """Open the accounts by deposits and fills, then measure."""
    policy_file = directory / "policy.toml"
    # While other things are awaited nobody sends prices; they must not go stale for that.
    policy_file.write_text(
        bench_policy_text(SYMBOLS).replace("stale_after_seconds = 10", "stale_after_seconds = 3600")
    )
    (directory / "redis").mkdir()
    with (
        RealKafka(directory / "kafka") as kafka,
        EmbeddedRedis(directory / "redis", binary=system_redis_server()) as server,
        Cluster(kafka, server, directory) as cluster,
    ):
        prices = dict(start_prices(load_policy(policy_file)))
        prices |= {contract(it): _decimal(price) for it, price in enumerate(scenario.prices.tolist())}
        kafka_peer.load(cluster.bootstrap, (_mark(symbol, price, 1) for symbol, price in prices.items()))
        worker = cluster.worker(POLICY_FILE=str(policy_file), STALL_SECONDS="120").wait_ready()
        kafka_peer.load(cluster.bootstrap, _openings(scenario))
        inputs = len(scenario.wallets) + len(scenario.accounts)
        wait_for(
            "the accounts are open",
            lambda: worker.metric("margin_inputs_applied_total") == inputs,
            DEADLINE_S + SEEDING_S_PER_ACCOUNT * len(scenario.wallets),
        )
        kafka_peer.wait_loaded((worker.pid, server.pid))
        sequences = iter(range(2, 1_000))
        return kafka_peer.measured(
            Subject(
                bootstrap=cluster.bootstrap,
                pids=(worker.pid, server.pid),
                outputs=("margin-events", "liquidations"),
                tick=lambda price: [_mark(contract(0), _decimal(price), next(sequences))],
                row=_row,
            ),
            scenario,
            expected,
        )


def _openings(scenario: Scenario) -> Iterator[Record]:
    for account, wallet in enumerate(scenario.wallets.tolist()):
        deposit = Deposit(
            account=str(account),
            time_ns=time.time_ns(),
            entry_id=f"deposit-{account}",
            asset="USDT",
            amount=_decimal(wallet),
        )
        yield Record("ledger", deposit.account.encode(), encode(deposit))
    for number, (account, symbol, quantity, price) in enumerate(scenario.positions()):
        fill = Fill(
            account=str(account),
            time_ns=time.time_ns(),
            trade_id=f"trade-{number}",
            symbol=contract(symbol),
            side="buy" if quantity > 0 else "sell",
            quantity=_decimal(abs(quantity)),
            price=_decimal(price),
        )
        yield Record("fills", fill.account.encode(), encode(fill))


def _mark(symbol: str, price: Decimal, sequence: int) -> Record:
    return Record("prices", symbol.encode(), encode(Mark(symbol, price, sequence, time.time_ns())))


def _decimal(number: float) -> Decimal:
    return Decimal(f"{number:.15g}")


def _row(message: Message) -> Row | None:
    event = msgspec.json.decode(message.value())
    band, before = (level_of(Band(event[it])) for it in ("band", "previous_band"))
    return (int(event["account"]), band) if band > before else None
