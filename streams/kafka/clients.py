"""How every aiokafka client of this project is configured, in one place."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, TypeVar

import structlog
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaConnectionError, KafkaError, NodeNotReadyError, TopicAuthorizationFailedError
from aiokafka.partitioner import murmur2

from streams.config.settings import Settings
from streams.kafka.broker_refusal import BrokerRefused, explained
from streams.kafka.kafka_security import security_options

T = TypeVar("T")

BROKER_PATIENCE_SECONDS = 60.0
"""For so long a worker's client tries to reach a broker that is away: longer than an election or a restart takes."""
RECONNECT_SECONDS = 0.5

PRODUCER_REQUEST_BYTES_MAX = 4 * 1024 * 1024
"""Room for a quarantined record of the largest size a broker takes by default, with its headers."""
PRODUCER_BATCH_BYTES_MAX = 512 * 1024
"""The relay has one batch per partition in flight; about 300 events fit, so a cascade goes out in few rounds."""

RELAY_TIMEOUT_MS = 10_000
"""The election of a new leader takes less."""

STOP_SECONDS = 5.0
"""A consumer whose broker is gone may wait for long."""

_log = structlog.get_logger()


def client_options(settings: Settings) -> dict[str, Any]:
    """Address and security of the broker, for any aiokafka client. Raises `SettingsError` for a file that cannot be used."""
    return {"bootstrap_servers": settings.kafka_bootstrap_servers, **security_options(settings)}


def producer(settings: Settings, **options: Any) -> AIOKafkaProducer:
    """Build a producer that waits for all replicas and keeps the order of what it sends."""
    return AIOKafkaProducer(
        **client_options(settings),
        acks="all",
        max_batch_size=PRODUCER_BATCH_BYTES_MAX,
        max_request_size=PRODUCER_REQUEST_BYTES_MAX,
        **{"enable_idempotence": settings.kafka_idempotent_producer, **options},
    )


def relay_producer(settings: Settings) -> AIOKafkaProducer:
    """Build a producer for the shards of a worker. Each shard numbers what it sends under an epoch of its own (`producer_epochs`).

    A batch that could not be sent within the timeout is given back: the relay then asks again whether the shard is its own.
    """
    return producer(settings, enable_idempotence=False, request_timeout_ms=RELAY_TIMEOUT_MS)


@asynccontextmanager
async def open_reader(
    settings: Settings, *, patience_seconds: float = 0.0, **options: Any
) -> AsyncIterator[AIOKafkaConsumer]:
    """Connect a consumer outside any group's membership: partitions and offsets are ours to choose.

    It reads what is committed: no record of a transaction that was aborted, or is still open; and the end of a log is the last stable
    offset. A broker that is away is tried again for `patience_seconds`; then raises what aiokafka raised.
    """

    def build() -> AIOKafkaConsumer:
        return AIOKafkaConsumer(
            **client_options(settings),
            enable_auto_commit=False,
            auto_offset_reset="none",
            group_id=None,
            **{"isolation_level": "read_committed", **options},
        )

    async with AsyncExitStack() as stack:

        async def connect() -> AIOKafkaConsumer:
            consumer = build()
            try:
                await consumer.start()
            except BaseException:
                await _stop(consumer)
                raise
            stack.push_async_callback(_stop, consumer)
            # aiokafka cannot be stopped before its background task has run once: `stop` would raise CancelledError.
            await asyncio.sleep(0)
            return consumer

        yield await _reached(connect, patience_seconds)


async def _reached(connect: Callable[[], Awaitable[T]], patience_seconds: float) -> T:
    """Ride a broker out that is away, as every request after the first is."""
    until = time.monotonic() + patience_seconds
    while True:
        try:
            return await connect()
        except BrokerRefused:
            raise
        except (KafkaError, OSError) as error:
            if time.monotonic() >= until:
                raise
            _log.warning("broker_away", error=repr(error), pause_seconds=RECONNECT_SECONDS)
        await asyncio.sleep(RECONNECT_SECONDS)


async def _stop(consumer: AIOKafkaConsumer) -> None:
    """Close a consumer, whatever state it is in.

    With a fetch under way aiokafka's `stop` raises the CancelledError of that fetch, as if our task had been cancelled, and leaves the
    connections open. So it has a task of its own.
    """
    await asyncio.wait({asyncio.ensure_future(consumer.stop())}, timeout=STOP_SECONDS)
    client = consumer._client  # noqa: SLF001 - nothing else closes what `stop` left open
    await asyncio.wait({asyncio.ensure_future(client.close())}, timeout=STOP_SECONDS)


def account_partitioner(partitions: int) -> Callable[[bytes], int]:
    """Kafka's default: murmur2 of the key, as the Java client and aiokafka compute it."""
    return lambda key: (murmur2(key) & 0x7FFFFFFF) % partitions


async def partition_counts(
    settings: Settings, topics: Sequence[str], *, patience_seconds: float = 0.0
) -> dict[str, int]:
    """Partitions of each topic; 0 for one that does not exist.

    Raises `BrokerRefused` where TLS or authentication fails, `TopicAuthorizationFailedError` for topics that we may not see.
    """

    async def describe() -> dict[str, int]:
        admin = AIOKafkaAdminClient(**client_options(settings))
        try:
            await admin.start()
            described = await admin.describe_topics(list(topics))
        except (KafkaConnectionError, NodeNotReadyError) as error:
            raise await explained(settings, error) from None
        finally:
            await admin.close()
        hidden = [it["topic"] for it in described if it["error_code"] == TopicAuthorizationFailedError.errno]
        if hidden:
            raise TopicAuthorizationFailedError(*hidden)
        return {topic["topic"]: len(topic["partitions"]) for topic in described}

    return await _reached(describe, patience_seconds)


async def find_group(settings: Settings) -> None:
    """Return where the group has a broker that keeps it. Raises `GroupAuthorizationFailedError` where it is not ours to join."""
    admin = AIOKafkaAdminClient(**client_options(settings))
    try:
        await admin.start()
        await admin.find_coordinator(settings.group)
    finally:
        await admin.close()
