"""A crowd: accounts of equal leverage that all come into a worse band in one instant, and when a consumer has what is said of them.

Each holds one contract of 1,000 USD or so and margin for its target: after the fall a quarter each stands in warning, margin call,
reduce-only and liquidation. Before it all are healthy.

    ratio at the fallen price = (margin - quantity * (price - fallen)) * index / (rate * quantity * fallen * index)
    margin                    = ratio * rate * quantity * fallen + quantity * (price - fallen)

First, last and rate are of verdicts (`entered` is set) that this instant has caused, also of others who hold the contract, from the moment the
one price record is sent; the rate of plans from the first verdict.
"""

import threading
import time
from decimal import Decimal
from typing import Any

import msgspec
from confluent_kafka import Consumer, Producer, TopicPartition

from engine.events.effects import EventType, Stream
from engine.inputs import Deposit, Fill, Mark, MarkBatch
from engine.policy import Policy
from tests.benchmarks import load
from tests.support.waiting import wait_for
from tests.support.workers import Worker

FALL = Decimal("0.004")
TARGETS = (Decimal("1.35"), Decimal("1.12"), Decimal("1.02"), Decimal("0.9"))
NOTIONAL = Decimal(1000)
COLLATERAL = "USD"
DEADLINE_S = 120.0
AFTER_S = 8.0
"""Longer than a pool must be well before its band is left."""


class Crowd:
    """`count` accounts in the perpetual `symbol`, whose names begin with `name`."""

    def __init__(
        self, policy: Policy, prices: dict[str, Decimal], symbol: str, name: str, count: int
    ) -> None:
        self.symbol, self.count, self.name = symbol, count, name
        self.price = prices[symbol]
        self.index = policy.assets[policy.instruments[symbol].base].index
        self.fallen = (self.price * (1 - FALL)).quantize(Decimal("1e-9"))
        self.quantity = (NOTIONAL / self.price).quantize(Decimal("1e-6"))
        self._rate = policy.terms[symbol].tiers[0].maintenance_rate
        self._settle = prices[policy.assets[policy.instruments[symbol].settle].index]

    def opening(self) -> tuple[list[load.Pair], list[load.Pair]]:
        """Deposits, and fills."""
        deposits, fills = [], []
        for number in range(self.count):
            account, now_ns = self._account(number), time.time_ns()
            target = TARGETS[number % len(TARGETS)]
            margin = (
                target * self._rate * self.quantity * self.fallen + self.quantity * (self.price - self.fallen)
            ) * self._settle
            deposit = Deposit(
                account=account,
                time_ns=now_ns,
                entry_id=f"d-{account}",
                asset=COLLATERAL,
                amount=margin.quantize(Decimal("1e-9")),
            )
            deposits.append(("ledger", account.encode(), load.encode(deposit)))
            fills.append(self._fill(account, "buy", self.price))
        return deposits, fills

    def closing(self) -> list[load.Pair]:
        """Fills that leave every account flat."""
        return [self._fill(self._account(number), "sell", self.price) for number in range(self.count)]

    def fall(self, sequence: int, now_ns: int) -> bytes:
        """One record: the contract and its index at the lower price."""
        return load.encode(
            MarkBatch(
                (
                    Mark(self.symbol, self.fallen, sequence, now_ns),
                    Mark(self.index, self.fallen, sequence, now_ns),
                )
            )
        )

    def _account(self, number: int) -> str:
        return f"{self.name}-{number:06d}"

    def _fill(self, account: str, side: Any, price: Decimal) -> load.Pair:
        fill = Fill(
            account=account,
            time_ns=time.time_ns(),
            trade_id=f"t-{account}-{side}",
            symbol=self.symbol,
            side=side,
            quantity=self.quantity,
            price=price,
        )
        return "fills", account.encode(), load.encode(fill)


class _Heard(msgspec.Struct):
    type: str
    account: str = ""
    entered: str | None = None
    cause_time_ns: int | None = None


def measure(worker: Worker, bootstrap: str, crowd: Crowd, sequence: int) -> dict[str, float]:
    """Open the crowd, let it fall, and listen; then close it."""
    applied = worker.metric("margin_inputs_applied_total")
    deposits, fills = crowd.opening()
    # one after the other: a fill that is in the log before its deposit is judged without it
    load.send(bootstrap, deposits)
    load.send(bootstrap, fills)
    wait_for(
        "the crowd is open",
        lambda: worker.metric("margin_inputs_applied_total") >= applied + 2 * crowd.count,
        DEADLINE_S,
    )
    verdicts, plans = _listen(bootstrap, crowd, sequence)
    load.send(bootstrap, crowd.closing())
    time.sleep(AFTER_S)
    return {
        "accounts": float(crowd.count),
        "verdicts": float(len(verdicts)),
        "first_verdict_seconds": verdicts[0],
        "last_verdict_seconds": verdicts[-1],
        "verdicts_per_second": len(verdicts) / verdicts[-1],
        "last_plan_seconds": plans[-1],
        "plans_per_second": len(plans) / (plans[-1] - verdicts[0]),
    }


def _listen(bootstrap: str, crowd: Crowd, sequence: int) -> tuple[list[float], list[float]]:
    """Seconds from sending the fall to receiving each verdict and each plan."""
    consumer = _consumer(bootstrap)
    producer = Producer(
        {"bootstrap.servers": bootstrap, "partitioner": "murmur2", "acks": "all", "linger.ms": 0}
    )
    decoder = msgspec.json.Decoder(_Heard)
    records: list[tuple[float, bytes]] = []
    done = threading.Event()

    def listen() -> None:
        while not done.is_set():
            messages = consumer.consume(1000, 0.001)
            at = time.perf_counter()
            records.extend((at, message.value()) for message in messages)

    listener = threading.Thread(target=listen, daemon=True)
    listener.start()
    producer.list_topics(timeout=DEADLINE_S)  # connected: what it takes to connect is not the worker's
    began, fell_ns = time.perf_counter(), time.time_ns()
    producer.produce("prices", crowd.fall(sequence, fell_ns), crowd.symbol.encode())
    producer.flush()
    verdicts: list[float] = []
    plans: list[float] = []
    accounts: set[str] = set()
    read = 0
    condemned = sum(TARGETS[number % len(TARGETS)] < 1 for number in range(crowd.count))
    deadline = began + DEADLINE_S
    while len(accounts) < crowd.count or len(plans) < condemned:
        assert time.perf_counter() < deadline, f"{len(accounts)} of {crowd.count}, {len(plans)} plans"
        time.sleep(0.05)
        for at, value in records[read:]:
            read += 1
            heard = decoder.decode(value)
            is_ours = heard.account.startswith(crowd.name)
            if heard.entered is not None and heard.cause_time_ns == fell_ns:
                verdicts.append(at - began)
                accounts |= {heard.account} if is_ours else set()
            elif is_ours and heard.type == EventType.LIQUIDATION_REQUESTED:
                plans.append(at - began)
    done.set()
    listener.join()
    consumer.close()
    return verdicts, plans


def _consumer(bootstrap: str) -> Consumer:
    """At the ends of the event topics as they are now: a group would find out where they are only when it fetches."""
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": "bench-crowd",
            "enable.auto.commit": False,
            "fetch.wait.max.ms": 500,
        }
    )
    known = consumer.list_topics(timeout=DEADLINE_S).topics
    places = [TopicPartition(topic, number) for topic in Stream for number in known[topic].partitions]
    for place in places:
        _, place.offset = consumer.get_watermark_offsets(place, timeout=DEADLINE_S)
    consumer.assign(places)
    return consumer
