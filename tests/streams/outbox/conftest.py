"""A real Redis and a real Kafka for what publishes."""

from collections.abc import AsyncIterator

import pytest
from aiokafka import AIOKafkaProducer
from redis.asyncio import Redis

from streams.config.settings import Settings
from streams.embedded.embedded_redis import EmbeddedRedis
from streams.kafka.clients import relay_producer
from streams.store.redis_client import connect
from tests.support.kafka_server import RealKafka


@pytest.fixture
async def client(real_redis: EmbeddedRedis) -> AsyncIterator[Redis]:
    """Of a Redis that holds nothing."""
    async with connect(real_redis.url) as client:
        await client.flushall()
        yield client


@pytest.fixture
async def producer(real_kafka: RealKafka) -> AsyncIterator[AIOKafkaProducer]:
    """As a worker's."""
    async with relay_producer(Settings(kafka_bootstrap_servers=real_kafka.bootstrap_servers)) as producer:
        yield producer
