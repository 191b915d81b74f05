"""A worker's place in the group: Faust hands it shards, and turns for the agents.

Faust fetches no records: the input topics are subscribed to so that the group assigns their partitions, and every shard reads them itself from
its watermarks (`streams.shards.input_reader`).
"""

from collections.abc import Iterable
from typing import Any

import faust
import structlog
from faust.tables import TableManager
from faust.transport.drivers.aiokafka import Consumer, ConsumerRebalanceListener, Transport
from mode import CrashingSupervisor
from yarl import URL

from engine.inputs import Topic
from streams.config.settings import Settings
from streams.observe.metrics import Metrics
from streams.prices.price_desk import PriceDesk
from streams.prices.price_reader import PriceReader
from streams.shards.shards import Shards
from streams.worker.agents import add_input_agent, add_marks_agent
from streams.worker.group_credentials import group_credentials
from streams.worker.group_offsets import GroupOffsets

HEARTBEAT_SECONDS_MAX = 0.5
"""By heartbeats a member hears that others come or are gone: so much of a take-over."""

_log = structlog.get_logger()


class IdleListener(ConsumerRebalanceListener):  # type: ignore[misc]
    """Pauses what is assigned before Faust hears of it, so that nothing of it is ever fetched."""

    async def on_partitions_assigned(self, assigned: Iterable[Any]) -> None:
        """Take an assignment."""
        self._thread._ensure_consumer().pause(*assigned)  # noqa: SLF001 - Faust's own pausing fetches, and drops
        await super().on_partitions_assigned(assigned)


class IdleConsumer(Consumer):  # type: ignore[misc]
    """Faust's consumer as a member of the group and nothing else: each shard reads its partitions by itself."""

    RebalanceListener = IdleListener

    def verify_event_path(self, _now: float, _place: object) -> None:
        """Miss no events: none comes this way."""


class IdleTransport(Transport):  # type: ignore[misc]
    """Faust's way to Kafka, with the consumer that reads nothing."""

    Consumer = IdleConsumer


class MembershipApp(faust.App):  # type: ignore[misc]
    """A Faust app that reads nothing, and leaves no directory where it was started: Faust makes one for tables, and no agent keeps any."""

    def _new_transport(self) -> Transport:
        return IdleTransport(self.conf.broker_consumer, self)

    def _create_directories(self) -> None:
        """Make none."""


class TablelessManager(TableManager):  # type: ignore[misc]
    """Faust's manager of tables waits a second for tables to be declared before it lets the consumer join; no agent keeps any."""

    async def sleep(self, _seconds: object) -> None:
        """Wait for nothing."""


def build_faust_app(settings: Settings) -> faust.App:
    """Build the Faust app with every default that matters overridden in the open."""
    session = settings.kafka_session_timeout_seconds
    return MembershipApp(
        settings.group,
        broker=[
            URL(f"aiokafka://{address.strip()}") for address in settings.kafka_bootstrap_servers.split(",")
        ],
        broker_credentials=group_credentials(settings),
        broker_session_timeout=session,
        broker_heartbeat_interval=min(session / 5, HEARTBEAT_SECONDS_MAX),
        broker_request_timeout=max(90.0, session + 30.0),  # Faust refuses one shorter than the session
        broker_max_poll_interval=600.0,
        broker_client_id=settings.worker_id,
        # A static member keeps its shards over a quick restart. An id of its own making changes at every start, and a
        # static member never says goodbye: its shards would wait out the session for nobody.
        consumer_group_instance_id=settings.worker_id if "worker_id" in settings.model_fields_set else None,
        consumer_auto_offset_reset="earliest",
        processing_guarantee="at_least_once",
        agent_supervisor=CrashingSupervisor,
        producer_acks=-1,
        stream_wait_empty=False,
        topic_allow_declare=False,
        topic_disable_leader=True,
        store="memory://",
        TableManager=TablelessManager,
        web_enabled=False,
        worker_redirect_stdouts=False,
        autodiscover=False,
    )


class GroupMember:
    """Has the shards that the group assigns."""

    def __init__(
        self, settings: Settings, topics: dict[Topic, str], shards: Shards, desk: PriceDesk, metrics: Metrics
    ) -> None:
        """Nothing joins before `start`."""
        self._app = build_faust_app(settings)
        self._channel = self._app.channel()
        self._inputs = {topic: self._app.channel() for topic in topics}
        self._desk = desk
        self._offsets = GroupOffsets(self._app, shards, topics)
        for topic, name in topics.items():
            # the group assigns partitions of what is subscribed to
            self._app.topics.add(self._app.topic(name, value_type=bytes, value_serializer="raw"))
            add_input_agent(self._app, topic, self._inputs[topic], shards)
        self._app.on_partitions_assigned.connect(_assignment_handler(shards, topics, metrics), weak=False)

    async def wake(self) -> None:
        """Have the prices judged that wait."""
        await self._channel.send(value=True)

    async def wake_inputs(self, topic: Topic) -> None:
        """Have the inputs of a topic handed over that wait."""
        await self._inputs[topic].send(value=True)

    async def start(self, reader: PriceReader) -> None:
        """Join the group, and judge what `reader` reads."""
        add_marks_agent(self._app, self._channel, reader, self._desk)
        await self._app.start()
        self._offsets.start()

    async def stop(self) -> None:
        """Leave."""
        await self._offsets.stop()
        await self._app.stop()


def _assignment_handler(shards: Shards, topics: dict[Topic, str], metrics: Metrics) -> Any:
    async def on_assigned(_: faust.App, assigned: set[Any], **_options: Any) -> None:
        metrics.rebalances_total.inc()
        by_topic = {
            name: {place.partition for place in assigned if place.topic == name} for name in topics.values()
        }
        first, second = by_topic.values()
        if first != second:
            # one was deleted, or has grown: every shard of either looks, sees it and stops
            _log.error("account_topics_differ", assigned=by_topic)
        await shards.assigned(first | second)

    return on_assigned
