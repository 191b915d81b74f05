"""Backups of real servers: an image is of one commit however much is written meanwhile, and a restore gives it back."""

import asyncio
import io
from pathlib import Path
from typing import Any, Self

import msgspec
import pytest
from redis.asyncio import Redis

from engine.ledger.accounts import AccountState, OpenOrder, Progress, Remembered, encode
from engine.ledger.orders_apart import OrderChanges
from engine.numbers import ZERO
from streams.contract.commit import AppliedId, Commit, ForgottenIds, Lane, OutboxEntry
from streams.observe.metrics import Metrics
from streams.store.backup import backup_restoring, shard_imaging
from streams.store.backup.backup_creating import Written, write_backup
from streams.store.backup.backup_restoring import RestoreRefused, look_around, restore
from streams.store.backup.shard_imaging import ImageRefused
from streams.store.shard_ownership import StoreRefused, StoreRewound
from streams.store.shard_store import ShardStore
from streams.store.store_format import FORMAT
from streams.store.store_keys import OUTBOX_HEAD, ShardKeys

SHARD = 3
ACCOUNTS = 2_500
ORDER = msgspec.json.encode(OpenOrder("BTC", ZERO, ZERO))


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backup_restoring, "LISTEN_SECONDS", 0.3)


def entry(topic: str, number: int) -> OutboxEntry:
    return OutboxEntry(topic, SHARD, b"key", str(number).encode() + bytes(range(200)), (), "event")


def commit(number: int) -> Commit:
    """The one that brings the watermark from `number` to the next: it changes ten accounts, ids, orders, risks, outboxes."""
    names = [f"a{(number * 7 + place) % ACCOUNTS:04}" for place in range(10)]
    generation = 1 + number // 400
    remembered = Remembered(generation, 1 + number % 400, 0, 0, 400 if generation > 1 else 0)
    # one account has so many ids and orders that they lie in several keys
    busy = AccountState("busy", fills=Progress(offset=number, remembered=remembered), orders_apart=True)
    states = {name: encode(AccountState(name, fills=Progress(offset=number))) for name in names}
    expected = 400 if generation > 1 else 0
    said = number.to_bytes(8, "big")
    applied = (AppliedId(generation, expected, number % 400, said, said),)
    forgotten: tuple[ForgottenIds, ...] = ()
    if number % 400 == 0 and generation > 2:
        forgotten = (ForgottenIds("fills", "busy", generation - 2, 400, 400 if generation > 3 else 0),)
    left = {f"o{number % 50}": ORDER, f"o{(number + 25) % 50}": None}
    return Commit(
        advance={"fills": (number, number + 1)},
        accounts={**states, "busy": encode(busy)},
        orders={"busy": OrderChanges(cleared=number == 0, left=left)},
        risks={name: str(number).encode() for name in names[:2]} | {"told only": str(number).encode()},
        ids={("fills", "busy"): applied},
        forgotten=forgotten,
        outbox=(entry("margin-events", number), entry("liquidations", number)),
        breaker=f"b{number}".encode(),
        adl=f"adl{number}".encode(),
    )


async def filled(store: ShardStore) -> None:
    await store.take_over()
    names = [f"a{number:04}" for number in range(ACCOUNTS)]
    for first in range(0, ACCOUNTS, 500):
        some = names[first : first + 500]
        await store.commit(Commit(accounts={name: encode(AccountState(name)) for name in some}))
    await store.remember_logs({"fills": "abc/4"})
    await store.save_marks({"BTC": b"mark"})


async def logical(client: Redis, prefix: str) -> dict[str, Any]:
    """Everything but who owns the shard, snapshots and the trail."""
    any_client: Any = client
    found: dict[str, Any] = {}
    root = ShardKeys(prefix, SHARD).root
    async for key in client.scan_iter(match=f"{root}:*"):
        kind, name = await client.type(key), key.decode().removeprefix(root + ":")
        if kind == b"hash":
            found[name] = await any_client.hgetall(key)
        elif kind == b"list":
            found[name] = await any_client.lrange(key, 0, -1)
        elif kind == b"string" and name != "fence":
            found[name] = await client.get(key)
    own = {b"owner", b"token", b"taken_ms", b"beat", b"role", b"snapshot", b"snapshot_token"}
    found["meta"] = {field: value for field, value in found["meta"].items() if field not in own}
    return {name: found[name] for name in found if name not in {"changed", "snapshot"}}


