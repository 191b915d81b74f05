"""The event topics as the notifier reads them: in a consumer group of its own, with the position kept until deliveries are done."""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.abc import ConsumerRebalanceListener
from aiokafka.errors import CommitFailedError, IllegalStateError

from engine.events.effects import Stream
from engine.rejections import Rejection
from streams.config.settings import Settings
from streams.contract.cloudevents import Event
from streams.contract.published_event import UnreadableEvent, read_published
from streams.desk.following import keep_following
from streams.desk.notify.deliveries import Pending, TargetQueue
from streams.desk.notify.desk_notices import Matcher, notice_of
from streams.desk.notify.notify_metrics import NotifyMetrics
from streams.desk.notify.positions import PartitionPosition
from streams.kafka.clients import client_options, partition_counts

POLL_MS = 200
BATCH_RECORDS_MAX = 500

_log = structlog.get_logger()


class EventReader(ConsumerRebalanceListener):  # type: ignore[misc]
    """Reads, asks the rules, hands on, commits."""

    def __init__(
        self,
        settings: Settings,
        matcher: Matcher,
        queues: Mapping[str, TargetQueue],
        metrics: NotifyMetrics,
    ) -> None:
        self._settings, self._matcher, self._queues, self._metrics = settings, matcher, queues, metrics
        self._positions: dict[TopicPartition, PartitionPosition] = {}
        self._consumer: AIOKafkaConsumer | None = None
        self.problem = "the event topics were not read yet"
        """Why they are not followed; "" while they are."""

    async def run(self) -> None:
        """Follow until cancelled; a broker that is away is waited out."""
        await keep_following(self._follow, self._say_away)

    def _say_away(self, problem: str) -> None:
        self.problem = problem
        self._metrics.reader_ready.set(0)

    async def _follow(self) -> None:
        counts = await partition_counts(self._settings, [*Stream])
        if missing := [it.value for it in Stream if not counts.get(it)]:
            self.problem = f"missing topics: {', '.join(missing)}"
            return
        self._consumer = consumer = AIOKafkaConsumer(
            **client_options(self._settings),
            group_id=f"{self._settings.group}-notify",
            client_id=self._settings.worker_id,
            enable_auto_commit=False,
            # of a position that the log no longer has; one that was never kept is `on_partitions_assigned`'s
            auto_offset_reset="earliest",
            isolation_level="read_committed",
            session_timeout_ms=int(self._settings.kafka_session_timeout_seconds * 1000),
            fetch_max_wait_ms=self._settings.kafka_fetch_wait_ms,
        )
        consumer.subscribe([*Stream], listener=self)
        try:
            await consumer.start()
            while True:
                await self._step(consumer)
        finally:
            self._drop(list(self._positions))
            await asyncio.shield(consumer.stop())

    async def _step(self, consumer: AIOKafkaConsumer) -> None:
        waiting = sum(it.waiting for it in self._positions.values())
        self._metrics.waiting.set(waiting)
        if waiting >= self._settings.notify_events_max:
            consumer.pause(*consumer.assignment())
        elif paused := consumer.paused():
            consumer.resume(*paused)
        polled = await consumer.getmany(timeout_ms=POLL_MS, max_records=BATCH_RECORDS_MAX)
        for at, records in polled.items():
            position = self._positions.get(at)
            if position is not None:
                self._read(Stream(at.topic), position, records)
        await self._commit(list(self._positions))
        self._tell_lag(consumer)

    def _read(self, stream: Stream, position: PartitionPosition, records: Iterable[Any]) -> None:
        for record in records:
            self._metrics.events_read_total.inc()
            event = event_of(stream, record)
            if event is None:
                self._metrics.unreadable_total.inc()
                position.read(record.offset, 0)
                continue
            targets = self._matcher.targets(event)
            position.read(record.offset, len(targets))
            done = position.done_of(record.offset)
            for target, rule in targets.items():
                self._queues[target].offer(Pending(notice_of(event, rule), _alive(position), done))

    async def _commit(self, partitions: Iterable[TopicPartition]) -> None:
        assert self._consumer is not None  # noqa: S101 - called while it runs
        moved = {
            at: it.position
            for at in partitions
            if (it := self._positions.get(at)) is not None and it.position != it.committed
        }
        if not moved:
            return
        try:
            await self._consumer.commit(moved)
        except (CommitFailedError, IllegalStateError) as error:
            # another process has the partition: it reads from the position before, and Redis knows what was told
            _log.warning("position_not_kept", error=type(error).__name__)
            return
        for at, offset in moved.items():
            if at in self._positions:
                self._positions[at].committed = offset

    def _tell_lag(self, consumer: AIOKafkaConsumer) -> None:
        lag = 0
        for at, position in self._positions.items():
            if at in consumer.assignment():
                lag += max(0, (consumer.highwater(at) or position.committed) - position.committed)
        self._metrics.lag_records.set(lag)

    def _drop(self, partitions: Iterable[TopicPartition]) -> None:
        for at in partitions:
            gone = self._positions.pop(at, None)
            if gone is not None:
                gone.live = False

    async def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
        """Keep what is done; what is not is read again by whoever gets them."""
        partitions = list(revoked)
        await self._commit(partitions)
        self._drop(partitions)

    async def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        """Begin where the group stands; where it stands nowhere yet, keep at once where it begins."""
        consumer = self._consumer
        assert consumer is not None  # noqa: S101 - it calls this
        for at in assigned:
            offset = await consumer.committed(at)
            if offset is None:
                bounds = (
                    consumer.end_offsets
                    if self._settings.notify_from == "latest"
                    else consumer.beginning_offsets
                )
                offset = (await bounds([at]))[at]
                await consumer.commit({at: offset})
                consumer.seek(at, offset)
            self._positions[at] = PartitionPosition(offset)
        # without a partition too: there may be more replicas than partitions
        self.problem = ""
        self._metrics.reader_ready.set(1)


def event_of(stream: Stream, record: Any) -> Event | None:
    """The event that a record is; None where it is none that this edition knows."""
    found = read_published(stream, record.key, record.value, dict(record.headers))
    if isinstance(found, Rejection | UnreadableEvent):
        _log.warning("event_unreadable", topic=record.topic, partition=record.partition, offset=record.offset)
        return None
    return found


def _alive(position: PartitionPosition) -> Callable[[], bool]:
    return lambda: position.live
