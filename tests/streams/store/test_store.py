"""The shard store against real servers, both versions it must run on: redis-server on PATH and the wheel's 6.2."""

import asyncio
from hashlib import blake2b

import msgspec
import pytest
import redis.exceptions
from redis.asyncio import Redis

from streams.contract.commit import AppliedId, Commit, ForgottenIds, Lane, OutboxEntry, SoughtId
from streams.embedded.embedded_redis import EmbeddedRedis
from streams.observe.metrics import Metrics
from streams.store.redis_client import StoreUnavailable, connect
from streams.store.shard_ownership import FenceLost, StoreRewound, WatermarkMismatch
from streams.store.shard_store import ShardStore
from streams.store.store_keys import ShardKeys
from streams.store.store_reader import StoreReader

BINARY = bytes(range(256))
NOTHING: dict[Lane, list[OutboxEntry]] = {lane: [] for lane in Lane}


def entry(number: int, value: bytes = BINARY, topic: str = "margin-events") -> OutboxEntry:
    return OutboxEntry(
        topic=topic,
        partition=3,
        key=b"alice",
        value=value,
        headers=(("ce_id", f"alice/{topic}/{number}".encode()), ("raw", BINARY)),
        event_type="margin.call.opened",
        cause_time_ns=1_700_000_000_000_000_001,
    )


def fills(start: int, end: int, **parts: object) -> Commit:
    return Commit(advance={"fills": (start, end)}, **parts)


def said(text: str) -> bytes:
    return blake2b(b"said" + text.encode(), digest_size=8).digest()


def digest(text: str) -> bytes:
    return blake2b(text.encode(), digest_size=8).digest()


def applied(*texts: str, generation: int = 1, first: int = 0) -> tuple[AppliedId, ...]:
    """Ids of a generation, from this place on."""
    return tuple(AppliedId(generation, 0, first + n, digest(it), said(it)) for n, it in enumerate(texts))


def sought(
    *texts: str, account: str = "alice", topic: str = "fills", generation: int = 1, ids: int = 2
) -> list[SoughtId]:
    """These ids, among so many of a generation."""
    return [SoughtId(topic, account, generation, ids, 0, digest(it), it) for it in texts]


async def test_take_over_of_nothing_gives_an_empty_image_and_the_first_fence(store: ShardStore) -> None:
    image = await store.take_over()
    assert image.fence == 1
    assert (image.watermarks, image.accounts, image.risks) == ({}, {}, {})
    assert (image.outboxes, image.published, image.marks) == (NOTHING, {}, {})


async def test_commit_when_a_new_owner_takes_over_then_it_finds_every_part_of_it(
    store: ShardStore, client: Redis, metrics: Metrics
) -> None:
    await store.take_over()
    states = {f"account {number} é": BINARY * (number % 30 + 1) for number in range(3000)}
    await store.commit(
        Commit(
            advance={"fills": (0, 2**53 + 1), "ledger": (0, 7)},
            accounts=states,
            risks={"account 1 é": BINARY},
            ids={("fills", "alice"): applied("t1", "t2"), ("ledger", "alice"): applied("d1")},
            outbox=(entry(1), entry(2)),
            breaker=b"b" + BINARY,
            adl=b"a" + BINARY,
        )
    )
    # what a commit does not speak of stays
    await store.commit(Commit(advance={"ledger": (7, 8)}, ids={("ledger", "alice"): applied("d2", first=1)}))
    await store.save_marks({"BTC-USD": BINARY})

    other = ShardStore(client, 3, "worker-b", metrics)
    image = await other.take_over()

    assert image.fence == 2
    assert image.watermarks == {"fills": 2**53 + 1, "ledger": 8}
    assert image.accounts == states
    assert image.risks == {"account 1 é": BINARY}
    assert image.outboxes[Lane.ORDINARY] == [entry(1), entry(2)]
    assert image.marks == {"BTC-USD": BINARY}
    assert (image.breaker, image.adl) == (b"b" + BINARY, b"a" + BINARY)
    assert await StoreReader(client).adl(3) == b"a" + BINARY
    asked = sought("t1", "t2", "d1") + sought("t1", account="bob")
    assert await other.applied_ids(asked) == {asked[0]: said("t1"), asked[1]: said("t2")}
    of_ledger = sought("d1", "t1", "d2", topic="ledger", ids=2)
    assert await other.applied_ids(of_ledger) == {of_ledger[0]: said("d1"), of_ledger[2]: said("d2")}
    assert await other.applied_ids([]) == {}


