"""Kafka in memory: logs with transactions, and the broker's own rules for who may append to them.

What the product gets of it are a consumer and a producer (in place of aiokafka's), where the input logs end, and the next epoch of a shard's writer. A
broker that is away holds up what aiokafka rides out by itself.
"""

import asyncio
import random
from collections import deque
from collections.abc import Callable, Sequence
from contextvars import Context
from functools import partial
from typing import NamedTuple

from aiokafka import TopicPartition
from aiokafka.errors import (
    InvalidProducerEpoch,
    KafkaConnectionError,
    KafkaError,
    KafkaTimeoutError,
    OffsetOutOfRangeError,
    OutOfOrderSequenceNumber,
)

from engine.events.effects import Stream
from engine.inputs import Topic
from streams.kafka.log_ends import LogLook
from streams.kafka.producer_epochs import ProducerEpoch
from streams.kafka.topic_identity import TopicIdentity

PRODUCER_ID = 7
REMEMBERED_BATCHES = 5
BATCH_BYTES_MAX = 16_384
COPIES_TOPIC = "account-state"
Headers = Sequence[tuple[str, bytes]]


class Transaction:
    """Of who writes inputs."""

    def __init__(self) -> None:
        self.committed: bool | None = None
        """None while it is open."""


class Entry(NamedTuple):
    """A record, or a marker, which has no record."""

    offset: int
    key: bytes | None
    value: bytes | None
    headers: Headers
    timestamp: int
    transaction: Transaction | None
    is_marker: bool


class Writer:
    """What a partition remembers of a producer."""

    def __init__(self) -> None:
        self.epoch = -1
        self.next_sequence = 0
        self.recent: deque[tuple[int, int]] = deque(maxlen=REMEMBERED_BATCHES)
        """Sequence and offset of its newest batches."""


class Partition:
    """One log."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self.begin = 0
        """What came before it is only there for who looks into the life from outside."""
        self.writer = Writer()
        self._decided = 0
        """Below it no transaction is open."""

    def add(
        self,
        key: bytes | None,
        value: bytes | None,
        timestamp: int,
        headers: Headers = (),
        transaction: Transaction | None = None,
    ) -> int:
        """Append a record."""
        offset = len(self.entries)
        self.entries.append(Entry(offset, key, value, headers, timestamp, transaction, is_marker=False))
        return offset

    def mark(self) -> None:
        """Append a marker."""
        self.entries.append(Entry(len(self.entries), None, None, (), 0, None, is_marker=True))

    def stable(self) -> int:
        """Where the oldest open transaction begins, else the end."""
        while self._decided < len(self.entries):
            transaction = self.entries[self._decided].transaction
            if transaction is not None and transaction.committed is None:
                break
            self._decided += 1
        return self._decided

    def records(self) -> list[Entry]:
        """What a reader of committed records sees."""
        return [it for it in self.entries[: self.stable()] if _is_seen(it)]


def _is_seen(entry: Entry) -> bool:
    return not entry.is_marker and (entry.transaction is None or bool(entry.transaction.committed))


class Broker:
    """One partition of every topic."""

    def __init__(self, rng: random.Random, clock_ns: Callable[[], int]) -> None:
        self._rng, self.clock_ns = rng, clock_ns
        self.partitions: dict[str, Partition] = {}
        self.share = 0.0
        """Of sends that go wrong."""
        self.away = False
        self.without_leader = ""
        """A topic that takes nothing for the moment, while others do."""
        self._epoch = 0

    def partition(self, topic: str) -> Partition:
        """Made at first use."""
        return self.partitions.setdefault(topic, Partition())

    async def trip(self) -> None:
        """To the broker, or back; while it is away a client asks again and again."""
        await asyncio.sleep(self._rng.uniform(0.0001, 0.003))
        while self.away:  # noqa: ASYNC110 - nobody tells a client
            await asyncio.sleep(self._rng.uniform(0.02, 0.2))

    def append(self, topic: str, batch: "Batch") -> int:
        """Take a batch as a whole, once, from who may write; its first offset."""
        partition = self.partition(topic)
        writer = partition.writer
        _, epoch, sequence = batch.signed
        if epoch < 0:  # of a producer that the broker does not count
            return self._append(partition, batch)
        if epoch < writer.epoch:
            raise InvalidProducerEpoch
        if epoch > writer.epoch:
            writer.epoch, writer.next_sequence = epoch, 0
            writer.recent.clear()
        for known, offset in writer.recent:
            if known == sequence:
                return offset
        if sequence != writer.next_sequence:
            raise OutOfOrderSequenceNumber
        first = self._append(partition, batch)
        writer.recent.append((sequence, first))
        writer.next_sequence += len(batch.records)
        return first

    def _append(self, partition: Partition, batch: "Batch") -> int:
        first = len(partition.entries)
        for key, value, headers in batch.records:
            partition.add(key, value, self.clock_ns() // 10**6, headers)
        return first

    async def raise_epoch(self, _: int) -> ProducerEpoch:
        """As `producer_epochs` does it, in three requests that others' may come between."""
        while True:
            await self.trip()
            self._epoch += 1
            begun = self._epoch
            await self.trip()
            if begun == self._epoch:
                for stream in (*Stream, COPIES_TOPIC):
                    partition = self.partition(stream)
                    partition.mark()
                    partition.writer.epoch, partition.writer.next_sequence = begun, 0
                    partition.writer.recent.clear()
                await self.trip()
                self._epoch += 1
                return ProducerEpoch(PRODUCER_ID, self._epoch)
            await asyncio.sleep(0.2)


