"""The group's committed offsets: a hint for people and their tools, and nothing that any worker reads.

A shard goes on from the watermark in Redis. Once a second its durable watermarks are committed to Kafka, so that `kafka-consumer-groups.sh`
and lag exporters show what is true. Offsets that are lost, or a group of another name, cost nothing; a commit that fails is tried again
with the next.
"""

import asyncio
from collections.abc import Mapping

import faust
import structlog
from aiokafka import OffsetAndMetadata, TopicPartition
from aiokafka.errors import KafkaError

from engine.inputs import Topic
from streams.shards.crash import crash_only
from streams.shards.shards import Shards

COMMIT_SECONDS = 1.0
ANSWER_SECONDS_MAX = 5.0

_log = structlog.get_logger()


class GroupOffsets:
    """Commits how far the shards of this member have come."""

    def __init__(self, app: faust.App, shards: Shards, topics: Mapping[Topic, str]) -> None:
        """Nothing is committed before `start`."""
        self._app, self._shards, self._topics = app, shards, topics
        self._told: dict[TopicPartition, int] = {}
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin, once the app has started."""
        self._task = asyncio.create_task(crash_only(self._run)())

    async def stop(self) -> None:
        """Commit once more, and end; the app must still run."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            await self._commit()

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(COMMIT_SECONDS)
            await self._commit()

    async def _commit(self) -> None:
        durable = {
            TopicPartition(self._topics[topic], runner.shard): offset
            for runner in self._shards.runners
            for topic, offset in runner.durable.items()
        }
        changed = {place: offset for place, offset in durable.items() if self._told.get(place) != offset}
        if not changed:
            return
        # not cancelled: Faust's thread would answer nobody
        sent = asyncio.ensure_future(self._send(changed))
        await asyncio.wait({sent}, timeout=ANSWER_SECONDS_MAX)
        if sent.done() and sent.result():
            self._told = durable

    async def _send(self, offsets: Mapping[TopicPartition, int]) -> bool:
        thread = self._app.consumer._thread  # noqa: SLF001 - what Faust itself offers ends its consumer when a commit fails
        told = {place: OffsetAndMetadata(offset, "") for place, offset in offsets.items()}
        try:
            await thread.call_thread(thread._ensure_consumer().commit, told)  # noqa: SLF001
        except (KafkaError, OSError) as error:
            _log.info("group_offsets_not_committed", error=repr(error))
            return False
        return True
