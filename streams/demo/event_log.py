"""The events of the run, read from their topics as any consumer of the product reads them."""

import asyncio
from collections import Counter, deque

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import OffsetOutOfRangeError
from aiokafka.structs import ConsumerRecord

from engine.events.effects import EventType, RiskEvent, Stream
from engine.ladder import Band
from streams.config.settings import Settings
from streams.contract.published_event import decode_event
from streams.kafka.clients import open_reader, partition_counts

POLL_MS = 200
FETCH_WAIT_MS = 50
"""What a person at a screen does not notice; latency is not measured here."""
NEWEST_EVENTS_MAX = 20
CALLS = frozenset(
    {
        EventType.CALL_OPENED,
        EventType.CALL_ESCALATED,
        EventType.REDUCE_ONLY_OPENED,
        EventType.REDUCE_ONLY_ESCALATED,
    }
)
SEIZURES = frozenset({EventType.LIQUIDATION_ENTERED, EventType.ACCOUNT_BANKRUPT})
SAID_AS_SEIZURE = frozenset({Band.LIQUIDATION, Band.BANKRUPT})
"""Bands that the margin stream tells as a step of the episode and the liquidation stream tells by name."""


class EventLog:
    """Counts every event once and remembers the newest calls and liquidations."""

    def __init__(self, settings: Settings) -> None:
        """`settings`: where the broker is."""
        self.counts: Counter[EventType] = Counter()
        self.newest: deque[RiskEvent] = deque(maxlen=NEWEST_EVENTS_MAX)
        """Calls and liquidations only, newest first."""
        self.missed = 0
        """Records that the broker dropped before they were read here (the embedded one keeps 5 MiB a partition)."""
        self.reading = asyncio.Event()
        """Set once whatever is published from then on will be counted."""
        self._settings = settings
        self._sequences: dict[tuple[str, Stream], int] = {}
        self._positions: dict[TopicPartition, int] = {}
        self._dropped: set[TopicPartition] = set()
        """Where the broker has said that it dropped some."""

    async def run(self) -> None:
        """Read until cancelled."""
        counts = await partition_counts(self._settings, list(Stream))
        places = [TopicPartition(topic, number) for topic, count in counts.items() for number in range(count)]
        async with open_reader(self._settings, fetch_max_wait_ms=FETCH_WAIT_MS) as consumer:
            consumer.assign(places)
            self._positions = await consumer.end_offsets(places)
            for place, end in self._positions.items():
                consumer.seek(place, end)
            self.reading.set()
            while True:
                await self._poll(consumer)

    async def _poll(self, consumer: AIOKafkaConsumer) -> None:
        try:
            polled = await consumer.getmany(timeout_ms=POLL_MS)
        except OffsetOutOfRangeError as error:
            self._dropped.update(error.args[0])
            await consumer.seek_to_beginning(*error.args[0])
            return
        for place, records in polled.items():
            for record in records:
                self._take(place, record)

    def _take(self, place: TopicPartition, record: ConsumerRecord) -> None:
        if place in self._dropped:  # else what lies between is no record: an owner's mark
            self.missed += record.offset - self._positions[place]
            self._dropped.discard(place)
        self._positions[place] = record.offset + 1
        event = decode_event(record.value)
        if isinstance(event, RiskEvent):
            self.take(event)

    def take(self, event: RiskEvent) -> None:
        """Count an event, unless it was published before: delivery is at least once, identity never changes."""
        last = self._sequences.get((event.account, event.stream), 0)
        if event.sequence <= last:
            return
        self._sequences[event.account, event.stream] = event.sequence
        self.counts[event.type] += 1
        if event.type in SEIZURES or (event.type in CALLS and event.band not in SAID_AS_SEIZURE):
            self.newest.appendleft(event)
