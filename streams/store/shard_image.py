"""Reading what Redis holds of a shard, by who has just taken it over: nothing of it changes any more under the reader."""

from typing import Any

import msgspec

from streams.contract.commit import Lane, OutboxEntry
from streams.store.redis_client import bounded, scan_hash
from streams.store.shard_follower import Changes
from streams.store.snapshot_store import Snapshot, read_snapshot
from streams.store.store_keys import ShardKeys, ShardMeta
from streams.store.stored_orders import with_orders
from streams.store.stored_outbox import read_outbox


class ShardImage(msgspec.Struct, frozen=True):
    """All that Redis holds of a shard at the moment of a take-over, except ids of inputs."""

    fence: int
    watermarks: dict[str, int]
    """Topic -> offset of the next input to apply; a topic never committed is absent and counts as 0."""
    accounts: dict[str, bytes]
    """Their states; none where there is a snapshot: `states` has those that it does not tell."""
    risks: dict[str, bytes]
    outboxes: dict[Lane, list[OutboxEntry]]
    """Committed and not known to be published, oldest first. Of an edition before lanes liquidations are in the ordinary one."""
    published: dict[str, int]
    """Topic -> offset after the last record known to be in it."""
    logs: dict[str, str]
    """Topic -> which one it is, as `TopicIdentity` writes it."""
    rebuilt: dict[str, str]
    """Topic -> where its accounts were rebuilt from copies; {} where they were not."""
    marks: dict[str, bytes]
    breaker: bytes | None
    adl: bytes | None
    snapshot: Snapshot | None = None


async def read_image(client: Any, keys: ShardKeys, meta: ShardMeta, edition: str) -> ShardImage:
    """Everything, by a snapshot of the edition where there is one. Raises what the client does, as all here."""
    risks = {name: risk async for name, risk in scan_hash(client, keys.risks)}
    snapshot = await read_snapshot(client, keys, meta, edition) if edition else None
    accounts: dict[str, bytes] = {}
    if snapshot is None:
        accounts = {name: state async for name, state in scan_hash(client, keys.accounts)}
        accounts = await with_orders(client, keys, accounts)
    return await read_image_with(client, keys, meta, Changes(accounts, risks), snapshot)


async def read_image_with(
    client: Any, keys: ShardKeys, meta: ShardMeta, known: Changes, snapshot: Snapshot | None = None
) -> ShardImage:
    """These accounts and risks, and everything else."""
    return ShardImage(
        fence=meta.fence,
        watermarks=meta.watermarks,
        accounts=known.accounts,
        risks=known.risks,
        outboxes={lane: await read_outbox(client, keys.outboxes[lane]) for lane in Lane},
        published=meta.published,
        logs=meta.logs,
        rebuilt=meta.rebuilt,
        marks={symbol: mark async for symbol, mark in scan_hash(client, keys.marks)},
        breaker=await bounded(client.get(keys.breaker)),
        adl=await bounded(client.get(keys.adl)),
        snapshot=snapshot,
    )
