"""The input topics as arrivals: read outside any group, from their first record to where they ended at the start.

Each partition is polled on its own when its turn comes, so that no more of it is held than the client has fetched.
"""

import time
from collections import deque
from collections.abc import AsyncIterator, Mapping
from heapq import heapify, heappop, heapreplace

from aiokafka import AIOKafkaConsumer, TopicPartition

from engine.inputs import Topic
from streams.codec import decode_account_input, decode_prices
from streams.commands.kafka_io import POLL_MS, STALL_TIMEOUT_S, ConsumerRecord, LogBounds
from streams.processor import Decoded, Record
from streams.replay.arrivals import NOT_RECEIVED_NS, PRICES, Arrival, Dates, order

POLL_RECORDS_MAX = 1_000
NS_PER_MS = 1_000_000


class TopicsLog:
    """What the input topics held at the start."""

    def __init__(
        self, consumer: AIOKafkaConsumer, kinds: Mapping[str, str], bounds: Mapping[TopicPartition, LogBounds]
    ) -> None:
        """`kinds`: the kind of input that each topic carries, by its name; `bounds`: what to read."""
        self._consumer, self._bounds = consumer, bounds
        self._logs = [_PartitionLog(consumer, place, kinds[place.topic], it) for place, it in bounds.items()]
        self.offsets = sum(end - begin for begin, end in bounds.values())
        """To be passed; transaction markers hold no record."""

    @property
    def passed(self) -> int:
        """Of these offsets."""
        return sum(log.passed for log in self._logs)

    async def arrivals(self) -> AsyncIterator[Arrival]:
        """Every record, in order. Raises `TimeoutError` when the broker falls silent."""
        self._consumer.assign(list(self._bounds))
        for place, (begin, _) in self._bounds.items():
            self._consumer.seek(place, begin)
        heads = [(log, await log.next()) for log in self._logs]
        heap = [
            (order(head), number, head, log) for number, (log, head) in enumerate(heads) if head is not None
        ]
        heapify(heap)
        while heap:
            _, number, head, log = heap[0]
            yield head
            following = await log.next()
            if following is None:
                heappop(heap)
            else:
                heapreplace(heap, (order(following), number, following, log))


class _PartitionLog:
    """One partition, read step by step."""

    def __init__(
        self, consumer: AIOKafkaConsumer, place: TopicPartition, kind: str, bounds: LogBounds
    ) -> None:
        self.passed = 0
        self._consumer, self._place, self._kind, self._bounds = consumer, place, kind, bounds
        self._records: deque[ConsumerRecord] = deque()
        self._dates = Dates()
        self._ended = bounds.begin >= bounds.end

    async def next(self) -> Arrival | None:
        """The next record; None at the end."""
        while not self._records and not self._ended:
            await self._poll()
        if not self._records:
            return None
        record = self._records.popleft()
        self.passed = record.offset + 1 - self._bounds.begin
        return self._arrival(record)

    async def _poll(self) -> None:
        heard_s = time.monotonic()
        while not self._records and not self._ended:
            polled = await self._consumer.getmany(
                self._place, timeout_ms=POLL_MS, max_records=POLL_RECORDS_MAX
            )
            got = polled.get(self._place, [])
            self._records.extend(it for it in got if it.offset < self._bounds.end)
            self._ended = await self._consumer.position(self._place) >= self._bounds.end
            if not got and not self._ended and time.monotonic() - heard_s > STALL_TIMEOUT_S:
                raise TimeoutError(f"no record for {STALL_TIMEOUT_S:g} s")

    def _arrival(self, record: ConsumerRecord) -> Arrival:
        # the log's time stamp cuts the millisecond in which it was taken
        stamped = record.timestamp is not None and record.timestamp >= 0
        received_ns = (record.timestamp + 1) * NS_PER_MS - 1 if stamped else NOT_RECEIVED_NS
        where = f"{record.topic}/{record.partition}/{record.offset}"
        if self._kind == PRICES:
            marks = decode_prices(record.value)
            dated_ns = self._dates.next(marks, received_ns)
            return Arrival(dated_ns, PRICES, record.partition, record.offset, marks, received_ns, where)
        raw = Record(record.offset, record.key, record.value)
        body = Decoded(raw, decode_account_input(Topic(self._kind), record.key, record.value))
        dated_ns = self._dates.next(body, received_ns)
        return Arrival(dated_ns, self._kind, record.partition, record.offset, body, received_ns, where)
