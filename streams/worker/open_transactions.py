"""Telling of transactions that are left open: all that lies behind one waits, and nobody but its producer can end it.

Of the inputs of a shard its own reader knows what it cannot read yet. Of all other topics the broker is asked, twice: where they end, and
behind that where what is committed ends. What is not open then ends no earlier.
"""

import asyncio
import time
from collections.abc import Mapping, Sequence

import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from streams.config.settings import Settings
from streams.contract.topic_layout import pipeline_topics
from streams.kafka.clients import BROKER_PATIENCE_SECONDS, open_reader, partition_counts
from streams.kafka.log_reader import NONE_OPEN, Uncommitted
from streams.observe.metrics import Metrics

LOOK_SECONDS = 2.0
ANSWER_SECONDS_MAX = 10.0
OPEN_SECONDS_MAX = 5.0
"""A transaction that is open for longer is told of in the log."""

_log = structlog.get_logger()


class OpenTransactions:
    """What one worker knows of them."""

    def __init__(self, settings: Settings, inputs: Sequence[str], metrics: Metrics) -> None:
        """None is known. `inputs` are topics whose readers `note` what they find."""
        self._settings, self._inputs, self._metrics = settings, inputs, metrics
        self._open: dict[TopicPartition, tuple[int, float]] = {}
        """Where the oldest open transaction of a partition begins, and since when that is known."""
        self._told: dict[TopicPartition, int] = {}
        """Which of these the log has."""

    def note(self, place: TopicPartition, found: Uncommitted) -> None:
        """What waits there now."""
        now = time.monotonic()
        stable, since = self._open.get(place, (-1, now))
        if stable != found.stable_offset or not found.offsets:
            since = now
        self._open[place] = found.stable_offset, since
        labels = place.topic, str(place.partition)
        self._metrics.input_uncommitted_records.labels(*labels).set(found.offsets)
        self._metrics.input_transaction_open_seconds.labels(*labels).set(now - since)
        if now - since > OPEN_SECONDS_MAX and self._told.get(place) != found.stable_offset:
            self._told[place] = found.stable_offset
            _log.warning("open_transaction", topic=place.topic, partition=place.partition, **found._asdict())

    async def run(self) -> None:
        """Look at all other topics until cancelled; while the broker cannot be asked, nothing is concluded."""
        topics = [it for it in pipeline_topics(self._settings) if it not in self._inputs]
        patience = BROKER_PATIENCE_SECONDS
        counts = await partition_counts(self._settings, topics, patience_seconds=patience)
        places = [TopicPartition(topic, number) for topic, count in counts.items() for number in range(count)]
        async with (
            open_reader(self._settings, patience_seconds=patience) as committed,
            open_reader(
                self._settings, patience_seconds=patience, isolation_level="read_uncommitted"
            ) as whole,
        ):
            while True:
                try:
                    async with asyncio.timeout(ANSWER_SECONDS_MAX):
                        found = await _behind(whole, committed, places)
                except (KafkaError, TimeoutError) as error:
                    _log.warning("open_transactions_unknown", error=repr(error))
                else:
                    for place, it in found.items():
                        self.note(place, it)
                await asyncio.sleep(LOOK_SECONDS)


async def _behind(
    whole: AIOKafkaConsumer, committed: AIOKafkaConsumer, places: Sequence[TopicPartition]
) -> Mapping[TopicPartition, Uncommitted]:
    ends = await whole.end_offsets(list(places))
    stable = await committed.end_offsets(list(places))
    return {
        place: Uncommitted(stable[place], end - stable[place]) if end > stable[place] else NONE_OPEN
        for place, end in ends.items()
    }
