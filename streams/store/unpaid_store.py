"""What the accounts of each shard are expected to leave unpaid, in one Redis hash: `unimargin:unpaid`, shard -> JSON by contract.

The owner of a shard writes its entry once a second; whoever tells a deleveraging risk reads all of them. A shard whose owner is gone
counts with what was written last until the next owner writes. Not fenced: an owner that has lost its shard writes no more within a second,
and the entry of the new one follows at once.
"""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import msgspec
from redis.asyncio import Redis

from streams.store.redis_client import bounded, repeat, scan_hash

RETRY_FOR_S = 5.0
"""Then the round is given up; another one begins."""

UnpaidByShard = Mapping[int, Mapping[str, Decimal]]

_decoder = msgspec.json.Decoder(dict[str, Decimal])


def unpaid_key(prefix: str) -> str:
    """Key of the hash."""
    return f"{prefix}:unpaid"


async def exchange_unpaid(client: Redis, prefix: str, own: UnpaidByShard) -> dict[int, dict[str, Decimal]]:
    """Write what the shards of this worker leave unpaid, and read what all of them do. Raises StoreUnavailable."""
    any_client: Any = client
    entries = {shard: msgspec.json.encode(parts) for shard, parts in own.items()}

    async def attempt() -> dict[int, dict[str, Decimal]]:
        if entries:
            await bounded(any_client.hset(unpaid_key(prefix), mapping=entries))
        return {
            int(shard): _decoder.decode(data) async for shard, data in scan_hash(client, unpaid_key(prefix))
        }

    return await repeat(attempt, "exchanging what shards leave unpaid", retry_for_s=RETRY_FOR_S)
