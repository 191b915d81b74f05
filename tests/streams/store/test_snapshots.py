"""Snapshots of a shard against a real Redis: what a new owner reads is what is stored, whoever wrote it, and however it ended."""

from collections.abc import AsyncIterator

import pytest
import redis.exceptions
from redis.asyncio import Redis

from streams.contract.commit import Commit
from streams.observe.metrics import Metrics
from streams.store.redis_client import connect
from streams.store.shard_image import ShardImage
from streams.store.shard_store import ShardStore
from streams.store.snapshot_store import NAMES_TOGETHER, PARTS_TOGETHER, SnapshotLost
from streams.store.store_keys import ShardKeys

EDITION = "engine/policy"
SHARD = 3
KEYS = ShardKeys("unimargin", SHARD)
PARTS = [bytes(range(256)), b"", b"part"]


@pytest.fixture
async def client(redis_url_db: str) -> AsyncIterator[Redis]:
    async with connect(redis_url_db) as client:
        yield client


def owner(client: Redis) -> ShardStore:
    return ShardStore(client, SHARD, "worker", Metrics(), retry_for_s=10)


async def taken_over(client: Redis) -> tuple[ShardStore, ShardImage]:
    store = owner(client)
    return store, await store.take_over(EDITION)


async def commit(store: ShardStore, **states: bytes) -> None:
    await store.commit(Commit(accounts=states))


async def write(store: ShardStore, parts: list[bytes] = PARTS, left_out: tuple[str, ...] = ()) -> None:
    snapshots = store.snapshots()
    await snapshots.begin()
    for part in parts:
        await snapshots.add(part)
    await snapshots.finish(EDITION, list(left_out), store.commits)


async def test_snapshot_when_in_place_then_a_new_owner_reads_it_and_whom_it_does_not_tell(client):
    store, image = await taken_over(client)
    assert image.snapshot is None
    await commit(store, alice=b"1", bob=b"1", carol=b"1", dave=b"1", erin=b"1", frank=b"1", grace=b"1")
    snapshots = store.snapshots()
    await snapshots.begin()
    await commit(store, alice=b"2")
    for part in PARTS:
        await snapshots.add(part)
    await snapshots.finish(EDITION, ["bob"], store.commits)
    await commit(store, carol=b"3")

    successor, image = await taken_over(client)

    assert image.snapshot is not None
    assert image.snapshot.parts == PARTS
    assert image.snapshot.outdated == {"alice", "bob", "carol"}
    assert image.accounts == {}
    assert await successor.states(["alice", "carol", "nobody"]) == {"alice": b"2", "carol": b"3"}
    # and so does the owner after, of what this one changed
    await commit(successor, dave=b"4")
    _, image = await taken_over(client)
    assert image.snapshot is not None
    assert image.snapshot.outdated == {"alice", "bob", "carol", "dave"}


async def test_snapshot_when_written_anew_then_only_changes_since_its_begin_count(client):
    store, _ = await taken_over(client)
    await commit(store, **dict.fromkeys(("alice", "bob", "carol"), b"1"))
    await write(store)
    await commit(store, alice=b"2")
    await write(store, [b"anew"])
    await commit(store, bob=b"2")
    _, image = await taken_over(client)
    assert image.snapshot is not None
    assert (image.snapshot.parts, image.snapshot.outdated) == ([b"anew"], {"bob"})


async def test_snapshot_when_large_then_all_of_it_is_read(client):
    store, _ = await taken_over(client)
    states = {f"account {number} é": b"1" for number in range(3 * NAMES_TOGETHER)}
    await commit(store, **states)
    parts = [b"%d" % number for number in range(2 * PARTS_TOGETHER + 1)]
    await write(store, parts, tuple(states))
    successor, image = await taken_over(client)
    assert image.snapshot is not None
    assert image.snapshot.parts == parts
    assert await successor.states(sorted(image.snapshot.outdated)) == states


@pytest.mark.parametrize(
    "damage",
    [
        lambda client: client.hset(KEYS.meta, "snapshot", "another edition"),
        lambda client: client.lset(KEYS.snapshot, 1, b"damaged"),
        lambda client: client.ltrim(KEYS.snapshot, 0, -2),
        lambda client: client.ltrim(KEYS.snapshot, 1, -1),
        lambda client: client.delete(KEYS.snapshot),
        # two of three accounts
        lambda client: client.sadd(KEYS.changed, "alice", "bob"),
        # an owner that knows no snapshots: it notes nothing, and its token vouches for none
        lambda client: client.hset(KEYS.meta, mapping={"token": "drawn anew", "commit": "0"}),
    ],
)
async def test_snapshot_when_it_does_not_fit_then_every_state_is_read(client, damage):
    store, _ = await taken_over(client)
    states = dict.fromkeys(("alice", "bob", "carol"), b"1")
    await commit(store, **states)
    await write(store)
    await damage(client)
    _, image = await taken_over(client)
    assert image.snapshot is None
    assert image.accounts == states


