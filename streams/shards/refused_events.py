"""An event that Kafka takes for no price, because it is too large: it is set aside, and its account stopped visibly.

Nobody who reads the topic would learn what became of the account, so it must not go on as if it had been said. The event goes to the
quarantine topic; where even that refuses it, its head does. Only when both are durable does the relay pass the event over.
"""

import asyncio

import structlog
from aiokafka.errors import KafkaError

from engine.rejections import Rejection, RejectionCode
from streams.contract.codec import account_of_key
from streams.contract.commit import Commit, OutboxEntry
from streams.contract.operator_command import OUTCOME_TYPE, RESUME_TYPE
from streams.contract.quarantine_record import refused_entry
from streams.observe.metrics import Metrics
from streams.shards.account_copies import AccountCopies
from streams.shards.commit_queue import CommitQueue
from streams.shards.processor import ShardProcessor

_log = structlog.get_logger()


class RefusedEvents:
    """What becomes of the refused events of one shard."""

    def __init__(
        self,
        processor: ShardProcessor,
        queue: CommitQueue,
        turn: asyncio.Lock,
        metrics: Metrics,
        copies: AccountCopies,
    ) -> None:
        """`turn` is held while anybody on this worker judges; of a second copy that is refused `copies` hears, and nobody else."""
        self._copies = copies
        self._processor, self._queue, self._turn, self._metrics = processor, queue, turn, metrics
        self._running = asyncio.Event()

    def begin(self) -> None:
        """The shard runs: from now on accounts can be stopped."""
        self._running.set()

    async def pass_over(self, entry: OutboxEntry, error: KafkaError) -> None:
        """Set the event aside and stop its account; returns when that is durable."""
        topic, event_type = entry.topic, entry.event_type
        self._metrics.events_refused_total.labels(topic, event_type).inc()
        _log.critical(
            "event_refused",
            shard=self._processor.shard,
            topic=topic,
            event_type=event_type,
            key=repr(entry.key),
            bytes=len(entry.value),
            error=repr(error),
        )
        if event_type == OUTCOME_TYPE:
            return  # where it would have been told is where we may not write
        if topic == self._copies.topic:
            self._copies.refused(entry)
            return
        await self._running.wait()
        if event_type == RESUME_TYPE:
            self._queue.add([self._processor.operator_records.not_resumed(entry, error)])
            self._queue.hurry()
            await self._queue.durable()
            return
        rejection = Rejection(RejectionCode.EVENT_REFUSED, f"Kafka does not take it: {error!r}")
        set_aside = refused_entry(self._processor.identity.quarantine_topic, entry, rejection)
        # a head without a value that is refused as well says no more than the log does
        if entry.value:
            self._queue.add([Commit(outbox=(set_aside,))])
        account = account_of_key(entry.key)
        if account is not None and topic != self._processor.identity.quarantine_topic:
            async with self._turn:
                for parts in self._processor.stop(account, error):
                    self._queue.add(parts)
        self._queue.hurry()
        await self._queue.durable()
