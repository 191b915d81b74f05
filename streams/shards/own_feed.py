"""The inputs of a shard that a standby owns: read from the log, because the group assigned them to nobody here.

The group's offsets stay where the last member left them. They are a hint: whom the group assigns the shard to next starts from
the watermark in Redis, and passes over what it is given a second time.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager

import structlog
from aiokafka.errors import KafkaError

from engine.inputs import Topic
from streams.kafka.log_reader import LogReader
from streams.shards.inbox import Offered

RETRY_SECONDS = 1.0

_log = structlog.get_logger()


async def feed_from_log(
    open_log: Callable[[], AbstractAsyncContextManager[LogReader]],
    shard: int,
    topics: Mapping[Topic, str],
    watermarks: Mapping[Topic, int],
    offer: Callable[[Offered], Awaitable[None]],
) -> None:
    """Offer every record from the watermarks on until cancelled; an error of the broker is waited out."""
    topic_of = {name: topic for topic, name in topics.items()}
    while True:
        try:
            async with open_log() as log:
                starts = {name: watermarks[topic] for topic, name in topics.items()}
                async for name, records in log.follow(starts, shard):
                    for record in records:
                        await offer(Offered(topic_of[name], record, _tell_nobody))
        except (KafkaError, OSError, TimeoutError) as error:
            _log.warning("own_feed_interrupted", shard=shard, error=repr(error))
        await asyncio.sleep(RETRY_SECONDS)


def _tell_nobody() -> None:
    """No group waits to hear how far we are."""