async def test_snapshot_when_nobody_asks_for_an_edition_then_every_state_is_read(client):
    store, _ = await taken_over(client)
    await commit(store, alice=b"1")
    await write(store)
    image = await owner(client).take_over()
    assert (image.snapshot, image.accounts) == (None, {"alice": b"1"})
    # ... which takes nothing from who does
    assert (await taken_over(client))[1].snapshot is not None


async def test_snapshot_when_not_finished_then_the_one_before_stays_with_all_that_changed_since(client):
    store, _ = await taken_over(client)
    await commit(store, **dict.fromkeys(("alice", "bob", "carol", "dave"), b"1"))
    await write(store)
    await commit(store, alice=b"2")
    snapshots = store.snapshots()
    await snapshots.begin()
    await snapshots.add(b"never finished")
    await commit(store, bob=b"2")

    _, image = await taken_over(client)

    assert image.snapshot is not None
    assert (image.snapshot.parts, image.snapshot.outdated) == (PARTS, {"alice", "bob"})
    assert not await client.exists(KEYS.snapshot_next, KEYS.changed_next)
    assert not await client.hexists(KEYS.meta, "snapshot_next")


@pytest.mark.parametrize("step", ["begin", "add", "finish"])
async def test_snapshot_when_the_fence_is_lost_then_nothing_of_it_is_put_in_place(client, step):
    store, _ = await taken_over(client)
    await commit(store, alice=b"1")
    snapshots = store.snapshots()
    if step != "begin":
        await snapshots.begin()
    successor, _ = await taken_over(client)
    await write(successor)
    calls = {
        "begin": snapshots.begin,
        "add": lambda: snapshots.add(b"stolen"),
        "finish": lambda: snapshots.finish(EDITION, [], store.commits),
    }
    with pytest.raises(SnapshotLost, match="fenced"):
        await calls[step]()
    _, image = await taken_over(client)
    assert image.snapshot is not None
    assert image.snapshot.parts == PARTS


async def test_snapshot_when_redis_was_rewound_behind_a_confirmed_commit_then_it_is_not_finished(client):
    store, _ = await taken_over(client)
    await commit(store, alice=b"1")
    snapshots = store.snapshots()
    await snapshots.begin()
    before = await client.dump(KEYS.meta)
    await commit(store, alice=b"2")
    await snapshots.add(b"alice is 2")
    # an older copy of this moment: the commit, and that it was noted, are gone
    await client.restore(KEYS.meta, 0, before, replace=True)
    await client.hset(KEYS.accounts, "alice", b"1")
    await client.delete(KEYS.changed_next)
    with pytest.raises(SnapshotLost, match="lost"):
        await snapshots.finish(EDITION, [], store.commits)
    _, image = await taken_over(client)
    assert (image.snapshot, image.accounts) == (None, {"alice": b"1"})


async def test_snapshot_when_parts_are_missing_then_it_is_not_finished(client):
    store, _ = await taken_over(client)
    await commit(store, alice=b"1")
    snapshots = store.snapshots()
    await snapshots.begin()
    await snapshots.add(b"1")
    await client.delete(KEYS.snapshot_next)
    with pytest.raises(SnapshotLost, match="lost"):
        await snapshots.add(b"2")
    with pytest.raises(SnapshotLost, match="lost"):
        await snapshots.finish(EDITION, [], store.commits)
    assert (await taken_over(client))[1].snapshot is None


async def test_snapshot_when_answers_are_lost_then_every_step_is_done_once(client, monkeypatch):
    store, _ = await taken_over(client)
    await commit(store, **dict.fromkeys(("alice", "bob", "carol"), b"1"))
    await write(store)  # the scripts are known to the server from here on
    carry_out, called = client.evalsha, set[object]()

    async def lose_first_answers(*args: object) -> object:
        answer = await carry_out(*args)
        if args not in called:
            called.add(args)
            raise redis.exceptions.TimeoutError("the answer was lost on the way")
        return answer

    monkeypatch.setattr(client, "evalsha", lose_first_answers)
    await write(store, [b"1", b"2"])
    monkeypatch.undo()
    assert len(called) == 5  # begin, two parts, the end, finish
    await commit(store, alice=b"2")
    _, image = await taken_over(client)
    assert image.snapshot is not None
    assert (image.snapshot.parts, image.snapshot.outdated) == ([b"1", b"2"], {"alice"})


async def test_due_when_there_is_none_or_too_much_has_changed_then_it_is(client):
    store, _ = await taken_over(client)
    snapshots = store.snapshots()
    assert not await snapshots.is_due(EDITION, 0.1)  # nobody is there
    await commit(store, **{f"a-{number}": b"1" for number in range(10)})
    assert await snapshots.is_due(EDITION, 0.1)
    await write(store)
    assert not await snapshots.is_due(EDITION, 0.1)
    assert await snapshots.is_due("another", 0.1)
    await commit(store, **{"a-1": b"2"})
    assert not await snapshots.is_due(EDITION, 0.1)
    await commit(store, **{"a-2": b"2"})
    assert await snapshots.is_due(EDITION, 0.1)
