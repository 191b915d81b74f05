"""Which format the workers of a deployment write, and which each of them knows: in Redis, under `unimargin:{format}`.

    unimargin:{format}:in-force   JSON: number, since when, who and why; where there is none, the first format is in force
    unimargin:{format}:workers    hash: worker -> the highest format that it knows, and when it last said so

A newer edition goes on writing what is in force, so that older ones may take its shards, and it be rolled back. The number in force is
raised by an operator's word alone (`unimargin format raise`), once no older worker is left, and takes hold of a shard when it is taken over next.
"""

from typing import Any, NamedTuple

import msgspec
from redis.asyncio import Redis

from streams.store.redis_client import bounded
from streams.store.store_format import FORMAT, FORMAT_FIRST

SAY_SECONDS = 5.0
"""How often a worker says what it knows."""
HEARD_SECONDS_MAX = 60.0
"""Who has said nothing for longer is gone, or cannot write anyway: what it says first when it comes back is that it wants to join."""


class FormatInForce(msgspec.Struct, frozen=True):
    """What an operator has put in force."""

    format: int
    since_ns: int
    """Wall clock, Unix ns."""
    who: str
    why: str


class Known(NamedTuple):
    """What a worker knows."""

    format: int
    said_ns: int
    """Wall clock, Unix ns."""


class HigherInForce(Exception):  # noqa: N818 - it says what is so
    """A format that is at least as high is in force already."""


_decode = msgspec.json.Decoder(FormatInForce).decode


def format_key(prefix: str) -> str:
    """Key of what is in force."""
    return f"{prefix}:{{format}}:in-force"


def workers_key(prefix: str) -> str:
    """Key of what workers know."""
    return f"{prefix}:{{format}}:workers"


async def format_in_force(client: Redis, prefix: str) -> int:
    """The number in force. Raises what the client raises."""
    any_client: Any = client
    data = await bounded(any_client.get(format_key(prefix)))
    return FORMAT_FIRST if data is None else _decode(data).format


async def put_format_in_force(client: Redis, prefix: str, new: FormatInForce) -> None:
    """Raise the number in force. Raises HigherInForce, and `redis.WatchError` where somebody else has raised it just now."""
    any_client: Any = client
    key = format_key(prefix)
    async with any_client.pipeline(transaction=True) as pipe:
        await bounded(pipe.watch(key))
        data = await bounded(pipe.get(key))
        before = FORMAT_FIRST if data is None else _decode(data).format
        if before >= new.format:
            raise HigherInForce(f"format {before} is in force already")
        pipe.multi()
        pipe.set(key, msgspec.json.encode(new))
        await bounded(pipe.execute())


async def say_known(client: Redis, prefix: str, worker: str, now_ns: int) -> None:
    """Say which format this edition knows."""
    any_client: Any = client
    await bounded(any_client.hset(workers_key(prefix), worker, f"{FORMAT} {now_ns}"))


async def workers_known(client: Redis, prefix: str, now_ns: int) -> dict[str, Known]:
    """By worker what it knows, of those that were heard of lately."""
    any_client: Any = client
    said = await bounded(any_client.hgetall(workers_key(prefix)))
    known = {}
    for worker, text in said.items():
        number, _, said_ns = text.decode().partition(" ")
        if now_ns - int(said_ns) < HEARD_SECONDS_MAX * 1e9:
            known[worker.decode(errors="replace")] = Known(int(number), int(said_ns))
    return known