async def test_commit_when_repeated_after_a_lost_answer_then_it_is_applied_once(
    store: ShardStore, client: Redis, metrics: Metrics, monkeypatch: pytest.MonkeyPatch
) -> None:
    await store.take_over()
    carry_out, answers = client.evalsha, []

    async def lose_the_first_answer(*args: object) -> object:
        answers.append(await carry_out(*args))
        if len(answers) == 1:
            raise redis.exceptions.TimeoutError("the answer was lost on the way")
        return answers[-1]

    await store.commit(fills(0, 1))  # the script is known to the server from here on
    monkeypatch.setattr(client, "evalsha", lose_the_first_answer)
    await store.commit(
        fills(1, 2, accounts={"alice": b"1"}, outbox=(entry(1),), ids={("fills", "alice"): applied("t1")})
    )
    await store.commit(fills(2, 3))

    assert answers == [[b"ok"], [b"already"], [b"ok"]]
    assert metrics.commit_retries_total._value.get() == 1
    image = await ShardStore(client, 3, "worker-b", metrics).take_over()
    assert image.watermarks == {"fills": 3}
    assert image.outboxes[Lane.ORDINARY] == [entry(1)]
    assert list((await store.applied_ids(sought("t1"))).values()) == [said("t1")]


async def test_commit_when_the_scripts_were_flushed_then_it_loads_them_again(
    store: ShardStore, client: Redis
) -> None:
    await store.take_over()
    await client.script_flush()
    await store.commit(fills(0, 1))
    await client.script_flush()
    await store.commit(fills(1, 2))


async def test_remember_logs_when_another_owner_took_over_then_fence_lost_and_nothing_written(
    store: ShardStore, client: Redis, metrics: Metrics
) -> None:
    await store.take_over()
    other = ShardStore(client, 3, "worker-b", metrics, retry_for_s=10)
    await other.take_over()
    with pytest.raises(FenceLost):
        await store.remember_logs({"fills": "id/4"})
    assert (await StoreReader(client).meta(3)).logs == {}


async def test_remember_logs_when_redis_was_emptied_then_store_rewound(
    store: ShardStore, client: Redis
) -> None:
    await store.take_over()
    await client.flushall()
    with pytest.raises(StoreRewound):
        await store.remember_logs({"fills": "id/4"})
    assert await client.dbsize() == 0


async def test_commit_when_another_owner_took_over_then_fence_lost_and_nothing_written(
    store: ShardStore, client: Redis, metrics: Metrics
) -> None:
    await store.take_over()
    await store.commit(fills(0, 1, accounts={"alice": b"1"}))
    assert await store.holds_fence()
    other = ShardStore(client, 3, "worker-b", metrics)
    await other.take_over()

    assert not await store.holds_fence()
    # Commit 2 of the old owner would otherwise fit: right watermark, and its number is what the other would use next
    # after its first.
    await other.commit(fills(1, 2, accounts={"alice": b"2"}))
    with pytest.raises(FenceLost):
        await store.commit(fills(2, 3, accounts={"alice": b"stolen"}, outbox=(entry(1),)))

    image = await other.take_over()
    assert image.accounts == {"alice": b"2"}
    assert image.outboxes == NOTHING


async def test_commit_when_an_operator_raised_the_fence_by_hand_then_fence_lost(
    store: ShardStore, client: Redis
) -> None:
    await store.take_over()
    await client.incr("unimargin:{shard-3}:fence")
    assert not await store.holds_fence()
    with pytest.raises(FenceLost):
        await store.commit(fills(0, 1))


async def test_published_when_another_owner_took_over_then_fence_lost_and_nothing_cut(
    store: ShardStore, client: Redis, metrics: Metrics
) -> None:
    await store.take_over()
    await store.commit(Commit(outbox=(entry(1),)))
    other = ShardStore(client, 3, "worker-b", metrics)
    await other.take_over()
    with pytest.raises(FenceLost):
        await store.published(Lane.ORDINARY, 1, {})
    assert await other.oldest_unpublished(Lane.ORDINARY, 10) == [entry(1)]


