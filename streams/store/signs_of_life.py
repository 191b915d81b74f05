"""What the owner of a shard shows of itself in Redis: who it is, and what changes as long as it lives."""

from typing import Any, NamedTuple

from redis.asyncio import Redis

from streams.store.redis_client import bounded
from streams.store.store_keys import ShardKeys


class Signs(NamedTuple):
    """Of the owner of a shard; all empty where it never had one."""

    owner: str
    """Its name, for people: the worker's id."""
    token: str
    """Drawn anew for every ownership."""
    life: tuple[str, ...]
    """Its token, its newest commit and its count of beats: another one at every sign of life."""


_FIELDS = ("owner", "token", "commit", "beat")


async def signs_of_life(client: Redis, keys: ShardKeys) -> Signs:
    """Of one shard. Raises what the client raises; nothing is repeated."""
    call: Any = client.hmget(keys.meta, *_FIELDS)
    return _signs(await bounded(call))


async def all_signs_of_life(client: Redis, prefix: str, shards: int) -> list[Signs]:
    """Of all shards, in their order; as `signs_of_life`."""
    pipe = client.pipeline(transaction=False)
    for shard in range(shards):
        pipe.hmget(ShardKeys(prefix, shard).meta, *_FIELDS)
    return [_signs(fields) for fields in await bounded(pipe.execute())]


def _signs(fields: list[bytes | None]) -> Signs:
    owner, token, commit, beat = ((field or b"").decode(errors="replace") for field in fields)
    return Signs(owner, token, (token, commit, beat))