async def backed_up(client: Redis, file: Any, prefix: str = "unimargin", shard: int = SHARD) -> Written:
    return await write_backup(
        client, prefix, (shard,), file, edition="test", now_ns=1, on_accounts=lambda _: None
    )


async def restored(client: Redis, file: Any, prefix: str) -> None:
    file.seek(0)
    await restore(client, prefix, file, await look_around(client, prefix), lambda _: None)


class Trading:
    """Commits and publishes until it is left."""

    def __init__(self, store: ShardStore) -> None:
        self._store, self.commits = store, 0
        self._busy = asyncio.Event()

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._run())
        await self._busy.wait()
        return self

    async def __aexit__(self, *_: object) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        while True:
            await self._store.commit(commit(self.commits))
            self.commits += 1
            if self.commits > 60:
                self._busy.set()
                if self.commits % 10 == 0:
                    for lane in Lane:
                        await self._store.published(lane, 10, {})
            await asyncio.sleep(0.001)


def take_outboxes(found: dict[str, Any]) -> list[tuple[int, list[int]]]:
    """Take the outboxes out: of each lane its head, and the numbers of its entries."""
    taken = []
    for lane, name in ((Lane.LIQUIDATIONS, "outbox-liquidations"), (Lane.ORDINARY, "outbox")):
        entries = [msgspec.msgpack.decode(it, type=OutboxEntry) for it in found.pop(name, [])]
        numbers = [int(it.value[: it.value.index(0)]) for it in entries]
        taken.append((int(found["meta"].pop(OUTBOX_HEAD[lane].encode(), 0)), numbers))
    return taken


