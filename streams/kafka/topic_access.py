"""Kafka for commands: connections that fail soon and clearly, and reading a topic as it stands now."""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, NamedTuple, Protocol

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import KafkaConnectionError, KafkaError, NodeNotReadyError

from streams.config.problem import Problem
from streams.config.settings import Settings
from streams.kafka import clients
from streams.kafka.broker_refusal import NOT_ALLOWED, NOT_ALLOWED_HINT, BrokerRefused, explained

CONNECT_TIMEOUT_S = 8.0
"""A person waits; a broker on the same continent answers within a second."""
REQUEST_TIMEOUT_MS = 15_000
POLL_MS = 500
STALL_TIMEOUT_S = 15.0
"""Without a record for this long while the log has more, the broker counts as away."""

ConsumerRecord = Any


def header_texts(record: ConsumerRecord) -> dict[str, str]:
    """The record's headers as text, whatever somebody has put there."""
    return {name: (value or b"").decode(errors="backslashreplace") for name, value in record.headers}


class LogBounds(NamedTuple):
    """The log of one partition: first offset still in it, and the offset after its last committed record."""

    begin: int
    end: int


class _Client(Protocol):
    """What all aiokafka clients can."""

    async def start(self) -> None: ...


@asynccontextmanager
async def open_admin(settings: Settings) -> AsyncIterator[AIOKafkaAdminClient]:
    """A connected admin client. Raises `Problem` when the broker does not answer, then or in the body."""
    client = AIOKafkaAdminClient(**clients.client_options(settings), request_timeout_ms=REQUEST_TIMEOUT_MS)
    async with _away(settings):
        try:
            await _start(client)
            yield client
        finally:
            await client.close()


@asynccontextmanager
async def open_reader(
    settings: Settings, *, isolation_level: str = "read_committed"
) -> AsyncIterator[AIOKafkaConsumer]:
    """A connected consumer without a group. Raises `Problem` when the broker does not answer."""
    async with _away(settings), AsyncExitStack() as stack:
        async with asyncio.timeout(CONNECT_TIMEOUT_S):
            # a fetch that waits for records to come holds up every request after it
            wait_ms = settings.kafka_fetch_wait_ms
            connecting = clients.open_reader(
                settings,
                request_timeout_ms=REQUEST_TIMEOUT_MS,
                fetch_max_wait_ms=wait_ms,
                isolation_level=isolation_level,
            )
            client = await stack.enter_async_context(connecting)
        yield client


@asynccontextmanager
async def open_producer(settings: Settings) -> AsyncIterator[AIOKafkaProducer]:
    """A connected producer. Raises `Problem` when the broker does not answer or takes no record."""
    client = clients.producer(settings)
    async with _away(settings):
        try:
            await _start(client)
            yield client
        finally:
            await client.stop()


async def topic_partitions(admin: AIOKafkaAdminClient) -> dict[str, int]:
    """Partitions by topic, for every topic of the cluster."""
    return {topic["topic"]: len(topic["partitions"]) for topic in await admin.describe_topics()}


async def topic_configs(admin: AIOKafkaAdminClient, topics: list[str]) -> dict[str, dict[str, str]] | None:
    """Configuration by topic; None where the broker cannot be asked for it."""
    try:
        answers = await admin.describe_configs(
            [ConfigResource(ConfigResourceType.TOPIC, topic) for topic in topics]
        )
    except KafkaError:
        return None
    resources = [resource for answer in answers for resource in answer.resources]
    if any(code for code, *_ in resources):
        return None
    return {name: {entry[0]: entry[1] for entry in entries} for _, _, _, name, entries in resources}


async def find_places(settings: Settings, topics: Sequence[str]) -> list[TopicPartition]:
    """Every partition of `topics`. Raises `Problem` where one does not exist."""
    async with open_admin(settings) as admin:
        counts = await topic_partitions(admin)
    missing = [topic for topic in topics if topic not in counts]
    if missing:
        raise Problem(f"missing topics: {', '.join(missing)}; create them with `unimargin topics create`")
    return [place for topic in topics for place in places(topic, counts[topic])]


def places(topic: str, partitions: int) -> list[TopicPartition]:
    """The partitions of a topic that has so many."""
    return [TopicPartition(topic, partition) for partition in range(partitions)]


async def log_bounds(consumer: AIOKafkaConsumer, topic: str, partitions: int) -> list[LogBounds]:
    """By partition, what its log holds."""
    asked = places(topic, partitions)
    begin = await consumer.beginning_offsets(asked)
    end = await consumer.end_offsets(asked)
    return [LogBounds(begin[place], end[place]) for place in asked]


async def read_to_end(
    consumer: AIOKafkaConsumer, assigned: Sequence[TopicPartition]
) -> AsyncIterator[ConsumerRecord]:
    """Every record that these partitions hold now, in order within each."""
    starts = await consumer.beginning_offsets(assigned)
    ends = await consumer.end_offsets(assigned)
    async for record in read_between(
        consumer, {place: LogBounds(starts[place], ends[place]) for place in assigned}
    ):
        yield record


async def read_between(
    consumer: AIOKafkaConsumer, bounds: Mapping[TopicPartition, LogBounds]
) -> AsyncIterator[ConsumerRecord]:
    """Every record from the begin of each partition's bounds to below their end, in order within each."""
    consumer.assign(list(bounds))
    for place, (begin, _) in bounds.items():
        consumer.seek(place, begin)
    heard_s = time.monotonic()
    while pending := [place for place, (_, end) in bounds.items() if await consumer.position(place) < end]:
        polled = await consumer.getmany(*pending, timeout_ms=POLL_MS)
        if polled:
            heard_s = time.monotonic()
        elif time.monotonic() - heard_s > STALL_TIMEOUT_S:
            raise TimeoutError(f"no record for {STALL_TIMEOUT_S:g} s")
        for place, records in polled.items():
            for record in records:
                if record.offset < bounds[place].end:
                    yield record


async def _start(client: _Client) -> None:
    async with asyncio.timeout(CONNECT_TIMEOUT_S):
        await client.start()


@asynccontextmanager
async def _away(settings: Settings) -> AsyncIterator[None]:
    try:
        yield
    except (KafkaError, TimeoutError, OSError) as error:
        raise Problem(await broker_words(settings, error)) from None


async def broker_words(settings: Settings, error: Exception) -> str:
    """Why the broker cannot be used, as every command says it, and what to look at."""
    where = f"Kafka at {settings.kafka_bootstrap_servers}"
    if isinstance(error, KafkaConnectionError | NodeNotReadyError):
        error = await explained(settings, error)
    if isinstance(error, BrokerRefused):
        return f"{where}: {error}"
    words = str(error) or type(error).__name__
    if isinstance(error, NOT_ALLOWED):
        return f"{where}: kafka_not_allowed: {words}; {NOT_ALLOWED_HINT}"
    return f"{where}: {words}. Is the broker running, and is UNIMARGIN_KAFKA_BOOTSTRAP_SERVERS its address?"
