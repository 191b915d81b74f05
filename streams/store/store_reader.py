"""Reading a shard without owning it: for the command line and queries. What it returns may be a moment old."""

from collections.abc import AsyncIterator
from typing import Any, NamedTuple

from redis.asyncio import Redis

from streams.store.redis_client import bounded, scan_hash
from streams.store.store_keys import ShardKeys, ShardMeta, parse_meta
from streams.store.stored_orders import with_orders


class StoredAccount(NamedTuple):
    """Where an account lies and what is stored of it."""

    shard: int
    state: bytes
    risk: bytes | None


class StoreReader:
    """Reads all shards under a prefix. Calls raise `redis.RedisError` or TimeoutError; nothing is repeated."""

    def __init__(self, client: Redis, prefix: str = "unimargin") -> None:
        self._redis: Any = client
        self._prefix = prefix

    async def account(self, account: str, shards: int) -> StoredAccount | None:
        """Look for an account in shards 0 to `shards` - 1; None if no shard has it."""
        pipe = self._redis.pipeline(transaction=False)
        for shard in range(shards):
            keys = self._keys(shard)
            pipe.hget(keys.accounts, account).hget(keys.risks, account)
        found = await bounded(pipe.execute())
        for shard in range(shards):
            state, risk = found[2 * shard : 2 * shard + 2]
            if state is not None:
                whole = await with_orders(self._redis, self._keys(shard), {account: state})
                return StoredAccount(shard, whole[account], risk)
        return None

    async def accounts(self, shard: int) -> AsyncIterator[tuple[str, bytes]]:
        """Every account of a shard and its state, in no order; one may come twice while the shard is written."""
        keys = self._keys(shard)
        async for account, state in scan_hash(self._redis, keys.accounts):
            yield account, (await with_orders(self._redis, keys, {account: state}))[account]

    async def marks(self, shard: int) -> dict[str, bytes]:
        """The last saved mark of each price symbol."""
        return {symbol: mark async for symbol, mark in scan_hash(self._redis, self._keys(shard).marks)}

    async def breaker(self, shard: int) -> bytes | None:
        """The state of a shard's breaker; None where nothing was ever counted."""
        state: bytes | None = await bounded(self._redis.get(self._keys(shard).breaker))
        return state

    async def adl(self, shard: int) -> bytes | None:
        """Where the contracts stand whose deleveraging risk the shard tells; None where nothing was ever said."""
        states: bytes | None = await bounded(self._redis.get(self._keys(shard).adl))
        return states

    async def meta(self, shard: int) -> ShardMeta:
        """Owner, watermarks and positions; all zero for a shard never taken over."""
        keys = self._keys(shard)
        pipe = self._redis.pipeline(transaction=True)
        pipe.get(keys.fence).hgetall(keys.meta)
        fence, fields = await bounded(pipe.execute())
        return parse_meta(int(fence or 0), fields)

    async def outbox_entries(self, shard: int) -> int:
        """Entries committed and not known to be published, of both lanes."""
        pipe = self._redis.pipeline(transaction=True)
        for key in self._keys(shard).outboxes.values():
            pipe.llen(key)
        return sum(await bounded(pipe.execute()))

    def _keys(self, shard: int) -> ShardKeys:
        return ShardKeys(self._prefix, shard)
