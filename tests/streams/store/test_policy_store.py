"""Which policy is in force, in a real Redis, and what may still be booked of those that were."""

import asyncio

import msgspec
import pytest
from redis.asyncio import Redis

from engine.policy import Policy
from streams.config.problem import Problem
from streams.store.policy_store import (
    FIRST_WHO,
    PolicyInForce,
    claim_version,
    claimed_version,
    claims_key,
    ever_listed,
    in_force_key,
    policy_in_force,
    put_first,
    put_in_force,
    ruling_policy,
    versions_key,
)
from tests.support.builders import sample

pytestmark = pytest.mark.system

PREFIX = "test"
POLICY = sample(("[assets.USD]", '[assets.USD]\n\n[assets.EUR]\nindex = "EUR-USD"'))
OTHER = sample(("[instruments.ETH-PERP]", "[instruments.SOL-PERP]"))


def version(number: int, policy: Policy = OTHER) -> PolicyInForce:
    return PolicyInForce(policy.digest, policy.name, number, 5, "desk", "listed SOL")


async def test_first_when_several_workers_come_at_once_then_one_policy_is_in_force(client: Redis) -> None:
    found = await asyncio.gather(*(put_first(client, PREFIX, it, 7) for it in (POLICY, OTHER) * 5))
    assert len({it.digest for it in found}) == 1
    first = found[0]
    assert (first.version, first.who, first.activated_ns) == (0, FIRST_WHO, 7)
    assert await policy_in_force(client, PREFIX) == first


async def test_in_force_when_an_older_version_comes_later_then_the_newer_one_stays(client: Redis) -> None:
    await put_first(client, PREFIX, POLICY, 1)
    assert await put_in_force(client, PREFIX, OTHER, version(2)) == version(2)
    assert await put_in_force(client, PREFIX, POLICY, version(1, POLICY)) == version(2)
    assert await put_first(client, PREFIX, POLICY, 9) == version(2)


async def test_in_force_when_workers_say_so_at_once_then_the_newest_of_all(client: Redis) -> None:
    await put_first(client, PREFIX, POLICY, 1)
    numbers = [3, 1, 7, 5, 2, 7, 4]
    await asyncio.gather(*(put_in_force(client, PREFIX, OTHER, version(it)) for it in numbers))
    assert await policy_in_force(client, PREFIX) == version(7)


async def test_claim_when_two_publish_at_once_then_one_of_them_has_the_version(client: Redis) -> None:
    assert await claimed_version(client, PREFIX) == -1
    told = await asyncio.gather(*(claim_version(client, PREFIX, 4, f"w{it}") for it in range(8)))
    assert sum(told) == 1
    assert await claimed_version(client, PREFIX) == 4


async def test_ruling_when_a_worker_came_then_what_is_in_force_and_not_the_settings_file(
    client: Redis,
) -> None:
    assert await ruling_policy(client, PREFIX, POLICY) is POLICY
    await put_in_force(client, PREFIX, OTHER, version(1))
    assert await ruling_policy(client, PREFIX, POLICY) == OTHER
    await client.delete(versions_key(PREFIX))
    with pytest.raises(Problem, match="not kept in Redis"):
        await ruling_policy(client, PREFIX, POLICY)


async def test_booking_when_policies_changed_then_all_that_was_ever_listed_and_ours_where_both_list_it(
    client: Redis,
) -> None:
    await put_first(client, PREFIX, POLICY, 1)
    await put_in_force(client, PREFIX, OTHER, version(1))
    booking = await ever_listed(client, PREFIX, OTHER, but={OTHER.digest})
    assert booking.instruments == {**POLICY.instruments, **OTHER.instruments}
    assert booking.assets == {**POLICY.assets, **OTHER.assets}
    assert booking.instruments["BTC-PERP"] is OTHER.instruments["BTC-PERP"]
    assert await ever_listed(client, PREFIX, OTHER, but={OTHER.digest, POLICY.digest}) is OTHER


async def test_booking_when_an_edition_before_wrote_what_nobody_reads_then_the_rest_is_read(
    client: Redis,
) -> None:
    old = msgspec.json.decode(msgspec.json.encode(POLICY))
    old["instruments"]["ODD-PERP"] = {"kind": "of another time"}
    old["left"] = True
    await client.hset(versions_key(PREFIX), "old", msgspec.json.encode(old))  # type: ignore[misc]
    booking = await ever_listed(client, PREFIX, OTHER, but=())
    assert "ODD-PERP" not in booking.instruments
    assert booking.instruments.keys() >= POLICY.instruments.keys()


def test_keys_when_on_a_cluster_then_all_are_on_one_node() -> None:
    for key in (in_force_key, versions_key, claims_key):
        assert "{policy}" in key(PREFIX)
