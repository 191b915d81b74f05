"""The input topics as they grow, read outside any group: account inputs from the stored watermarks, prices from a little back.

What has come of all partitions since the last look is put in order of event time. Nothing is acknowledged to anybody.
"""

from collections.abc import AsyncIterator, Mapping

from aiokafka import AIOKafkaConsumer, TopicPartition

from engine.inputs import Topic
from streams.config.problem import Problem
from streams.config.settings import Settings
from streams.kafka.topic_access import find_places
from streams.replay.arrivals import PRICES, Arrival, Dates, order
from streams.replay.topics_log import arrival_of

LOOKBACK_MS = 15_000
"""A starting worker reads prices from as far back (`streams.prices.price_reader`)."""
POLL_MS = 200
POLL_RECORDS_MAX = 5_000


class LiveTopics:
    """Get one with `follow`."""

    def __init__(
        self, consumer: AIOKafkaConsumer, kinds: Mapping[str, str], places: list[TopicPartition]
    ) -> None:
        """The consumer stands where reading begins."""
        self._consumer, self._kinds = consumer, kinds
        self._dates = {place: Dates() for place in places}

    async def looks(self) -> AsyncIterator[list[Arrival]]:
        """What has come since the look before, in order; empty where nothing has. It does not end."""
        while True:
            polled = await self._consumer.getmany(timeout_ms=POLL_MS, max_records=POLL_RECORDS_MAX)
            arrivals = [
                arrival_of(record, self._kinds[place.topic], self._dates[place])
                for place, records in polled.items()
                for record in records
            ]
            yield sorted(arrivals, key=order)


async def follow(
    settings: Settings,
    consumer: AIOKafkaConsumer,
    watermarks: Mapping[int, Mapping[Topic, int]],
    now_ms: int,
) -> LiveTopics:
    """Begin behind these watermarks (by shard), or where the log begins now. Raises `Problem` for topics that are not there."""
    kinds = {
        settings.topic_fills: Topic.FILLS.value,
        settings.topic_ledger: Topic.LEDGER.value,
        settings.topic_prices: PRICES,
    }
    places = await find_places(settings, list(kinds))
    consumer.assign(places)
    priced = [place for place in places if place.topic == settings.topic_prices]
    begins = await consumer.beginning_offsets(places)
    ends = await consumer.end_offsets(priced)
    dated = await consumer.offsets_for_times(dict.fromkeys(priced, now_ms - LOOKBACK_MS))
    for place in places:
        if place in ends:
            found = dated.get(place)
            start = ends[place] if found is None else found.offset
        else:
            start = watermarks.get(place.partition, {}).get(Topic(kinds[place.topic]), 0)
        if start < begins[place] and place not in ends:
            raise Problem(
                f"{place.topic}/{place.partition} begins at offset {begins[place]}, after the stored watermark {start}: what lies "
                "between is lost, so no shadow can be true"
            )
        consumer.seek(place, max(start, begins[place]))
    return LiveTopics(consumer, kinds, places)