async def test_commit_when_redis_was_emptied_then_rewound(store: ShardStore, client: Redis) -> None:
    await store.take_over()
    await store.commit(fills(0, 1, outbox=(entry(1),)))
    await client.flushall()
    with pytest.raises(StoreRewound, match="Redis is at nothing"):
        await store.commit(fills(1, 2))
    with pytest.raises(StoreRewound, match="Redis is at nothing"):
        await store.published(Lane.ORDINARY, 1, {})
    assert await client.dbsize() == 0


async def test_commit_when_redis_was_emptied_and_the_fence_number_comes_again_then_fence_lost(
    store: ShardStore, client: Redis, metrics: Metrics
) -> None:
    assert (await store.take_over()).fence == 1
    await client.flushall()
    assert (await ShardStore(client, 3, "worker-b", metrics).take_over()).fence == 1
    assert not await store.holds_fence()
    with pytest.raises(FenceLost):
        await store.commit(fills(0, 1))


async def test_commit_when_the_watermark_is_another_then_mismatch_and_nothing_written(
    store: ShardStore, client: Redis, metrics: Metrics
) -> None:
    await store.take_over()
    await store.commit(fills(0, 5, accounts={"alice": b"1"}))
    with pytest.raises(WatermarkMismatch, match="watermark:fills is 5"):
        await store.commit(
            Commit(advance={"ledger": (0, 1), "fills": (4, 6)}, accounts={"alice": b"2"}, outbox=(entry(1),))
        )
    image = await ShardStore(client, 3, "worker-b", metrics).take_over()
    assert image.watermarks == {"fills": 5}
    assert image.accounts == {"alice": b"1"}
    assert image.outboxes == NOTHING


async def test_commit_when_a_topic_was_never_committed_then_its_watermark_counts_as_zero(
    store: ShardStore,
) -> None:
    await store.take_over()
    with pytest.raises(WatermarkMismatch, match="watermark:ledger is 0"):
        await store.commit(Commit(advance={"ledger": (1, 2)}))


async def test_commit_when_redis_was_restored_from_an_older_copy_then_rewound(
    store: ShardStore, client: Redis
) -> None:
    await store.take_over()
    await store.commit(Commit(accounts={"alice": b"1"}))
    keys = [key async for key in client.scan_iter()]
    copy = {key: await client.dump(key) for key in keys}
    await store.commit(Commit(accounts={"alice": b"2"}))
    await client.flushall()
    for key, dumped in copy.items():
        await client.restore(key, 0, dumped)

    # No watermark betrays the loss: the commit says nothing about inputs.
    with pytest.raises(StoreRewound, match="Redis is at 1, after commit 2"):
        await store.commit(Commit(accounts={"alice": b"3"}))
    assert await client.hget("unimargin:{shard-3}:accounts", "alice") == b"1"


async def test_beat_when_redis_was_rewound_to_another_owner_then_told_from_a_take_over(
    store: ShardStore, client: Redis, metrics: Metrics
) -> None:
    """Also where the copy's fence is higher than ours, as after an earlier rewind: numbers come again, times do not."""
    other = ShardStore(client, 3, "worker-b", metrics)
    for _ in range(3):
        await other.take_over()
    copy = {key: await client.dump(key) for key in [key async for key in client.scan_iter()]}

    await client.flushall()
    assert (await store.take_over()).fence == 1
    await store.commit(Commit(outbox=(entry(1),)))
    await client.flushall()
    for key, dumped in copy.items():
        await client.restore(key, 0, dumped)
    for refused in (
        store.beat(),
        store.ask(),
        store.published(Lane.ORDINARY, 1, {}),
        store.commit(fills(0, 1)),
    ):
        with pytest.raises(StoreRewound, match="another owner's, from before we took the shard over"):
            await refused

    await store.take_over()
    with pytest.raises(FenceLost):
        await other.beat()


