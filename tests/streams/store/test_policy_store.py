"""Which policy is in force, in a real Redis, and what may still be booked of those that were."""

import asyncio

import msgspec
import pytest
from redis.asyncio import Redis
from redis.exceptions import WatchError

from streams.store.policy_store import (
    FIRST_WHO,
    activate,
    in_force_key,
    policy_in_force,
    put_first,
    versions_key,
    with_all_ever_listed,
)
from tests.support.builders import sample

pytestmark = pytest.mark.system

PREFIX = "test"
POLICY = sample(("[assets.USD]", '[assets.USD]\n\n[assets.EUR]\nindex = "EUR-USD"'))
OTHER = sample(("[instruments.ETH-PERP]", "[instruments.SOL-PERP]"))


async def test_first_when_several_workers_come_at_once_then_one_policy_is_in_force(client: Redis) -> None:
    found = await asyncio.gather(*(put_first(client, PREFIX, it, 7) for it in (POLICY, OTHER) * 5))
    assert len({it.digest for it in found}) == 1
    first = found[0]
    assert (first.version, first.who, first.activated_ns) == (0, FIRST_WHO, 7)
    assert await policy_in_force(client, PREFIX) == first


async def test_activate_when_told_then_the_next_version_and_a_later_worker_changes_nothing(
    client: Redis,
) -> None:
    await put_first(client, PREFIX, POLICY, 1)
    now = await activate(client, PREFIX, OTHER, who="desk", why="listed SOL", now_ns=5)
    assert (now.digest, now.version, now.who, now.why, now.activated_ns) == (
        OTHER.digest,
        1,
        "desk",
        "listed SOL",
        5,
    )
    assert await put_first(client, PREFIX, POLICY, 9) == now
    back = await activate(client, PREFIX, POLICY, who="desk", why="back", now_ns=6)
    assert back.version == 2


async def test_activate_when_somebody_else_does_at_the_same_time_then_only_one_of_them(client: Redis) -> None:
    await put_first(client, PREFIX, POLICY, 1)
    told = await asyncio.gather(
        *(activate(client, PREFIX, OTHER, who=f"w{n}", why="", now_ns=n) for n in range(8)),
        return_exceptions=True,
    )
    done = [it for it in told if not isinstance(it, BaseException)]
    assert {type(it) for it in told if isinstance(it, BaseException)} <= {WatchError}
    assert sorted(it.version for it in done) == list(range(1, len(done) + 1))


async def test_booking_when_policies_changed_then_all_that_was_ever_listed_and_ours_where_both_list_it(
    client: Redis,
) -> None:
    await put_first(client, PREFIX, POLICY, 1)
    await activate(client, PREFIX, OTHER, who="desk", why="", now_ns=2)
    booking = await with_all_ever_listed(client, PREFIX, OTHER)
    assert booking.instruments == {**POLICY.instruments, **OTHER.instruments}
    assert booking.assets == {**POLICY.assets, **OTHER.assets}
    assert booking.instruments["BTC-PERP"] is OTHER.instruments["BTC-PERP"]


async def test_booking_when_an_edition_before_wrote_what_nobody_reads_then_the_rest_is_read(
    client: Redis,
) -> None:
    old = msgspec.json.decode(msgspec.json.encode(POLICY))
    old["instruments"]["ODD-PERP"] = {"kind": "of another time"}
    old["left"] = True
    await client.hset(versions_key(PREFIX), "old", msgspec.json.encode(old))  # type: ignore[misc]
    booking = await with_all_ever_listed(client, PREFIX, OTHER)
    assert "ODD-PERP" not in booking.instruments
    assert booking.instruments.keys() >= POLICY.instruments.keys()


def test_keys_when_on_a_cluster_then_both_are_on_one_node() -> None:
    assert "{policy}" in in_force_key(PREFIX)
    assert "{policy}" in versions_key(PREFIX)
