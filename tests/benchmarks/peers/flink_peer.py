"""Flink SQL: `flink_job.py` on a mini cluster in one process; the connector is named in `java/flink.pom.xml`."""

from collections.abc import Iterator
from pathlib import Path

import msgspec
from confluent_kafka import Message

from streams.embedded.child import TetheredProcess
from tests.benchmarks.peers import environments, kafka_peer
from tests.benchmarks.peers.kafka_peer import Record, Subject
from tests.benchmarks.peers.peer_answer import Answer, Row
from tests.benchmarks.peers.peer_scenario import HAIRCUT_RATIO, LINES, MAINTENANCE_RATE, Scenario
from tests.support.kafka_server import RealKafka

HERE = Path(__file__).parent
SCRIPT, POM = HERE / "flink_job.py", HERE / "java" / "flink.pom.xml"
PACKAGES = ("apache-flink==2.3.0",)
HEAP = "-Xms1g -Xmx6g"
PARTITIONS = 2
encode = msgspec.json.encode


def answer(scenario: Scenario, expected: dict[Row, int], directory: Path) -> Answer:
    """Send prices and positions; the query runs when it has taken them."""
    python = environments.interpreter("flink", PACKAGES)
    connector = next(environments.jars(POM).glob("flink-sql-connector-kafka-*.jar"))
    with RealKafka(directory / "kafka") as kafka:
        topics = ("peer-positions", "peer-prices", "peer-crossings")
        kafka.create_topics(dict.fromkeys(topics, PARTITIONS))
        kafka_peer.load(kafka.bootstrap_servers, _first_prices(scenario))
        kafka_peer.load(kafka.bootstrap_servers, _positions(scenario))
        terms = map(str, (MAINTENANCE_RATE, HAIRCUT_RATIO, *LINES))
        process = TetheredProcess(
            "flink",
            [
                *("env", "-u", "PYTHONPATH", f"JVM_ARGS={HEAP}", str(python), str(SCRIPT)),
                *(kafka.bootstrap_servers, str(connector), *terms),
            ],
            log=directory / "flink.log",
        )
        with kafka_peer.running(process):
            subject = Subject(
                bootstrap=kafka.bootstrap_servers,
                pids=(process.pid,),
                outputs=("peer-crossings",),
                tick=lambda price: [_priced("0", price)],
                row=_row,
            )
            return kafka_peer.measured(subject, scenario, expected)


def _priced(symbol: str, price: float) -> Record:
    return Record("peer-prices", symbol.encode(), encode({"price": price}))


def _first_prices(scenario: Scenario) -> Iterator[Record]:
    yield _priced("cash", 1.0)
    for symbol, price in enumerate(scenario.prices.tolist()):
        yield _priced(str(symbol), price)


def _positions(scenario: Scenario) -> Iterator[Record]:
    for account, wallet in enumerate(scenario.wallets.tolist()):
        yield _position(account, "cash", wallet, 0.0, 0.0)
    for account, symbol, quantity, price in scenario.positions():
        yield _position(account, str(symbol), quantity, abs(quantity), quantity * price)


def _position(account: int, symbol: str, quantity: float, size: float, entry_value: float) -> Record:
    value = {
        "account": str(account),
        "symbol": symbol,
        "quantity": quantity,
        "size": size,
        "entry_value": entry_value,
    }
    return Record("peer-positions", str(account).encode(), encode(value))


def _row(message: Message) -> Row | None:
    if message.value() is None:
        return None
    return int(message.key()), msgspec.json.decode(message.value())["band"]
