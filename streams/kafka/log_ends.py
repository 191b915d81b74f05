"""Where the account topics end right now, asked for all shards at once.

An account is judged after an input only when both of its topics have been applied up to where they ended *after* the
input was read (see `streams.shards.input_steps`). Shards ask often, the broker is asked at most every `SAMPLE_SECONDS`.
"""

import asyncio

import structlog
from aiokafka import TopicPartition
from aiokafka.errors import KafkaError

from engine.inputs import Topic
from streams.config.settings import Settings
from streams.kafka.clients import open_reader

SAMPLE_SECONDS = 0.01
"""Delays a judgement after a fill by as much; asking twice as often costs the event loop some 5 % of its time."""
ANSWER_SECONDS_MAX = 5.0
"""A broker that takes longer is asked again; nothing is concluded meanwhile."""

_log = structlog.get_logger()


class LogEnds:
    """One asking task for all shards of a worker."""

    def __init__(self, settings: Settings, topics: dict[Topic, str]) -> None:
        """Nobody is answered before `run`."""
        self._settings, self._topics = settings, topics
        self._waiting: list[tuple[int, asyncio.Future[dict[Topic, int]]]] = []
        self._asked = asyncio.Event()

    async def of(self, shard: int) -> dict[Topic, int]:
        """Offset after the last record of each topic of `shard`, sampled after this call."""
        answer: asyncio.Future[dict[Topic, int]] = asyncio.get_running_loop().create_future()
        self._waiting.append((shard, answer))
        self._asked.set()
        return await answer

    async def run(self) -> None:
        """Answer until cancelled; while the broker is away the askers wait."""
        async with open_reader(self._settings) as consumer:
            while True:
                await self._asked.wait()
                self._asked.clear()
                waiting, self._waiting = self._waiting, []
                places = {
                    (shard, topic): TopicPartition(name, shard)
                    for shard in {shard for shard, _ in waiting}
                    for topic, name in self._topics.items()
                }
                try:
                    ends = await asyncio.wait_for(
                        consumer.end_offsets(list(places.values())), ANSWER_SECONDS_MAX
                    )
                except (KafkaError, TimeoutError) as error:
                    _log.warning("log_ends_unknown", error=repr(error))
                    self._waiting += waiting
                    self._asked.set()
                    await asyncio.sleep(1.0)
                    continue
                for shard, answer in waiting:
                    if not answer.done():
                        answer.set_result({topic: ends[places[shard, topic]] for topic in self._topics})
                await asyncio.sleep(SAMPLE_SECONDS)