async def test_backup_when_commits_go_on_then_it_is_of_one_commit_and_restores_to_just_that(
    store: ShardStore, client: Redis, metrics: Metrics, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, few in (
        ("OUTBOX_ENTRIES", 20),
        ("LAST_ACCOUNTS", 30),
        ("KEYS_TOGETHER", 100),
        ("SCAN_FIELDS", 100),
    ):
        monkeypatch.setattr(shard_imaging, name, few)
    await filled(store)
    file = io.BytesIO()
    async with Trading(store) as trading:
        began = trading.commits
        written = await backed_up(client, file)
        ended = trading.commits
    (end,) = written.shards
    at = end.watermarks["fills"]
    assert began < at <= ended + 1
    assert ended - began > 5, "nothing was written meanwhile"
    assert end.accounts == ACCOUNTS + 1
    # what an undisturbed shard has at that commit
    reference = ShardStore(client, SHARD, "reference", metrics, prefix="reference")
    await filled(reference)
    for number in range(at):
        await reference.commit(commit(number))
    await restored(client, file, "again")
    expected, found = await logical(client, "reference"), await logical(client, "again")
    take_outboxes(expected)
    for head, numbers in take_outboxes(found):
        assert numbers == list(range(head, at))
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert found[name] == value, name


async def test_restore_when_done_then_a_new_owner_goes_on_and_what_was_after_the_backup_is_gone(
    store: ShardStore, client: Redis, metrics: Metrics
) -> None:
    await filled(store)
    for number in range(450):
        await store.commit(commit(number))
    file = io.BytesIO()
    await backed_up(client, file)
    before = await logical(client, "unimargin")
    for number in range(450, 900):
        await store.commit(commit(number))
    await restored(client, file, "unimargin")
    assert await logical(client, "unimargin") == before
    with pytest.raises(StoreRewound):
        await store.commit(commit(900))
    new = ShardStore(client, SHARD, "new", metrics)
    image = await new.take_over()
    assert image.watermarks["fills"] == 450
    assert image.logs == {"fills": "abc/4"}
    await new.commit(commit(450))


async def test_restore_when_an_owner_gives_signs_of_life_then_it_is_refused_and_nothing_changes(
    store: ShardStore, client: Redis
) -> None:
    await filled(store)
    file = io.BytesIO()
    await backed_up(client, file)

    async def live() -> None:
        while True:
            await store.beat()
            await asyncio.sleep(0.05)

    living = asyncio.create_task(live())
    with pytest.raises(RestoreRefused, match=r"owned by a worker that lives: 3 \(owner worker-a\)"):
        await restored(client, file, "unimargin")
    living.cancel()
    await store.commit(commit(0))


async def test_restore_when_somebody_comes_after_the_look_then_it_is_refused(
    store: ShardStore, client: Redis, metrics: Metrics
) -> None:
    await filled(store)
    file = io.BytesIO()
    await backed_up(client, file)
    found = await look_around(client, "unimargin")
    new = ShardStore(client, SHARD, "new", metrics)
    await new.take_over()
    file.seek(0)
    with pytest.raises(RestoreRefused, match="a worker has come for shard 3 just now"):
        await restore(client, "unimargin", file, found, lambda _: None)
    await new.commit(commit(0))


async def test_restore_when_cut_short_then_no_worker_gets_a_shard_until_it_was_done_again(
    store: ShardStore, client: Redis, metrics: Metrics
) -> None:
    await filled(store)
    await store.commit(commit(0))
    file = io.BytesIO()
    await backed_up(client, file)
    before = await logical(client, "unimargin")

    def stop(_: int) -> None:
        raise KeyboardInterrupt

    file.seek(0)
    with pytest.raises(KeyboardInterrupt):
        await restore(client, "unimargin", file, await look_around(client, "unimargin"), stop)
    for owner in (store, ShardStore(client, SHARD, "new", metrics)):
        with pytest.raises(StoreRefused, match="restore was cut short"):
            await owner.take_over()
    with pytest.raises(ImageRefused, match="restore was cut short"):
        await backed_up(client, io.BytesIO())
    assert [it.restoring for it in await look_around(client, "unimargin")] == [True]
    await restored(client, file, "unimargin")
    assert await logical(client, "unimargin") == before


async def test_backup_when_the_shard_is_taken_over_in_between_then_it_is_begun_anew_and_whole(
    store: ShardStore, client: Redis, metrics: Metrics, tmp_path: Path
) -> None:
    await filled(store)
    new = ShardStore(client, SHARD, "new", metrics)
    taking: list[asyncio.Task[Any]] = []

    def take(_: int) -> None:
        if not taking:
            taking.append(asyncio.create_task(new.take_over()))

    with (tmp_path / "backup").open("w+b") as file:
        written = await write_backup(
            client, "unimargin", (SHARD,), file, edition="test", now_ns=1, on_accounts=take
        )
        await taking[0]
        assert written.shards[0].fence == 2
        await restored(client, file, "again")
    assert await logical(client, "again") == await logical(client, "unimargin")


async def test_backup_when_a_newer_edition_has_written_then_it_is_refused(
    store: ShardStore, client: Redis
) -> None:
    await filled(store)
    await client.hset(ShardKeys("unimargin", SHARD).meta, "format", FORMAT + 1)
    with pytest.raises(ImageRefused, match="newer edition"):
        await backed_up(client, io.BytesIO())


async def test_backup_when_ids_are_of_an_edition_before_generations_then_they_are_in_it(
    store: ShardStore, client: Redis
) -> None:
    any_client: Any = client
    await store.take_over()
    await store.commit(Commit(accounts={"old": encode(AccountState("old", fills=Progress(offset=5)))}))
    await any_client.rpush(ShardKeys("unimargin", SHARD).old_ids("fills", "old"), "t1", "t2")
    file = io.BytesIO()
    await backed_up(client, file)
    await restored(client, file, "again")
    assert await any_client.lrange(ShardKeys("again", SHARD).old_ids("fills", "old"), 0, -1) == [b"t1", b"t2"]


async def test_restore_when_the_prefix_has_signs_of_patterns_then_other_keys_stay(
    client: Redis, metrics: Metrics
) -> None:
    mine = ShardStore(client, SHARD, "mine", metrics, prefix="a[b]*")
    await filled(mine)
    await client.set("ab:{shard-3}:fence", "1")
    await client.set("a[b]*:{shard-30}x", "1")
    file = io.BytesIO()
    await backed_up(client, file, "a[b]*")
    await restored(client, file, "a[b]*")
    assert await client.get("ab:{shard-3}:fence") == b"1"
    assert await client.get("a[b]*:{shard-30}x") == b"1"