async def test_beat_when_redis_was_rewound_behind_a_commit_or_emptied_then_rewound(
    store: ShardStore, client: Redis
) -> None:
    await store.take_over()
    copy = {key: await client.dump(key) for key in [key async for key in client.scan_iter()]}
    await store.beat()
    await store.commit(fills(0, 1))
    await store.beat()
    await client.flushall()
    with pytest.raises(StoreRewound, match="Redis is at nothing"):
        await store.beat()
    for key, dumped in copy.items():
        await client.restore(key, 0, dumped)
    with pytest.raises(StoreRewound, match="Redis is at 0, after commit 1"):
        await store.beat()


async def test_withdrawn_when_repeated_after_a_lost_answer_then_each_entry_goes_once(
    store: ShardStore, client: Redis, metrics: Metrics, monkeypatch: pytest.MonkeyPatch
) -> None:
    await store.take_over()
    await store.commit(Commit(outbox=tuple(entry(number) for number in range(6))))
    carry_out, answers = client.evalsha, []

    async def lose_the_first_answer(*args: object) -> object:
        answers.append(await carry_out(*args))
        if len(answers) == 1:
            raise redis.exceptions.ConnectionError("the answer was lost on the way")
        return answers[-1]

    monkeypatch.setattr(client, "evalsha", lose_the_first_answer)
    await store.withdrawn(Lane.ORDINARY, [0, 2, 3])
    assert answers == [[b"ok"], [b"already"]]
    assert await store.oldest_unpublished(Lane.ORDINARY, 10) == [entry(1), entry(4), entry(5)]
    await store.published(Lane.ORDINARY, 1, {})

    other = ShardStore(client, 3, "worker-b", metrics)
    await other.take_over()
    await other.withdrawn(Lane.ORDINARY, [1])
    assert await other.oldest_unpublished(Lane.ORDINARY, 10) == [entry(4)]
    with pytest.raises(FenceLost):
        await store.withdrawn(Lane.LIQUIDATIONS, [0])


async def test_published_when_repeated_after_a_lost_answer_then_it_cuts_once(
    store: ShardStore, client: Redis, metrics: Metrics, monkeypatch: pytest.MonkeyPatch
) -> None:
    await store.take_over()
    await store.commit(Commit(outbox=tuple(entry(number) for number in range(5))))
    await store.published(Lane.ORDINARY, 1, {"margin-events": 10})
    carry_out, answers = client.evalsha, []

    async def lose_the_first_answer(*args: object) -> object:
        answers.append(await carry_out(*args))
        if len(answers) == 1:
            raise redis.exceptions.ConnectionError("the answer was lost on the way")
        return answers[-1]

    monkeypatch.setattr(client, "evalsha", lose_the_first_answer)
    await store.published(Lane.ORDINARY, 2, {"margin-events": 12, "quarantine": 1})

    assert answers == [[b"ok"], [b"already"]]
    image = await ShardStore(client, 3, "worker-b", metrics).take_over()
    assert image.outboxes[Lane.ORDINARY] == [entry(3), entry(4)]
    assert image.published == {"margin-events": 12, "quarantine": 1}


async def test_published_when_a_new_owner_goes_on_then_the_head_goes_on_too(
    store: ShardStore, client: Redis, metrics: Metrics
) -> None:
    await store.take_over()
    await store.commit(Commit(outbox=tuple(entry(number) for number in range(4))))
    await store.published(Lane.ORDINARY, 1, {})
    other = ShardStore(client, 3, "worker-b", metrics)
    await other.take_over()
    await other.published(Lane.ORDINARY, 2, {})
    assert await other.oldest_unpublished(Lane.ORDINARY, 10) == [entry(3)]
    assert (await StoreReader(client).meta(3)).outbox_heads[Lane.ORDINARY] == 3


