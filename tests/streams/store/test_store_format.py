"""The number in a shard's meta hash: an edition that does not know it leaves everything as it is."""

import msgspec
import pytest
from redis.asyncio import Redis

from engine.ledger.accounts import AccountState, encode
from streams.contract.commit import Commit
from streams.observe.metrics import Metrics
from streams.store.format_store import FormatInForce, HigherInForce, format_key, put_format_in_force
from streams.store.shard_ownership import StoreRefused
from streams.store.shard_store import ShardStore
from streams.store.store_format import FORMAT, FORMAT_FIRST, FORMATS
from streams.store.store_keys import ShardKeys

KEYS = ShardKeys("unimargin", 3)


async def dumped(client: Redis) -> dict[bytes, bytes | None]:
    return {key: await client.dump(key) async for key in client.scan_iter()}


async def written(store: ShardStore) -> None:
    await store.take_over()
    await store.commit(Commit(advance={"fills": (0, 7)}, accounts={"alice": encode(AccountState("alice"))}))


def test_formats_when_listed_then_every_number_up_to_this_editions_has_a_meaning() -> None:
    assert list(FORMATS) == list(range(1, FORMAT + 1))


@pytest.mark.parametrize("stored", [str(FORMAT + 1), "99999999999999999999", "2b", ""])
async def test_take_over_when_a_newer_edition_has_written_then_it_is_refused_and_nothing_changes(
    store: ShardStore, client: Redis, metrics: Metrics, stored: str
) -> None:
    await written(store)
    await client.hset(KEYS.meta, "format", stored)
    await client.hset(KEYS.accounts, "alice", msgspec.json.encode({"account": "alice", "of_tomorrow": 1}))
    before = await dumped(client)
    older = ShardStore(client, 3, "worker-b", metrics)
    with pytest.raises(
        StoreRefused, match=f"shard 3: Redis holds format {stored}, written by a newer edition"
    ):
        await older.take_over("edition")
    assert await dumped(client) == before
    assert not older.owned
    # the owner before goes on: it was not fenced
    await store.commit(Commit(advance={"fills": (7, 8)}))


async def test_take_over_when_nothing_says_a_format_then_it_is_the_first_and_the_number_is_written(
    store: ShardStore, client: Redis, metrics: Metrics
) -> None:
    await written(store)
    await client.hdel(KEYS.meta, "format")
    image = await ShardStore(client, 3, "worker-b", metrics).take_over()
    assert image.watermarks == {"fills": 7}
    assert await client.hget(KEYS.meta, "format") == str(FORMAT_FIRST).encode()


async def test_take_over_when_a_newer_edition_does_then_it_writes_what_is_in_force_until_that_is_raised(
    store: ShardStore, client: Redis, monkeypatch: pytest.MonkeyPatch, metrics: Metrics
) -> None:
    await written(store)
    monkeypatch.setattr("streams.store.shard_store.FORMAT", FORMAT + 1)
    newer = ShardStore(client, 3, "of tomorrow", metrics)
    await newer.take_over()
    assert newer.format == FORMAT_FIRST
    with monkeypatch.context() as back:
        back.setattr("streams.store.shard_store.FORMAT", FORMAT)
        await ShardStore(client, 3, "rolled back", metrics).take_over()
    await put_format_in_force(client, "unimargin", FormatInForce(FORMAT + 1, 1, "ops", "all are new"))
    with pytest.raises(HigherInForce):
        await put_format_in_force(client, "unimargin", FormatInForce(FORMAT + 1, 2, "ops", "again"))
    with monkeypatch.context() as back:
        back.setattr("streams.store.shard_store.FORMAT", FORMAT)
        before = await dumped(client)
        with pytest.raises(StoreRefused, match="newer edition"):
            await ShardStore(client, 3, "shut out", metrics).take_over()
        assert await dumped(client) == before
    await newer.take_over()
    assert newer.format == FORMAT + 1
    monkeypatch.undo()
    await client.delete(format_key("unimargin"))
    before = await dumped(client)
    with pytest.raises(StoreRefused, match="newer edition"):
        await ShardStore(client, 3, "rolled back", metrics).take_over()
    assert await dumped(client) == before


async def test_take_over_when_a_backup_is_being_restored_then_it_is_refused(
    store: ShardStore, client: Redis
) -> None:
    await client.hset(KEYS.meta, "restoring", "of monday")
    before = await dumped(client)
    with pytest.raises(StoreRefused, match="the backup of monday is being restored"):
        await store.take_over()
    assert await dumped(client) == before
