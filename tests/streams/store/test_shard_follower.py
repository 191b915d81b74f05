"""Following a shard: what another owner commits is read along, and another history is never taken for its continuation."""

import pytest
from redis.asyncio import Redis

from streams.contract.commit import Commit
from streams.observe.metrics import Metrics
from streams.store import shard_store
from streams.store.shard_follower import Changes, Role, ShardFollower, TrailLost
from streams.store.shard_ownership import FenceLost
from streams.store.shard_store import ShardStore

NOTHING = Changes({}, {})


@pytest.fixture
def follower(client: Redis) -> ShardFollower:
    return ShardFollower(client, 3, "unimargin")


def standby(client: Redis, metrics: Metrics) -> ShardStore:
    return ShardStore(client, 3, "standby-a", metrics, role=Role.STANDBY)


async def copied(client: Redis) -> dict[bytes, bytes]:
    return {key: await client.dump(key) async for key in client.scan_iter()}


async def restore(client: Redis, copy: dict[bytes, bytes]) -> None:
    await client.flushall()
    for key, dumped in copy.items():
        await client.restore(key, 0, dumped)


async def test_follow_when_the_owner_commits_then_exactly_what_changed_is_read(
    store: ShardStore, follower: ShardFollower
) -> None:
    await store.take_over()
    await store.commit(Commit(accounts={"alice é": b"1", "bob": b"1"}, risks={"bob": b"r1"}))
    assert await follower.load() == Changes({"alice é": b"1", "bob": b"1"}, {"bob": b"r1"})
    assert await follower.follow() == NOTHING

    await store.commit(Commit(accounts={"alice é": b"2"}))
    await store.commit(Commit(risks={"carol": b"r1"}))
    await store.commit(Commit(advance={"fills": (0, 1)}))

    assert await follower.follow() == Changes({"alice é": b"2"}, {"carol": b"r1"})
    assert await follower.follow() == NOTHING


async def test_follow_when_it_begins_before_the_first_owner_then_nothing_is_missed(
    store: ShardStore, follower: ShardFollower
) -> None:
    assert await follower.load() == NOTHING
    assert follower.token == ""
    await store.take_over()
    await store.commit(Commit(accounts={"alice": b"1"}))

    assert await follower.follow() == Changes({"alice": b"1"}, {})


async def test_follow_when_the_shard_changes_hands_then_it_goes_on(
    store: ShardStore, follower: ShardFollower, client: Redis, metrics: Metrics
) -> None:
    await store.take_over()
    await store.commit(Commit(accounts={"alice": b"1"}))
    await follower.load()
    await store.commit(Commit(accounts={"alice": b"2"}))
    other = ShardStore(client, 3, "worker-b", metrics)
    await other.take_over()
    await other.commit(Commit(accounts={"bob": b"1"}))

    assert await follower.follow() == Changes({"alice": b"2", "bob": b"1"}, {})


async def test_follow_when_more_commits_came_than_the_trail_holds_then_it_is_lost(
    store: ShardStore, follower: ShardFollower, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shard_store, "TRAIL_ENTRIES_MAX", 10)
    await store.take_over()
    await follower.load()
    for number in range(300):  # it is cut in whole blocks of 100 entries
        await store.commit(Commit(accounts={"alice": b"%d" % number}))

    with pytest.raises(TrailLost, match="does not hold 1-0 any more"):
        await follower.follow()
    assert await follower.load() == Changes({"alice": b"299"}, {})


async def test_follow_when_redis_was_rewound_then_the_trail_is_lost(
    store: ShardStore, follower: ShardFollower, client: Redis
) -> None:
    await store.take_over()
    await store.commit(Commit(accounts={"alice": b"1"}))
    copy = await copied(client)
    await store.commit(Commit(accounts={"alice": b"2"}))
    await follower.load()
    await restore(client, copy)

    with pytest.raises(TrailLost, match="does not hold 1-2 any more"):
        await follower.follow()


