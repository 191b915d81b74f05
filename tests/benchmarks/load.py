"""What the pipeline benchmark sends: pre-encoded records, produced by a process of its own (librdkafka)."""

import multiprocessing
import time
from collections.abc import Iterable, Iterator, Sequence
from decimal import Decimal
from itertools import islice
from multiprocessing.connection import Connection
from random import Random

import msgspec
from confluent_kafka import Message, Producer

from engine.inputs import Fill, Mark, MarkBatch
from engine.policy import Policy
from streams.exchange.market.scenario import SyntheticCrash
from streams.exchange.traders.population import Population

encode = msgspec.json.encode
PACE_S = 0.001
PACED_LINGER_MS = 3.0
"""librdkafka sends a request per partition and linger: with 0.5 ms some 4,000 requests a second, which a broker on half a
core does not take. Marks then waited up to 0.5 s in the producer, and the worker was blamed for it."""
Pair = tuple[str, bytes, bytes]
"""Topic, key, value."""
Due = tuple[float, str, Decimal]
"""When a mark is to be sent, in seconds from the first; its symbol and price."""


def seeding(policy: Policy, accounts: int, seed: int) -> tuple[dict[str, Decimal], list[Pair]]:
    """Start prices and the inputs that open the population, ledger entries first."""
    prices = SyntheticCrash(policy, seed=seed, seconds=60.0, ticks_per_second=100.0).start_prices
    inputs = list(Population(policy, accounts, seed, prices).inputs(time.time_ns()))
    pairs = [
        ("fills" if isinstance(it, Fill) else "ledger", it.account.encode(), encode(it)) for it in inputs
    ]
    return dict(prices), sorted(pairs, key=lambda pair: pair[0], reverse=True)


def small_fills(
    policy: Policy, accounts: int, count: int, prices: dict[str, Decimal], seed: int
) -> list[Pair]:
    """Fills that open and close a lot, spread evenly over the accounts; without account_seq."""
    random = Random(seed)
    symbols = [symbol for symbol, it in policy.instruments.items() if it.kind == "perpetual"][:6]
    pairs = []
    for number in range(count):
        symbol = random.choice(symbols)
        fill = Fill(
            account=f"a-{number % accounts + 1:06d}",
            time_ns=time.time_ns(),
            trade_id=f"bench-{number}",
            symbol=symbol,
            side="buy" if (number // accounts) % 2 == 0 else "sell",
            quantity=Decimal("0.001"),
            price=prices[symbol],
        )
        pairs.append(("fills", fill.account.encode(), encode(fill)))
    return pairs


def calm_marks(prices: dict[str, Decimal], count: int, first_sequence: int, seed: int) -> Iterator[Mark]:
    """Marks within one basis point of the start prices, dated now."""
    random = Random(seed)
    symbols = sorted(prices)
    for number in range(count):
        symbol = symbols[number % len(symbols)]
        price = prices[symbol] * (1 + Decimal(random.randint(-100, 100)) / 1_000_000)
        yield Mark(symbol, price.quantize(Decimal("1e-9")), first_sequence + number, time.time_ns())


def send(bootstrap: str, pairs: Sequence[Pair]) -> None:
    """Produce everything as fast as the broker takes it; return when all is acknowledged."""
    _in_a_process(_send_all, bootstrap, pairs)


def send_marks(
    bootstrap: str, prices: dict[str, Decimal], count: int, first_sequence: int, *, whole: bool = False
) -> None:
    """Produce calm marks as fast as they can be made, each dated when made: one a record, or of the `whole` market in one."""
    _in_a_process(_send_instants if whole else _send_marks, bootstrap, prices, count, first_sequence)


def falling(prices: dict[str, Decimal], fall: Decimal, per_second: int, seconds: float) -> Iterator[Due]:
    """Every price but the stablecoin's falls evenly by the fraction `fall`: due time in seconds, symbol, price."""
    symbols = sorted(prices)
    count = int(per_second * seconds)
    for number in range(count):
        symbol = symbols[number % len(symbols)]
        price = prices[symbol] * (1 - fall * number / count) if symbol != "USDT-USD" else prices[symbol]
        yield number / per_second, symbol, price.quantize(Decimal("1e-9"))


def crash(policy: Policy, per_second: int, seconds: float, seed: int) -> Iterator[Due]:
    """The believable marks of the synthetic crash."""
    for mark in SyntheticCrash(policy, seed=seed, seconds=seconds, ticks_per_second=per_second):
        if mark.believable:
            yield mark.at_seconds, mark.symbol, mark.price


def send_paced(bootstrap: str, marks: Iterable[Due], sequence: int) -> dict[str, float]:
    """Send each mark when it is due, dated when it is sent, one a record.

    Returns how long after that the broker acknowledged: no worker can see a mark much earlier.
    """
    receiving, sending = multiprocessing.Pipe(duplex=False)
    _in_a_process(_send_paced, bootstrap, marks, sequence, sending)
    waits: dict[str, float] = receiving.recv()
    return waits


def _in_a_process(target: object, *args: object) -> None:
    child = multiprocessing.get_context("fork").Process(target=target, args=args)  # type: ignore[arg-type]
    child.start()
    child.join()
    assert child.exitcode == 0, f"the producer ended with {child.exitcode}"


def _producer(bootstrap: str, linger_ms: float) -> Producer:
    return Producer(
        {
            "bootstrap.servers": bootstrap,
            "partitioner": "murmur2",
            "acks": "all",
            "linger.ms": linger_ms,
            "queue.buffering.max.messages": 2_000_000,
        }
    )


def _send_all(bootstrap: str, pairs: Sequence[Pair]) -> None:
    producer = _producer(bootstrap, 5)
    for topic, key, value in pairs:
        producer.produce(topic, value, key)
    assert producer.flush(300) == 0


def _send_marks(bootstrap: str, prices: dict[str, Decimal], count: int, first_sequence: int) -> None:
    producer = _producer(bootstrap, 5)
    for mark in calm_marks(prices, count, first_sequence, first_sequence):
        producer.produce("prices", encode(mark), mark.symbol.encode())
    assert producer.flush(300) == 0


def _send_instants(bootstrap: str, prices: dict[str, Decimal], count: int, first_sequence: int) -> None:
    producer = _producer(bootstrap, 5)
    marks = calm_marks(prices, count, first_sequence, first_sequence)
    while instant := tuple(islice(marks, len(prices))):
        # one partition, or a symbol's marks would overtake each other
        producer.produce("prices", encode(MarkBatch(instant)), partition=0)
    assert producer.flush(300) == 0


def _send_paced(bootstrap: str, marks: Iterable[Due], sequence: int, result: Connection) -> None:
    producer = _producer(bootstrap, PACED_LINGER_MS)
    waits: list[float] = []

    def acknowledged(error: object, message: Message) -> None:
        assert error is None, error
        waits.append(message.latency())

    began = time.perf_counter()
    for number, (at_seconds, symbol, price) in enumerate(marks):
        while time.perf_counter() < began + at_seconds:
            time.sleep(PACE_S)
        sent = Mark(symbol, price, sequence + number, time.time_ns())
        producer.produce("prices", encode(sent), symbol.encode(), on_delivery=acknowledged)
        producer.poll(0)
    assert producer.flush(60) == 0
    waits.sort()
    result.send(
        {
            "sent_to_acknowledged_p50_seconds": waits[len(waits) // 2],
            "sent_to_acknowledged_p99_seconds": waits[int(len(waits) * 0.99)],
        }
    )
