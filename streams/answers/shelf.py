"""Where the answers are read from: what the workers left of each shard, straight from Redis or from a copy that is kept up to date."""

import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Protocol

from redis.asyncio import Redis

from engine.events.effects import AccountRisk
from engine.inputs import Mark
from streams.config.progress_bar import counting
from streams.config.settings import Settings
from streams.store.belief_store import read_beliefs
from streams.store.redis_access import open_redis, risks, saved_marks, shard_count
from streams.store.store_reader import StoredAccount, StoreReader


class Shelf(Protocol):
    """All shards of a deployment, to read. What it gives may be a moment old."""

    def now_ns(self) -> int:
        """What time it is there (Unix ns): a mark's age is judged by it."""

    async def shard_count(self) -> int:
        """One more than the highest shard that was ever taken over."""

    async def account(self, account: str) -> StoredAccount | None:
        """Where an account lies and what is stored of it; None if no shard has it."""

    def accounts(self, shard: int) -> AsyncIterator[tuple[str, bytes]]:
        """Every account of a shard and its state, in no order; one may come twice."""

    async def risks(self, shard: int) -> Mapping[str, AccountRisk]:
        """Every risk record of a shard: the accounts of which anything was ever said."""

    async def marks(self, shard: int) -> list[Mark]:
        """The marks that the shard's owner saved last."""

    async def breaker(self, shard: int) -> bytes | None:
        """The state of a shard's breaker; None where nothing was ever counted."""

    async def adl(self, shard: int) -> bytes | None:
        """Where the contracts stand whose deleveraging risk the shard tells; None where nothing was ever said."""

    async def beliefs(self) -> Mapping[str, bytes]:
        """What workers know of price symbols beside their prices, by symbol."""


class RedisShelf:
    """`Shelf` that asks Redis each time. Calls raise `Problem` for what cannot be read, and what the client raises."""

    def __init__(
        self, client: Redis, prefix: str, on_accounts: Callable[[int], None] = lambda _: None
    ) -> None:
        """`open_shelf` makes one. `on_accounts` is told how many more were read."""
        self._client, self._prefix, self._on_accounts = client, prefix, on_accounts
        self._store = StoreReader(client, prefix)

    def now_ns(self) -> int:
        """See `Shelf`."""
        return time.time_ns()

    async def shard_count(self) -> int:
        """See `Shelf`."""
        return await shard_count(self._client, self._prefix)

    async def account(self, account: str) -> StoredAccount | None:
        """See `Shelf`."""
        shards = await self.shard_count()
        return await self._store.account(account, shards) if shards else None

    async def accounts(self, shard: int) -> AsyncIterator[tuple[str, bytes]]:
        """See `Shelf`."""
        async for found in self._store.accounts(shard):
            self._on_accounts(1)
            yield found

    async def risks(self, shard: int) -> Mapping[str, AccountRisk]:
        """See `Shelf`."""
        return await risks(self._client, self._prefix, shard)

    async def marks(self, shard: int) -> list[Mark]:
        """See `Shelf`."""
        return await saved_marks(self._store, shard)

    async def breaker(self, shard: int) -> bytes | None:
        """See `Shelf`."""
        return await self._store.breaker(shard)

    async def adl(self, shard: int) -> bytes | None:
        """See `Shelf`."""
        return await self._store.adl(shard)

    async def beliefs(self) -> Mapping[str, bytes]:
        """See `Shelf`."""
        return await read_beliefs(self._client, self._prefix)


@asynccontextmanager
async def open_shelf(settings: Settings) -> AsyncIterator[RedisShelf]:
    """Redis, connected. Raises `Problem` when it does not answer, then or in the body."""
    async with open_redis(settings) as client:
        yield RedisShelf(client, settings.redis_prefix)


@asynccontextmanager
async def open_counted_shelf(settings: Settings) -> AsyncIterator[RedisShelf]:
    """The same for a command that reads every account: a bar on standard error counts them."""
    async with open_redis(settings) as client:
        with counting("reading accounts", None) as done:
            yield RedisShelf(client, settings.redis_prefix, done)


async def newest_marks(shelf: Shelf) -> dict[str, Mark]:
    """The newest saved mark of each price symbol."""
    newest: dict[str, Mark] = {}
    for shard in range(await shelf.shard_count()):
        for mark in await shelf.marks(shard):
            if mark.symbol not in newest or mark.sequence > newest[mark.symbol].sequence:
                newest[mark.symbol] = mark
    return newest
