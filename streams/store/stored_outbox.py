"""The outbox of a lane as it lies in Redis: a list of entries in MessagePack, oldest first."""

from collections.abc import Iterable
from typing import Any

import msgspec

from streams.contract.commit import Lane, OutboxEntry
from streams.store.redis_client import bounded
from streams.store.store_keys import Argument

CHUNK_ENTRIES = 1000
"""Entries per LRANGE while loading: about 2 MB, so that no single answer holds up the other shards."""

_decode = msgspec.msgpack.Decoder(OutboxEntry).decode


def packed(outbox: Iterable[OutboxEntry], lane: Lane) -> list[Argument]:
    """Those of the lane, in order."""
    return [msgspec.msgpack.encode(it) for it in outbox if it.lane is lane]


async def read_outbox(client: Any, key: str) -> list[OutboxEntry]:
    """All of it."""
    entries: list[OutboxEntry] = []
    while chunk := await _range(client, key, len(entries), CHUNK_ENTRIES):
        entries += chunk
    return entries


async def read_oldest(client: Any, key: str, count: int) -> list[OutboxEntry]:
    """The oldest `count` entries (fewer if it has fewer)."""
    return await _range(client, key, 0, count)


async def _range(client: Any, key: str, first: int, count: int) -> list[OutboxEntry]:
    return list(map(_decode, await bounded(client.lrange(key, first, first + count - 1))))
