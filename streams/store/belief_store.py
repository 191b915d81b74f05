"""What workers know of price symbols beside their prices, in one Redis hash: `unimargin:beliefs`, symbol -> JSON.

Every worker reads all prices and writes the same hash, so it says what the one that wrote last has seen. It is a view for people:
no worker reads it back.
"""

from collections.abc import Mapping
from typing import Any

from redis.asyncio import Redis

from streams.store.redis_client import bounded, repeat, scan_hash

RETRY_FOR_S = 5.0
"""Then the caller keeps what it has and comes again."""


def beliefs_key(prefix: str) -> str:
    """Key of the hash."""
    return f"{prefix}:beliefs"


async def save_beliefs(client: Redis, prefix: str, beliefs: Mapping[str, bytes]) -> None:
    """Write these symbols' entries. Raises StoreUnavailable."""
    any_client: Any = client
    await repeat(
        lambda: bounded(any_client.hset(beliefs_key(prefix), mapping=beliefs)),
        "saving what is known of symbols",
        retry_for_s=RETRY_FOR_S,
    )


async def read_beliefs(client: Redis, prefix: str) -> dict[str, bytes]:
    """Every entry, by symbol."""
    return {symbol: data async for symbol, data in scan_hash(client, beliefs_key(prefix))}