async def test_commit_when_it_carries_liquidations_then_they_have_an_outbox_and_a_head_of_their_own(
    store: ShardStore, client: Redis, metrics: Metrics
) -> None:
    await store.take_over()
    urgent = [entry(number, topic="liquidations") for number in range(3)]
    await store.commit(Commit(outbox=(entry(1), urgent[0], entry(2), *urgent[1:])))
    await store.published(Lane.LIQUIDATIONS, 1, {"liquidations": 8})
    assert await store.oldest_unpublished(Lane.LIQUIDATIONS, 10) == urgent[1:]

    successor = ShardStore(client, 3, "worker-b", metrics)
    image = await successor.take_over()
    assert image.outboxes == {Lane.LIQUIDATIONS: urgent[1:], Lane.ORDINARY: [entry(1), entry(2)]}
    await successor.published(Lane.LIQUIDATIONS, 2, {"liquidations": 10})
    await successor.published(Lane.ORDINARY, 1, {"margin-events": 1})
    reader = StoreReader(client)
    assert (await reader.meta(3)).outbox_heads == {Lane.LIQUIDATIONS: 3, Lane.ORDINARY: 1}
    assert (await reader.meta(3)).published == {"liquidations": 10, "margin-events": 1}
    assert await reader.outbox_entries(3) == 1


async def test_take_over_when_an_older_edition_has_one_outbox_for_all_then_its_entries_are_in_the_ordinary_one(
    store: ShardStore, client: Redis
) -> None:
    old = [entry(1), entry(1, topic="liquidations"), entry(2)]
    await client.rpush("unimargin:{shard-3}:outbox", *map(msgspec.msgpack.encode, old))
    await client.hset("unimargin:{shard-3}:meta", "outbox_head", "7")
    image = await store.take_over()
    assert image.outboxes == {Lane.LIQUIDATIONS: [], Lane.ORDINARY: old}
    await store.published(Lane.ORDINARY, 3, {"liquidations": 1, "margin-events": 2})
    assert (await StoreReader(client).meta(3)).outbox_heads == {Lane.LIQUIDATIONS: 0, Lane.ORDINARY: 10}


async def test_published_when_the_outbox_holds_fewer_then_rewound(store: ShardStore) -> None:
    await store.take_over()
    await store.commit(Commit(outbox=(entry(1),)))
    with pytest.raises(StoreRewound):
        await store.published(Lane.ORDINARY, 2, {})


async def test_ids_when_a_generation_is_large_then_every_one_is_found_in_small_hashes(
    store: ShardStore, client: Redis
) -> None:
    await store.take_over()
    names = [f"t{number}" for number in range(3000)]
    for first in (0, 50, 1500):
        last = {0: 50, 50: 1500, 1500: 3000}[first]
        await store.commit(Commit(ids={("fills", "alice"): applied(*names[first:last], first=first)}))
    asked = sought(*names, "t3000", ids=3000)
    assert await store.applied_ids(asked) == {it: said(it.text) for it in asked[:-1]}
    kinds = {await client.object("encoding", key) for key in await client.keys("*:ids:*")}
    assert kinds <= {b"listpack", b"ziplist"}, "none has outgrown what Redis keeps without pointers"


async def test_ids_when_a_generation_was_expected_to_be_large_then_each_lies_in_one_place(
    store: ShardStore, client: Redis
) -> None:
    await store.take_over()
    names = [f"t{number}" for number in range(5000)]
    ids = tuple(it._replace(expected=3000) for it in applied(*names))
    await store.commit(Commit(ids={("fills", "alice"): ids}))
    asked = [it._replace(expected=3000) for it in sought(*names, "t5000", ids=5000)]
    assert await store.applied_ids(asked) == {it: said(it.text) for it in asked[:-1]}
    # 64 hashes have room for 4,096; the others are in the next level
    levels = [int(key.decode().split(":ids:fills:1:")[1][0]) for key in await client.keys("*:ids:*")]
    assert levels.count(2) == 64
    assert set(levels) == {2, 3}
    await store.commit(Commit(forgotten=(ForgottenIds("fills", "alice", 1, 5000, 3000),)))
    assert await client.keys("*:ids:*") == []


