"""What becomes durable together is one command: anything else could be cut in two by a crash."""

import asyncio
from collections.abc import AsyncIterator, Awaitable

import pytest
from redis.asyncio import Redis

from streams.contract.commit import AppliedId, Commit, ForgottenIds, OutboxEntry
from streams.observe.metrics import Metrics
from streams.store.redis_client import connect
from streams.store.shard_store import ShardStore

pytestmark = pytest.mark.system


@pytest.fixture
async def client(redis_url_db: str) -> AsyncIterator[Redis]:
    client = connect(redis_url_db)
    yield client
    await client.aclose()


@pytest.fixture
async def onlooker(redis_url_db: str) -> AsyncIterator[Redis]:
    onlooker = connect(redis_url_db)
    yield onlooker
    await onlooker.aclose()


async def commands_of(client: Redis, onlooker: Redis, action: Awaitable[None]) -> list[str]:
    """The commands that Redis was sent while `action` was awaited, without what scripts called."""
    seen: list[str] = []
    async with onlooker.monitor() as monitor:
        await action
        await client.echo("end")
        while True:
            heard = await asyncio.wait_for(monitor.next_command(), 10)
            if heard["command"] == "ECHO end":
                return seen
            if heard["client_type"] != "lua":
                seen.append(heard["command"].split()[0].upper())


async def test_commit_when_it_carries_everything_then_it_is_one_command(
    client: Redis, onlooker: Redis
) -> None:
    store = ShardStore(client, 0, "worker-a", Metrics())
    await store.take_over()
    await store.commit(Commit(advance={"fills": (0, 1)}))  # the script is known to Redis from here on
    entry = OutboxEntry("margin-events", 0, b"alice", b"{}", (), "margin.call.opened")
    everything = Commit(
        advance={"fills": (1, 2), "ledger": (0, 1)},
        accounts={"alice": b"1"},
        risks={"alice": b"2"},
        ids={("fills", "alice"): (AppliedId(2, 0, 0, b"digest-1", b"content1"),)},
        forgotten=(ForgottenIds("fills", "alice", 1, 100, 0),),
        outbox=(entry,),
    )
    assert await commands_of(client, onlooker, store.commit(everything)) == ["EVALSHA"]
