"""What the peers behind Kafka share: ticks are sent as records, crossings are read back as records.

A row's time runs from just before its tick is handed to the producer to its receipt by a consumer of the output.
"""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

from confluent_kafka import Consumer, Message, Producer, TopicPartition

from streams.embedded.child import TetheredProcess
from tests.benchmarks.peers import environments, processes
from tests.benchmarks.peers.peer_answer import TICK, Answer, Row
from tests.benchmarks.peers.peer_scenario import Scenario

STEP_S = 1.0
"""Between two steps of the fall: 6 % in 30 s."""
WARM_STEP_S = 0.1
LOAD_S_MAX, STOP_S = 600.0, 20.0
IDLE_S = 2.0
QUIET_S = 20.0
"""A peer is done when it is idle, or, since a worker has timers of its own, so long after a row that no other followed."""
SETTLE_S_MAX = 150.0
"""Who is not done then is cut off."""


class Record(NamedTuple):
    """To be produced; without a partition, the key says where."""

    topic: str
    key: bytes
    value: bytes
    partition: int = -1


class Subject(NamedTuple):
    """A running peer that has loaded the accounts."""

    bootstrap: str
    pids: Sequence[int]
    outputs: Sequence[str]
    """Topics of what it says."""
    tick: Callable[[float], Sequence[Record]]
    """The first symbol has this price now."""
    row: Callable[[Message], Row | None]
    """What a message of an output says crossed, None for anything else."""


class _Heard:
    """The rows received so far, each with when it first was; and the processor time that the peer had used by the newest."""

    def __init__(self, pids: Sequence[int]) -> None:
        self.rows: dict[Row, float] = {}
        self.newest_s, self.processor_s = 0.0, 0.0
        self._pids = pids

    def take(self, rows: Sequence[Row], at_s: float) -> None:
        """These were received at that time."""
        fresh = [row for row in rows if row not in self.rows]
        if fresh:
            self.rows |= dict.fromkeys(fresh, at_s)
            self.newest_s, self.processor_s = at_s, processes.processor_s(self._pids)


def measured(subject: Subject, scenario: Scenario, expected: dict[Row, int]) -> Answer:
    """Warm up, then the tick, then the fall, each with all its rows awaited."""
    producer = new_producer(subject.bootstrap)
    sent_s: list[float] = []

    def send(price: float) -> None:
        sent_s.append(time.perf_counter())
        for record in subject.tick(price):
            produce(producer, record)
        producer.flush()

    ticks = scenario.ticks.tolist()
    with _listening(subject) as heard:
        for price in ticks[:TICK]:
            send(price)
            time.sleep(WARM_STEP_S)
        done = _done(subject, heard)
        before_s = processes.processor_s(subject.pids)
        send(ticks[TICK])
        done = _done(subject, heard) and done
        spent_s = heard.processor_s - before_s
        began = time.perf_counter()
        for step, price in enumerate(ticks[TICK + 1 :]):
            time.sleep(max(0.0, began + step * STEP_S - time.perf_counter()))
            send(price)
        done = _done(subject, heard) and done
    rows = {row: _caused(row, at_s, sent_s, expected) for row, at_s in heard.rows.items()}
    note = "" if done else f"cut off after {SETTLE_S_MAX:g} s"
    return Answer(rows, max(spent_s, 0.0), processes.mebibytes(subject.pids), note)


def _done(subject: Subject, heard: _Heard) -> bool:
    began = time.perf_counter()
    while time.perf_counter() < began + SETTLE_S_MAX:
        if _idle(subject.pids):
            return True
        if began < heard.newest_s < time.perf_counter() - QUIET_S:
            return True
    return False


@contextmanager
def running(process: TetheredProcess) -> Iterator[None]:
    """Start a peer and wait until it has taken the accounts; end it on exit. Raises UnavailableError with its last words."""
    process.start()
    try:
        wait_loaded((process.pid,))
        yield
    except FileNotFoundError as error:
        raise environments.UnavailableError(str(process.failure("ended by itself"))) from error
    finally:
        process.stop(STOP_S)


def wait_loaded(pids: Sequence[int]) -> None:
    """Return once these processes are idle, having taken all that was sent. Raises UnavailableError when they never are."""
    began = time.perf_counter()
    while not _idle(pids):
        if time.perf_counter() > began + LOAD_S_MAX:
            raise environments.UnavailableError(f"the accounts were not taken within {LOAD_S_MAX:g} s")


def _idle(pids: Sequence[int]) -> bool:
    return processes.idle(pids, IDLE_S) and processes.idle(pids, IDLE_S)


def load(bootstrap: str, records: Iterator[Record]) -> None:
    """Produce all, as fast as the broker takes it."""
    producer = new_producer(bootstrap, linger_ms=5)
    for record in records:
        produce(producer, record)
        producer.poll(0)
    assert producer.flush(300) == 0


def new_producer(bootstrap: str, linger_ms: float = 0) -> Producer:
    """A producer with Kafka's default partitioner."""
    return Producer(
        {
            "bootstrap.servers": bootstrap,
            "partitioner": "murmur2",
            "acks": "all",
            "linger.ms": linger_ms,
            "queue.buffering.max.messages": 2_000_000,
        }
    )


def produce(producer: Producer, record: Record) -> None:
    """Hand one record over."""
    producer.produce(record.topic, record.value, record.key, record.partition)


def _caused(row: Row, at_s: float, sent_s: list[float], expected: dict[Row, int]) -> tuple[int, float]:
    newest = max(number for number, it in enumerate(sent_s) if it <= at_s)
    # A row that came before its tick is another's: it differs.
    number = min(expected.get(row, newest), newest)
    return number, at_s - sent_s[number]


@contextmanager
def _listening(subject: Subject) -> Iterator[_Heard]:
    """What is said from now on; complete on exit."""
    consumer = Consumer(
        {
            "bootstrap.servers": subject.bootstrap,
            "group.id": "peers-listener",
            "enable.auto.commit": False,
            "fetch.wait.max.ms": 500,
        }
    )
    places = []
    for topic in subject.outputs:
        for partition in consumer.list_topics(topic, 30).topics[topic].partitions:
            _, end = consumer.get_watermark_offsets(TopicPartition(topic, partition), 30)
            places.append(TopicPartition(topic, partition, end))
    consumer.assign(places)
    heard, ending = _Heard(subject.pids), threading.Event()

    def listen() -> None:
        while not ending.is_set():
            messages = consumer.consume(500, 0.001)
            at_s = time.perf_counter()
            assert all(it.error() is None for it in messages)
            heard.take([row for it in messages if (row := subject.row(it)) is not None], at_s)

    listener = threading.Thread(target=listen)
    listener.start()
    try:
        yield heard
    finally:
        ending.set()
        listener.join()
        consumer.close()