async def test_ids_when_their_generation_is_forgotten_then_none_of_its_keys_stays(
    store: ShardStore, client: Redis
) -> None:
    await store.take_over()
    names = [f"t{number}" for number in range(1500)]
    await store.commit(Commit(ids={("fills", "alice"): applied(*names), ("fills", "bob"): applied("b")}))
    later = {("fills", "alice"): applied("t1500", first=1500) + applied("t1501", generation=2)}
    await store.commit(Commit(ids=later, forgotten=(ForgottenIds("fills", "alice", 1, 1501, 0),)))
    kept = [key.decode().split(":ids:")[1] for key in await client.keys("*:ids:*")]
    assert sorted(kept) == ["fills:1:0.0:bob", "fills:2:0.0:alice"]
    of_second = sought("t1501", generation=2, ids=1)
    assert await store.applied_ids(sought("t0", ids=1501) + of_second) == {of_second[0]: said("t1501")}


async def test_ids_when_an_old_edition_left_a_list_then_found_until_it_is_forgotten(
    store: ShardStore, client: Redis
) -> None:
    await store.take_over()
    key = ShardKeys("unimargin", 3).old_ids("fills", "alice")
    await client.rpush(key, "t1", "t2")
    asked = sought("t2", "t9", generation=0, ids=1)
    assert await store.applied_ids(asked) == {asked[0]: b""}
    await store.commit(Commit(forgotten=(ForgottenIds("fills", "alice", 0, 1, 0),)))
    assert not await client.exists(key)


async def test_commit_when_redis_is_full_then_unavailable_with_its_words_and_nothing_written(
    client: Redis, metrics: Metrics
) -> None:
    store = ShardStore(client, 3, "worker-a", metrics, retry_for_s=0.2)
    await store.take_over()
    await store.commit(fills(0, 1, accounts={"alice": b"1"}, outbox=(entry(1), entry(2))))
    await client.config_set("maxmemory", "1")
    with pytest.raises(StoreUnavailable, match="maxmemory"):
        await store.commit(fills(1, 2, accounts={"alice": b"2"}, outbox=(entry(3),)))
    assert metrics.commit_retries_total._value.get() >= 1
    await store.published(Lane.ORDINARY, 1, {"margin-events": 1})  # a full Redis can shrink

    await client.config_set("maxmemory", "0")
    image = await ShardStore(client, 3, "worker-b", metrics).take_over()
    assert image.watermarks == {"fills": 1}
    assert image.accounts == {"alice": b"1"}
    assert image.outboxes[Lane.ORDINARY] == [entry(2)]


async def test_commit_when_redis_becomes_a_replica_then_unavailable_with_its_words(
    client: Redis, metrics: Metrics
) -> None:
    store = ShardStore(client, 3, "worker-a", metrics, retry_for_s=0.1)
    await store.take_over()
    await store.commit(fills(0, 1))
    await client.execute_command("REPLICAOF", "127.0.0.1", "1")
    try:
        with pytest.raises(StoreUnavailable, match=r"(?i)read.?only"):
            await store.commit(fills(1, 2))
    finally:
        await client.execute_command("REPLICAOF", "NO", "ONE")


async def test_commit_when_another_one_runs_then_refused(store: ShardStore) -> None:
    await store.take_over()
    first = asyncio.create_task(store.commit(fills(0, 1)))
    await asyncio.sleep(0)
    with pytest.raises(AssertionError, match="is running"):
        await store.commit(fills(1, 2))
    await first


async def test_commit_when_the_one_before_was_cancelled_then_refused_until_the_next_take_over(
    store: ShardStore,
) -> None:
    for steps in range(1, 20):  # cancel it everywhere on its way; the last ones come too late
        image = await store.take_over()
        start = image.watermarks.get("fills", 0)
        first = asyncio.create_task(store.commit(fills(start, start + 1)))
        for _ in range(steps):
            await asyncio.sleep(0)
        if not first.cancel():
            await first
            continue
        with pytest.raises(
            asyncio.CancelledError
        ):  # never swallowed: a shard that is asked to stop must stop
            await first
        # Its number may be used up: another commit under it could be taken for a repetition, and be lost.
        with pytest.raises(AssertionError, match="ended without a good answer"):
            await store.commit(fills(start, start + 1))


