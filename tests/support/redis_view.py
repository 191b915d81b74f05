"""What Redis holds of every shard, read as the queries read it."""

import asyncio
from typing import NamedTuple

import msgspec

from engine.events.effects import AccountRisk
from engine.ledger.accounts import AccountState, decode
from streams.store.redis_client import connect, repeat
from streams.store.store_keys import ShardMeta
from streams.store.store_reader import StoreReader
from tests.support.cluster import PARTITIONS

READ_S = 30.0


class Stored(NamedTuple):
    """All shards."""

    states: dict[str, AccountState]
    risks: dict[str, AccountRisk]
    shard_of: dict[str, int]
    metas: list[ShardMeta]
    outbox_entries: int


def read_all(url: str) -> Stored:
    """Everything."""
    return asyncio.run(_read_all(url))


def read_account(url: str, account: str) -> AccountState | None:
    """One account's state; None before its first input."""
    return asyncio.run(_read_account(url, account))


async def _read_account(url: str, account: str) -> AccountState | None:
    client = connect(url)
    try:
        found = await StoreReader(client).account(account, PARTITIONS)
        return decode(found.state) if found else None
    finally:
        await client.aclose()


async def _read_all(url: str) -> Stored:
    client = connect(url)
    try:
        # a busy machine may have the sentinels elect another primary than the one that a test has just seen
        return await repeat(
            lambda: read_shards(StoreReader(client), PARTITIONS), "reading all shards", retry_for_s=READ_S
        )
    finally:
        await client.aclose()


async def read_shards(reader: StoreReader, shards: int) -> Stored:
    """Everything of so many shards."""
    stored = Stored({}, {}, {}, [], sum([await reader.outbox_entries(shard) for shard in range(shards)]))
    for shard in range(shards):
        stored.metas.append(await reader.meta(shard))
        async for account, state in reader.accounts(shard):
            assert stored.shard_of.setdefault(account, shard) == shard, f"{account} lies in two shards"
            stored.states[account] = decode(state)
    for account in stored.states:
        found = await reader.account(account, shards)
        if found is not None and found.risk is not None:
            stored.risks[account] = msgspec.json.decode(found.risk, type=AccountRisk)
    return stored