async def test_follow_when_redis_was_rewound_and_the_numbers_came_again_then_the_trail_is_lost(
    store: ShardStore, follower: ShardFollower, client: Redis, metrics: Metrics
) -> None:
    await store.take_over()
    copy = await copied(client)
    first, second = (ShardStore(client, 3, name, metrics) for name in ("worker-b", "worker-c"))
    await first.take_over()
    await first.commit(Commit(accounts={"alice": b"said"}))
    await follower.load()
    await restore(client, copy)
    await second.take_over()
    await second.commit(Commit(accounts={"bob": b"1"}))  # fence 2, commit 1, as the follower has it

    with pytest.raises(TrailLost):
        await follower.follow()
    third = ShardStore(client, 3, "worker-d", metrics)
    await third.take_over()
    with pytest.raises(TrailLost, match="an owner who was not followed"):
        await follower.follow()


async def test_follow_when_an_edition_without_trails_wrote_then_the_trail_is_lost(
    store: ShardStore, follower: ShardFollower, client: Redis
) -> None:
    await store.take_over()
    await follower.load()
    await client.hset("unimargin:{shard-3}:meta", "commit", "1")

    with pytest.raises(TrailLost, match="does not lead to 1-1"):
        await follower.follow()


async def test_take_over_from_when_changes_came_since_the_last_look_then_the_image_has_them_alone(
    store: ShardStore, follower: ShardFollower, client: Redis, metrics: Metrics
) -> None:
    await store.take_over()
    await store.commit(Commit(accounts={"alice": b"1", "bob": b"1"}, risks={"alice": b"r1"}))
    await follower.load()
    await store.commit(Commit(advance={"fills": (0, 7)}, accounts={"bob": b"2"}, risks={"bob": b"r1"}))
    assert not await follower.held_by_standby()

    image = await standby(client, metrics).take_over_from(follower)

    assert image is not None
    assert (image.fence, image.watermarks) == (2, {"fills": 7})
    assert (image.accounts, image.risks) == ({"bob": b"2"}, {"bob": b"r1"})
    assert await follower.held_by_standby()
    with pytest.raises(FenceLost):
        await store.commit(Commit(accounts={"bob": b"3"}))


async def test_take_over_from_when_somebody_else_was_faster_then_nothing_is_taken(
    store: ShardStore, follower: ShardFollower, client: Redis, metrics: Metrics
) -> None:
    await store.take_over()
    await follower.load()
    other = ShardStore(client, 3, "worker-b", metrics)
    await other.take_over()

    assert await standby(client, metrics).take_over_from(follower) is None
    assert await other.holds_fence()
    await other.commit(Commit(accounts={"alice": b"1"}))
    assert await follower.follow() == Changes({"alice": b"1"}, {})


async def test_take_over_when_only_the_fence_was_deleted_then_the_trail_begins_anew(
    store: ShardStore, client: Redis, metrics: Metrics
) -> None:
    await store.take_over()
    await ShardStore(client, 3, "worker-b", metrics).take_over()
    await client.delete("unimargin:{shard-3}:fence")

    assert (await store.take_over()).fence == 1
    await store.commit(Commit(accounts={"alice": b"1"}))
    assert [number for number, _ in await client.xrange("unimargin:{shard-3}:trail")] == [b"1-0", b"1-1"]


async def test_beat_when_the_owner_lives_then_a_follower_sees_it_and_a_former_owner_is_refused(
    store: ShardStore, follower: ShardFollower, client: Redis, metrics: Metrics
) -> None:
    await store.take_over()
    await follower.load()
    lives = [follower.life]
    for _ in range(2):
        await store.beat()
        assert await follower.follow() == NOTHING
        lives.append(follower.life)
    assert len(set(lives)) == 3

    await ShardStore(client, 3, "worker-b", metrics).take_over()
    with pytest.raises(FenceLost):
        await store.beat()


async def test_follower_when_it_reads_then_it_writes_nothing(
    store: ShardStore, follower: ShardFollower, client: Redis
) -> None:
    await follower.load()
    await follower.follow()
    assert await client.dbsize() == 0
    await store.take_over()
    before = await copied(client)
    await follower.follow()
    assert await copied(client) == before
