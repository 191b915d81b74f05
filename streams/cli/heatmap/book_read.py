"""Every account in Redis as the books that the workers use, shard by shard, at the newest saved prices. Nobody is judged."""

from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import asynccontextmanager
from typing import NamedTuple

import msgspec
from msgspec.structs import replace
from redis.asyncio import Redis

from engine.book.columnar_book import ColumnarBook
from engine.events.effects import AccountRisk
from engine.inputs import Mark
from engine.marks.mark_book import Prices
from engine.policy import Policy
from streams.cli.account.account_report import believed
from streams.config.problem import Problem
from streams.config.settings import Settings
from streams.store.redis_access import open_redis, risks, saved_marks, shard_count
from streams.store.store_reader import StoreReader


class ShardBook(NamedTuple):
    """The accounts of one shard."""

    accounts: tuple[str, ...]
    """Names, in the order in which they came into the book."""
    book: ColumnarBook


class BookReader:
    """Redis at the newest prices."""

    def __init__(
        self,
        client: Redis,
        settings: Settings,
        policy: Policy,
        prices: Prices,
        shards: int,
        *,
        trusting: bool,
    ) -> None:
        """`open_books` makes one; `trusting` leaves out what the workers doubted."""
        self.prices, self.shards = prices, shards
        self.stale: tuple[str, ...] = ()
        """Symbols whose newest mark is too old, or that have none, whether or not that counts here."""
        self._client, self._settings, self._policy, self._trusting = client, settings, policy, trusting

    async def books(self) -> AsyncIterator[ShardBook]:
        """One shard after the other. Raises `Problem`."""
        store = StoreReader(self._client, self._settings.redis_prefix)
        for shard in range(self.shards):
            told = await risks(self._client, self._settings.redis_prefix, shard)
            if self._trusting:
                told = {account: _trusted(risk) for account, risk in told.items()}
            stored = {account: state async for account, state in store.accounts(shard)}
            yield ShardBook(tuple(stored), _book(stored.values(), told, self._policy))


@asynccontextmanager
async def open_books(
    settings: Settings, policy: Policy, now_ns: int, *, last_prices: bool
) -> AsyncIterator[BookReader]:
    """Connect and take the newest marks. `last_prices`: the newest saved mark of each symbol counts as fresh. Raises `Problem`."""
    async with open_redis(settings) as client:
        store = StoreReader(client, settings.redis_prefix)
        shards = await shard_count(client, settings.redis_prefix)
        marks: dict[str, Mark] = {}
        for shard in range(shards):
            for mark in await saved_marks(store, shard):
                if mark.symbol not in marks or mark.sequence > marks[mark.symbol].sequence:
                    marks[mark.symbol] = mark
        prices = believed(list(marks.values()), policy, now_ns)
        reader = BookReader(client, settings, policy, prices, shards, trusting=last_prices)
        reader.stale = tuple(sorted(prices.stale))
        if last_prices:
            reader.prices = replace(prices, stale=frozenset(prices.stale - marks.keys()), aged={})
        yield reader


def _trusted(risk: AccountRisk) -> AccountRisk:
    """The record without what the worker that judged it doubted; a stopped account stays as it is."""
    pools = {
        pool: it if it.degraded_until_ns is None else replace(it, degraded=False, degraded_until_ns=None)
        for pool, it in risk.pools.items()
    }
    return replace(risk, pools=pools)


def _book(stored: Collection[bytes], told: Mapping[str, AccountRisk], policy: Policy) -> ColumnarBook:
    """A book of one shard's accounts."""
    book = ColumnarBook(policy)
    try:
        book.load(stored, told)
    except msgspec.MsgspecError as error:
        raise Problem(f"the state of an account in Redis cannot be read: {error}") from None
    return book
