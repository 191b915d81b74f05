"""Kafka Streams twice: `java/MarginStreams.java` and `java/MarginTables.java`, each one process on the same jars."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from confluent_kafka import Message

from streams.embedded.child import TetheredProcess
from tests.benchmarks.peers import environments, kafka_peer
from tests.benchmarks.peers.kafka_peer import Record, Subject
from tests.benchmarks.peers.peer_answer import Answer, Row
from tests.benchmarks.peers.peer_scenario import HAIRCUT_RATIO, LINES, MAINTENANCE_RATE, POSITIONS, Scenario
from tests.support.kafka_server import RealKafka

JAVA = Path(__file__).parent / "java"
POM = JAVA / "kafka-streams.pom.xml"
OPTIONS = ("-Xms1g", "-Xmx6g", "-XX:+UseParallelGC", "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn")
PARTITIONS = 2
CASH = "cash"
"""A position of price 1."""


class Program(NamedTuple):
    """One of the two."""

    source: Path
    topic: str
    """Of its accounts."""
    accounts: Callable[[Scenario], Iterator[Record]]
    priced: Callable[[str, float], list[Record]]
    """A symbol's price."""

    def answer(self, scenario: Scenario, expected: dict[Row, int], directory: Path) -> Answer:
        """Send prices, then accounts; the stream runs when it has taken them."""
        libs = environments.jars(POM)
        classes = environments.compiled(self.source, libs)
        with RealKafka(directory / "kafka") as kafka:
            kafka.create_topics(dict.fromkeys((self.topic, "peer-prices", "peer-crossings"), PARTITIONS))
            kafka_peer.load(kafka.bootstrap_servers, self._first_prices(scenario))
            kafka_peer.load(kafka.bootstrap_servers, self.accounts(scenario))
            terms = map(str, (MAINTENANCE_RATE, HAIRCUT_RATIO, *LINES))
            process = TetheredProcess(
                "kafka-streams",
                [
                    *(environments.program("java"), *OPTIONS, "-cp", f"{classes}:{libs}/*", self.source.stem),
                    *(kafka.bootstrap_servers, str(directory / "state"), *terms),
                ],
                log=directory / "streams.log",
            )
            with kafka_peer.running(process):
                subject = Subject(
                    bootstrap=kafka.bootstrap_servers,
                    pids=(process.pid,),
                    outputs=("peer-crossings",),
                    tick=lambda price: self.priced("0", price),
                    row=_row,
                )
                return kafka_peer.measured(subject, scenario, expected)

    def _first_prices(self, scenario: Scenario) -> Iterator[Record]:
        yield from self.priced(CASH, 1.0)
        for symbol, price in enumerate(scenario.prices.tolist()):
            yield from self.priced(str(symbol), price)


def _priced(symbol: str, price: float) -> list[Record]:
    return [Record("peer-prices", symbol.encode(), str(price).encode())]


def _priced_everywhere(symbol: str, price: float) -> list[Record]:
    return [it._replace(partition=place) for it in _priced(symbol, price) for place in range(PARTITIONS)]


def _accounts(scenario: Scenario) -> Iterator[Record]:
    """One record an account: wallet, then symbol, quantity and entry price of each position."""
    positions = np.column_stack((scenario.symbols, scenario.quantities, scenario.entry_prices))
    for account, held in enumerate(positions.reshape(-1, POSITIONS, 3).tolist()):
        words = (f"{int(symbol)},{quantity},{price}" for symbol, quantity, price in held)
        value = ",".join((str(scenario.wallets[account]), *words))
        yield Record("peer-accounts", str(account).encode(), value.encode())


def _positions(scenario: Scenario) -> Iterator[Record]:
    """One record a position, cash among them: quantity, size, entry value."""
    for account, wallet in enumerate(scenario.wallets.tolist()):
        yield Record("peer-positions", f"{account}/{CASH}".encode(), f"{wallet},0,0".encode())
    for account, symbol, quantity, price in scenario.positions():
        value = f"{quantity},{abs(quantity)},{quantity * price}"
        yield Record("peer-positions", f"{account}/{symbol}".encode(), value.encode())


def _row(message: Message) -> Row:
    return int(message.key()), int(message.value())


PROCESSOR = Program(JAVA / "MarginStreams.java", "peer-accounts", _accounts, _priced_everywhere)
"""Each task sees every price, because each partition of the topic gets it."""
TABLES = Program(JAVA / "MarginTables.java", "peer-positions", _positions, _priced)
