"""A worker's place in the group: Faust hands it shards, their inputs, and turns for the agents."""

from typing import Any

import faust
from faust.tables import TableManager
from mode import CrashingSupervisor
from yarl import URL

from engine.inputs import Topic
from streams.config.settings import Settings
from streams.prices.price_desk import PriceDesk
from streams.prices.price_reader import PriceReader
from streams.shards.crash import end_process
from streams.shards.shards import Shards
from streams.worker.agents import add_input_agent, add_marks_agent


class DirectorylessApp(faust.App):  # type: ignore[misc]
    """A Faust app that leaves no directory where it was started: Faust makes one for tables, and no agent keeps any."""

    def _create_directories(self) -> None:
        """Make none."""


class TablelessManager(TableManager):  # type: ignore[misc]
    """Faust's manager of tables waits a second for tables to be declared before it lets the consumer join; no agent keeps any."""

    async def sleep(self, _seconds: object) -> None:
        """Wait for nothing."""


def build_faust_app(settings: Settings) -> faust.App:
    """Build the Faust app with every default that matters overridden in the open."""
    credentials = None
    if "SASL" in settings.kafka_security_protocol:
        credentials = faust.SASLCredentials(
            mechanism="PLAIN",
            username=settings.kafka_sasl_username,
            password=settings.kafka_sasl_password.get_secret_value(),
        )
    elif settings.kafka_security_protocol == "SSL":
        credentials = faust.SSLCredentials()
    session = settings.kafka_session_timeout_seconds
    return DirectorylessApp(
        settings.group,
        broker=[URL(f"aiokafka://{address}") for address in settings.kafka_bootstrap_servers.split(",")],
        broker_credentials=credentials,
        broker_session_timeout=session,
        broker_heartbeat_interval=session / 5,
        broker_request_timeout=max(90.0, session + 30.0),  # Faust refuses one shorter than the session
        broker_commit_interval=1.0,
        broker_max_poll_interval=600.0,
        broker_client_id=settings.worker_id,
        # A static member keeps its shards over a quick restart. An id of its own making changes at every start, and a
        # static member never says goodbye: its shards would wait out the session for nobody.
        consumer_group_instance_id=settings.worker_id if "worker_id" in settings.model_fields_set else None,
        consumer_auto_offset_reset="earliest",
        processing_guarantee="at_least_once",
        agent_supervisor=CrashingSupervisor,
        producer_acks=-1,
        stream_wait_empty=False,  # an unacknowledged record is read again by whoever owns the shard next
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

    def __init__(self, settings: Settings, topics: dict[Topic, str], shards: Shards, desk: PriceDesk) -> None:
        """Nothing joins before `start`."""
        self._app = build_faust_app(settings)
        self._channel = self._app.channel()
        self._desk = desk
        for topic, name in topics.items():
            add_input_agent(self._app, topic, name, shards)
        self._app.on_partitions_assigned.connect(_assignment_handler(shards, topics), weak=False)

    async def wake(self) -> None:
        """Have the prices judged that wait."""
        await self._channel.send(value=True)

    async def start(self, reader: PriceReader) -> None:
        """Join the group, and judge what `reader` reads."""
        add_marks_agent(self._app, self._channel, reader, self._desk)
        await self._app.start()

    async def stop(self) -> None:
        """Leave."""
        await self._app.stop()


def _assignment_handler(shards: Shards, topics: dict[Topic, str]) -> Any:
    async def on_assigned(_: faust.App, assigned: set[Any], **_options: Any) -> None:
        by_topic = {
            name: {place.partition for place in assigned if place.topic == name} for name in topics.values()
        }
        first, second = by_topic.values()
        if first != second:
            end_process(f"account topics were not assigned together: {by_topic}")
        await shards.assigned(first)

    return on_assigned
