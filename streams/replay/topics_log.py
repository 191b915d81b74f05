"""The input topics as arrivals: read outside any group, from their first record to where they ended at the start.

All partitions are polled together: the client asks a broker for nothing while it holds records of any partition that nobody has
taken, for a while that would be paid for each batch. Whoever has enough waiting is paused, and so is whoever has ended:
a broker holds a fetch that finds nothing.
"""

import time
from collections import deque
from collections.abc import AsyncIterator, Mapping
from heapq import heapify, heappop, heapreplace

from aiokafka import AIOKafkaConsumer, TopicPartition

from engine.inputs import Topic
from engine.marks.plausible_times import NOT_RECEIVED_NS
from streams.contract.codec import decode_account_input, decode_prices
from streams.contract.operator_command import decode_operator_record
from streams.contract.record import Decoded, Record, taken_in_ns
from streams.kafka.topic_access import POLL_MS, STALL_TIMEOUT_S, ConsumerRecord, LogBounds
from streams.replay.arrivals import OPERATOR, PRICES, Arrival, Dates, order

HELD_ENOUGH = 2_000
"""Records of a partition that wait for their turn: more of it are not asked for."""
NS_PER_MS = 1_000_000


class TopicsLog:
    """What the input topics held at the start."""

    def __init__(
        self, consumer: AIOKafkaConsumer, kinds: Mapping[str, str], bounds: Mapping[TopicPartition, LogBounds]
    ) -> None:
        """`kinds`: the kind of input that each topic carries, by its name; `bounds`: what to read."""
        self._consumer, self._bounds = consumer, bounds
        self._logs = [_PartitionLog(place, kinds[place.topic], it) for place, it in bounds.items()]
        self.offsets = sum(end - begin for begin, end in bounds.values())
        """To be passed; transaction markers hold no record."""

    @property
    def passed(self) -> int:
        """Of these offsets."""
        return sum(log.passed for log in self._logs)

    async def arrivals(self) -> AsyncIterator[Arrival]:
        """Every record, in order. Raises `TimeoutError` when the broker falls silent."""
        self._consumer.assign([log.place for log in self._logs if not log.ended])
        for log in self._logs:
            if not log.ended:
                self._consumer.seek(log.place, log.bounds.begin)
        heads = [(log, await self._next(log)) for log in self._logs]
        heap = [
            (order(head), number, head, log) for number, (log, head) in enumerate(heads) if head is not None
        ]
        heapify(heap)
        while heap:
            _, number, head, log = heap[0]
            yield head
            following = await self._next(log)
            if following is None:
                heappop(heap)
            else:
                heapreplace(heap, (order(following), number, following, log))

    async def _next(self, log: "_PartitionLog") -> Arrival | None:
        """The partition's next record; None at its end."""
        heard_s = time.monotonic()
        while not log.records and not log.ended:
            if await self._poll():
                heard_s = time.monotonic()
            elif time.monotonic() - heard_s > STALL_TIMEOUT_S:
                raise TimeoutError(f"no record for {STALL_TIMEOUT_S:g} s")
        return log.pop() if log.records else None

    async def _poll(self) -> bool:
        """Take what has come of any partition; whether anything has."""
        asked = [log for log in self._logs if not log.ended and len(log.records) < HELD_ENOUGH]
        paused = self._consumer.paused()
        self._consumer.resume(*(log.place for log in asked if log.place in paused))
        polled = await self._consumer.getmany(*(log.place for log in asked), timeout_ms=POLL_MS)
        for log in asked:
            log.records.extend(it for it in polled.get(log.place, ()) if it.offset < log.bounds.end)
            log.ended = await self._consumer.position(log.place) >= log.bounds.end
            if log.ended or len(log.records) >= HELD_ENOUGH:
                self._consumer.pause(log.place)
        return bool(polled)


class _PartitionLog:
    """One partition, read step by step."""

    def __init__(self, place: TopicPartition, kind: str, bounds: LogBounds) -> None:
        self.place, self.bounds = place, bounds
        self.passed = 0
        self.records: deque[ConsumerRecord] = deque()
        """Fetched and not yet given."""
        self.ended = bounds.begin >= bounds.end
        """Whether nothing is left to fetch."""
        self._kind = kind
        self._dates = Dates()

    def pop(self) -> Arrival:
        """The next record of those that wait."""
        record = self.records.popleft()
        self.passed = record.offset + 1 - self.bounds.begin
        return arrival_of(record, self._kind, self._dates)


def arrival_of(record: ConsumerRecord, kind: str, dates: Dates) -> Arrival:
    """A record of a topic that carries this kind of input; `dates` are those of its partition."""
    stamped_ns = taken_in_ns(record.timestamp)
    received_ns = stamped_ns or NOT_RECEIVED_NS
    where = f"{record.topic}/{record.partition}/{record.offset}"
    if kind == PRICES:
        marks = decode_prices(record.value)
        dated_ns = dates.next(marks, received_ns)
        return Arrival(dated_ns, PRICES, record.partition, record.offset, marks, received_ns, where)
    if kind == OPERATOR:
        command = decode_operator_record(record.value)
        dated_ns = dates.next(command, received_ns)
        return Arrival(dated_ns, OPERATOR, record.partition, record.offset, command, received_ns, where)
    raw = Record(record.offset, record.key, record.value, stamped_ns)
    body = Decoded(raw, decode_account_input(Topic(kind), record.key, record.value, stamped_ns))
    dated_ns = dates.next(body, received_ns)
    return Arrival(dated_ns, kind, record.partition, record.offset, body, received_ns, where)
