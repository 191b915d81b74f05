"""How every aiokafka client of this project is configured, in one place."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.partitioner import murmur2

from streams.config.settings import Settings

PRODUCER_REQUEST_BYTES_MAX = 4 * 1024 * 1024
"""Room for a quarantined record of the largest size a broker takes by default, with its headers."""
PRODUCER_BATCH_BYTES_MAX = 512 * 1024
"""The relay has one batch per partition in flight; about 300 events fit, so a cascade goes out in few rounds."""

RELAY_TIMEOUT_MS = 10_000
"""The election of a new leader takes less."""

STOP_SECONDS = 5.0
"""A consumer whose broker is gone may wait for long."""


def client_options(settings: Settings) -> dict[str, Any]:
    """Address and security of the broker, for any aiokafka client."""
    options: dict[str, Any] = {
        "bootstrap_servers": settings.kafka_bootstrap_servers,
        "security_protocol": settings.kafka_security_protocol,
    }
    if "SSL" in settings.kafka_security_protocol:
        options["ssl_context"] = ssl.create_default_context()
    if "SASL" in settings.kafka_security_protocol:
        options["sasl_mechanism"] = "PLAIN"
        options["sasl_plain_username"] = settings.kafka_sasl_username
        options["sasl_plain_password"] = settings.kafka_sasl_password.get_secret_value()
    return options


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
async def open_reader(settings: Settings, **options: Any) -> AsyncIterator[AIOKafkaConsumer]:
    """Connect a consumer outside any group's membership: partitions and offsets are ours to choose."""
    consumer = AIOKafkaConsumer(
        **client_options(settings),
        enable_auto_commit=False,
        auto_offset_reset="none",
        group_id=None,
        **options,
    )
    try:
        await consumer.start()
        # aiokafka cannot be stopped before its background task has run once: `stop` would raise CancelledError.
        await asyncio.sleep(0)
        yield consumer
    finally:
        await _stop(consumer)


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


async def partition_counts(settings: Settings, topics: Sequence[str]) -> dict[str, int]:
    """Partitions of each topic; 0 for one that does not exist."""
    admin = AIOKafkaAdminClient(**client_options(settings))
    try:
        await admin.start()
        described = await admin.describe_topics(list(topics))
    finally:
        await admin.close()
    return {topic["topic"]: len(topic["partitions"]) for topic in described}