async def test_commit_when_the_server_is_killed_and_restarted_then_nothing_confirmed_is_lost_or_doubled(
    server: EmbeddedRedis, client: Redis, metrics: Metrics
) -> None:
    """A counter account: commit n writes n and appends outbox entry n. Five kills in the middle of the stream."""
    store = ShardStore(client, 3, "worker-a", metrics, retry_for_s=20)
    await store.take_over()
    confirmed = 0
    ended = asyncio.Event()

    async def commits() -> None:
        nonlocal confirmed
        while not ended.is_set():
            number = confirmed + 1
            await store.commit(
                fills(number - 1, number, accounts={"counter": b"%d" % number}, outbox=(entry(number),))
            )
            confirmed = number

    async def go_on() -> None:
        enough = confirmed + 200
        while confirmed < enough:  # polled: an event would pace the stream that is to be interrupted anywhere
            assert not stream.done(), stream.exception()
            await asyncio.sleep(0.005)

    stream = asyncio.create_task(commits())
    for _ in range(5):
        await go_on()
        await asyncio.to_thread(server.kill)
        await asyncio.to_thread(server.start)
    await go_on()
    ended.set()
    await stream

    assert metrics.commit_retries_total._value.get() >= 5
    image = await ShardStore(client, 3, "worker-b", metrics).take_over()
    assert image.watermarks == {"fills": confirmed}
    assert image.accounts == {"counter": b"%d" % confirmed}
    assert image.outboxes[Lane.ORDINARY] == [entry(number) for number in range(1, confirmed + 1)]


async def test_commit_when_redis_stays_away_then_unavailable_within_the_bound(
    server: EmbeddedRedis, client: Redis, metrics: Metrics
) -> None:
    store = ShardStore(client, 3, "worker-a", metrics, retry_for_s=0.5)
    await store.take_over()
    await asyncio.to_thread(server.kill)
    async with asyncio.timeout(5):
        with pytest.raises(StoreUnavailable, match="gave up after"):
            await store.commit(fills(0, 1))


async def test_reader_when_an_account_is_stored_then_it_is_found_in_its_shard(
    client: Redis, metrics: Metrics
) -> None:
    for shard, account in ((0, "alice"), (2, "bob")):
        store = ShardStore(client, shard, f"worker-{shard}", metrics)
        await store.take_over()
        await store.commit(
            Commit(
                advance={"fills": (0, 9)},
                accounts={account: BINARY},
                risks={"bob": b"r"} if account == "bob" else {},
                outbox=(entry(1), entry(2)),
            )
        )
        await store.published(Lane.ORDINARY, 1, {"liquidations": 4})
        await store.save_marks({"BTC-USD": b"1", "ETH-USD": b"2"})

    reader = StoreReader(client)
    assert await reader.account("alice", shards=4) == (0, BINARY, None)
    assert await reader.account("bob", shards=4) == (2, BINARY, b"r")
    assert await reader.account("bob", shards=2) is None
    assert [item async for item in reader.accounts(2)] == [("bob", BINARY)]
    assert await reader.marks(2) == {"BTC-USD": b"1", "ETH-USD": b"2"}
    assert await reader.outbox_entries(2) == 1
    meta = await reader.meta(2)
    assert (meta.fence, meta.owner, meta.commit) == (1, "worker-2", 1)
    assert meta.outbox_heads == {Lane.LIQUIDATIONS: 0, Lane.ORDINARY: 1}
    assert meta.watermarks == {"fills": 9}
    assert meta.published == {"liquidations": 4}
    assert (await reader.meta(1)).fence == 0


def test_prefix_with_braces_then_refused(metrics: Metrics) -> None:
    with pytest.raises(ValueError, match="apart"):
        ShardStore(connect("redis://127.0.0.1:1/0"), 0, "a", metrics, prefix="a{b}")


async def test_commit_when_the_server_has_become_a_replica_then_its_connection_is_dropped(
    client: Redis, metrics: Metrics
) -> None:
    """Else whoever is led to the next primary by a name would never ask for it again. An older server wraps the words."""
    store = ShardStore(client, 3, "worker-a", metrics, retry_for_s=0.1)
    await store.take_over()
    before = await client.client_id()
    await client.execute_command("REPLICAOF", "127.0.0.1", "1")
    try:
        with pytest.raises(StoreUnavailable, match="READONLY"):
            await store.commit(fills(0, 1))
        assert await client.client_id() != before
    finally:
        await client.execute_command("REPLICAOF", "NO", "ONE")