class LogEndsOf:
    """In place of `LogEnds`."""

    def __init__(self, broker: Broker, topics: dict[Topic, str]) -> None:
        self._broker, self._topics = broker, topics

    async def of(self, _: int) -> LogLook:
        """As sampled after this call."""
        asked_s = asyncio.get_running_loop().time()
        await self._broker.trip()
        ends = {topic: self._broker.partition(name).stable() for topic, name in self._topics.items()}
        await self._broker.trip()
        return LogLook(ends, dict.fromkeys(self._topics, TopicIdentity("same", 1)), asked_s)


class Consumer:
    """In place of `AIOKafkaConsumer`, outside of any group."""

    def __init__(self, broker: Broker, rng: random.Random, *, committed: bool = True) -> None:
        """Where not only what is `committed` is read, records of open and aborted transactions are among it."""
        self._broker, self._rng, self._committed = broker, rng, committed
        self._positions: dict[TopicPartition, int] = {}

    async def beginning_offsets(self, places: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        await self._broker.trip()
        return {it: self._broker.partition(it.topic).begin for it in places}

    async def end_offsets(self, places: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        await self._broker.trip()
        return {it: self._end(self._broker.partition(it.topic)) for it in places}

    def _end(self, partition: Partition) -> int:
        return partition.stable() if self._committed else len(partition.entries)

    def assign(self, places: Sequence[TopicPartition]) -> None:
        self._positions = dict.fromkeys(places, 0)

    def seek(self, place: TopicPartition, offset: int) -> None:
        self._positions[place] = offset

    async def position(self, place: TopicPartition) -> int:
        return self._positions[place]

    async def getmany(
        self, *places: TopicPartition, timeout_ms: int, max_records: int
    ) -> dict[TopicPartition, list[Entry]]:
        loop = asyncio.get_running_loop()
        until_s = loop.time() + timeout_ms / 1000
        while True:
            await asyncio.sleep(self._rng.uniform(0.0001, 0.003))
            if len(self._positions) > 1 and self._rng.random() < self._broker.share / 10:
                raise KafkaConnectionError("the connection to the broker is lost")
            found = {} if self._broker.away else self._taken(places, max_records)
            if found or loop.time() >= until_s:
                return found
            await asyncio.sleep(self._rng.uniform(0.01, 0.08))

    def _taken(self, places: Sequence[TopicPartition], max_records: int) -> dict[TopicPartition, list[Entry]]:
        found = {}
        for place in places:
            partition, begin = self._broker.partition(place.topic), self._positions[place]
            if begin < partition.begin:
                raise OffsetOutOfRangeError({place: begin})
            count = min(max_records, self._rng.choice((1, 3, 10, 1000)))
            ahead = partition.entries[begin : min(self._end(partition), begin + count)]
            self._positions[place] = begin + len(ahead)
            records = [it for it in ahead if (_is_seen(it) if self._committed else not it.is_marker)]
            if records:
                found[place] = records
        return found

    def highwater(self, place: TopicPartition) -> int:
        return len(self._broker.partition(place.topic).entries)

    def last_stable_offset(self, place: TopicPartition) -> int:
        return self._broker.partition(place.topic).stable()


class Batch:
    """In place of aiokafka's batch builder."""

    def __init__(self) -> None:
        self.records: list[tuple[bytes | None, bytes, Headers]] = []
        self.signed = (-1, -1, -1)
        self._bytes = 0

    def append(
        self,
        *,
        timestamp: None,  # noqa: ARG002 - as aiokafka has it
        key: bytes | None,
        value: bytes,
        headers: Headers,
    ) -> object:
        size = len(key or b"") + len(value)
        if self.records and self._bytes + size > BATCH_BYTES_MAX:
            return None
        self._bytes += size
        self.records.append((key, value, tuple(headers)))
        return self

    def _set_producer_state(self, producer_id: int, epoch: int, sequence: int) -> None:
        self.signed = producer_id, epoch, sequence

    def close(self) -> None:
        """Nothing is added from here on."""


class Acknowledged(NamedTuple):
    """What the broker says of a batch."""

    offset: int


class Producer:
    """In place of `AIOKafkaProducer`."""

    def __init__(self, broker: Broker, rng: random.Random) -> None:
        self._broker, self._rng = broker, rng

    def create_batch(self) -> Batch:
        return Batch()

    async def partitions_for(self, _: str) -> set[int]:
        return {0}

    async def send_batch(
        self,
        batch: Batch,
        topic: str,
        *,
        partition: int,  # noqa: ARG002 - there is one
    ) -> asyncio.Future[Acknowledged]:
        """The fate of a batch: it may come `late`, when its sender was told that it failed; `twice`; or be `unanswered`, or `lost`."""
        loop, rng, broker = asyncio.get_running_loop(), self._rng, self._broker
        answer: asyncio.Future[Acknowledged] = loop.create_future()
        network = Context()
        fate = "taken"
        if rng.random() < broker.share:
            fate = rng.choice(("late", "twice", "unanswered", "lost"))
        if broker.away or topic == broker.without_leader:
            fate = rng.choice(("late", "lost"))

        def arrive(*, heard: bool) -> None:
            said: Acknowledged | KafkaError
            try:
                said = Acknowledged(broker.append(topic, batch))
            except KafkaError as error:
                said = error
            if heard:
                loop.call_later(rng.uniform(0.0001, 0.01), _settle, answer, said, context=network)

        there_s = rng.uniform(0.0001, 0.01)
        if fate in {"taken", "twice", "unanswered"}:
            loop.call_later(there_s, partial(arrive, heard=fate != "unanswered"), context=network)
        if fate in {"twice", "late"}:
            loop.call_later(rng.uniform(0.02, 5), partial(arrive, heard=False), context=network)
        if fate in {"late", "unanswered", "lost"}:
            loop.call_later(rng.uniform(0.02, 0.5), _settle, answer, KafkaTimeoutError(), context=network)
        return answer


def _settle(answer: asyncio.Future[Acknowledged], said: Acknowledged | KafkaError) -> None:
    if not answer.done() and isinstance(said, Acknowledged):
        answer.set_result(said)
    elif not answer.done():
        answer.set_exception(said)
