"""Where the account topics end right now, and which topics they are, asked for all shards at once.

An account is judged after an input only when both of its topics have been applied up to where they ended *after* the
input was read (see `streams.shards.input_steps`). Shards ask often, the broker is asked at most every `SAMPLE_SECONDS`.

A log ends at its last stable offset: what lies behind an open transaction is not there yet. The identity is asked for after the ends, so
both are the same topic's; and what was read before the asking was that topic's as well, for an id never comes back.
"""

import asyncio
import time
from collections.abc import Mapping
from typing import NamedTuple

import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from engine.inputs import Topic
from streams.config.settings import Settings
from streams.kafka.clients import BROKER_PATIENCE_SECONDS, open_reader
from streams.kafka.topic_identity import TopicIdentities, TopicIdentity

SAMPLE_SECONDS = 0.01
"""Delays a judgement after a fill by as much; asking twice as often costs the event loop some 5 % of its time."""
ANSWER_SECONDS_MAX = 5.0
"""A broker that takes longer is asked again; nothing is concluded meanwhile."""

RETRY_SECONDS = 1.0
GONE_SECONDS = 5.0
"""A topic that is missing for longer does not exist."""

_log = structlog.get_logger()


class LogLook(NamedTuple):
    """The two logs of one shard at one moment."""

    ends: dict[Topic, int]
    """Offset after the last committed record."""
    identities: dict[Topic, TopicIdentity]
    asked_s: float
    """When the broker was asked (monotonic): what was read before is of these topics."""


class LogEnds:
    """One asking task for all shards of a worker."""

    def __init__(self, settings: Settings, topics: dict[Topic, str]) -> None:
        """Nobody is answered before `run`."""
        self._settings, self._topics = settings, topics
        self._waiting: list[tuple[int, asyncio.Future[LogLook]]] = []
        self._asked = asyncio.Event()
        self._known: Mapping[str, TopicIdentity] | None = None
        self._gone_since_s: float | None = None

    async def of(self, shard: int) -> LogLook:
        """How the logs of `shard` stand, sampled after this call."""
        answer: asyncio.Future[LogLook] = asyncio.get_running_loop().create_future()
        self._waiting.append((shard, answer))
        self._asked.set()
        return await answer

    async def run(self) -> None:
        """Answer until cancelled; while the broker is away the askers wait."""
        async with open_reader(self._settings, patience_seconds=BROKER_PATIENCE_SECONDS) as consumer:
            identities = TopicIdentities(consumer, list(self._topics.values()))
            while True:
                await self._asked.wait()
                self._asked.clear()
                waiting, self._waiting = self._waiting, []
                looks = await self._look(consumer, identities, {shard for shard, _ in waiting})
                if looks is None:
                    self._waiting += waiting
                    self._asked.set()
                    await asyncio.sleep(RETRY_SECONDS)
                    continue
                for shard, answer in waiting:
                    if not answer.done():
                        answer.set_result(looks[shard])
                await asyncio.sleep(SAMPLE_SECONDS)

    async def _look(
        self, consumer: AIOKafkaConsumer, identities: TopicIdentities, shards: set[int]
    ) -> dict[int, LogLook] | None:
        """One sample; None where it has to be taken again."""
        asked_s = time.monotonic()
        try:
            async with asyncio.timeout(ANSWER_SECONDS_MAX):
                before = self._known or await identities.now()
                places = {
                    (shard, topic): TopicPartition(name, shard)
                    for shard in shards
                    for topic, name in self._topics.items()
                    if shard < before[name].partitions
                }
                ends = await consumer.end_offsets(list(places.values())) if places else {}
                self._known = await identities.now()
        except (KafkaError, TimeoutError) as error:
            self._known = None
            _log.warning("log_ends_unknown", error=repr(error))
            return None
        if self._known != before or self._is_gone_since_now(self._known):
            _log.warning("input_topics_changed", before=before, now=self._known)
            return None
        found = {topic: self._known[name] for topic, name in self._topics.items()}
        return {
            shard: LogLook({it: ends.get(places.get((shard, it)), 0) for it in self._topics}, found, asked_s)
            for shard in shards
        }

    def _is_gone_since_now(self, identities: Mapping[str, TopicIdentity]) -> bool:
        """Whether a topic is missing, and was not for long: it may be under way."""
        now = time.monotonic()
        if all(it.partitions for it in identities.values()):
            self._gone_since_s = None
            return False
        self._gone_since_s = self._gone_since_s or now
        return now - self._gone_since_s < GONE_SECONDS
