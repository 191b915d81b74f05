"""What Redis has of policies, under `unimargin:{policy}`: which one is in force, and every one that ever was, or is to be.

    unimargin:{policy}:in-force   JSON: digest, version, since when, who and why
    unimargin:{policy}:versions   hash: digest -> the policy as JSON
    unimargin:{policy}:claims     hash: version -> who publishes it

Versions travel on their topic. Here it stands which of them the workers have come to: each says so before it judges by it, and none judges by an
older one from then on, nor one with another policy at all. The first worker on an empty Redis puts its own in force, as version 0. Commands
value accounts by what is in force here. What was ever in force is kept, because accounts may hold contracts that have left the policy since,
and inputs in these are booked by their terms of then.
"""

from collections.abc import Collection
from typing import Any

import msgspec
from redis.asyncio import Redis
from redis.exceptions import WatchError

from engine.policy import Policy, PolicyError
from streams.config.problem import Problem
from streams.config.settings import Settings, load_policy
from streams.contract.policy_version import policy_bytes, read_policy, with_listed
from streams.store.redis_access import open_redis
from streams.store.redis_client import bounded, scan_hash

FIRST_WHO = "first worker"


class PolicyInForce(msgspec.Struct, frozen=True):
    """What an operator, or the first worker, has put in force."""

    digest: str
    name: str
    version: int
    """0 is the settings' file of the first worker."""
    activated_ns: int
    """Unix ns: of the first worker's by the wall clock, of what was published the event time from which it is in force."""
    who: str
    why: str = ""


_decoder = msgspec.json.Decoder(PolicyInForce)


def in_force_key(prefix: str) -> str:
    """Key of what is in force."""
    return f"{prefix}:{{policy}}:in-force"


def versions_key(prefix: str) -> str:
    """Key of all policies that ever were in force."""
    return f"{prefix}:{{policy}}:versions"


def claims_key(prefix: str) -> str:
    """Key of who publishes which version."""
    return f"{prefix}:{{policy}}:claims"


async def policy_in_force(client: Redis, prefix: str) -> PolicyInForce | None:
    """What is in force; None before any worker came."""
    any_client: Any = client
    data = await bounded(any_client.get(in_force_key(prefix)))
    return None if data is None else _decoder.decode(data)


async def put_first(client: Redis, prefix: str, policy: Policy, now_ns: int) -> PolicyInForce:
    """Put `policy` in force where none is; returns what is in force then."""
    any_client: Any = client
    await keep_policy(client, prefix, policy)
    first = PolicyInForce(policy.digest, policy.name, 0, now_ns, FIRST_WHO)
    await bounded(any_client.set(in_force_key(prefix), msgspec.json.encode(first), nx=True))
    return await policy_in_force(client, prefix) or first


async def put_in_force(client: Redis, prefix: str, policy: Policy, new: PolicyInForce) -> PolicyInForce:
    """Say that the workers have come to this version; returns what is in force then: an older one never takes the place of a newer one."""
    any_client: Any = client
    await keep_policy(client, prefix, policy)
    key = in_force_key(prefix)
    while True:
        async with any_client.pipeline(transaction=True) as pipe:
            await bounded(pipe.watch(key))
            data = await bounded(pipe.get(key))
            found = None if data is None else _decoder.decode(data)
            if found is not None and found.version >= new.version:
                return found
            pipe.multi()
            pipe.set(key, msgspec.json.encode(new))
            try:
                await bounded(pipe.execute())
            except WatchError:
                continue
            return new


async def claim_version(client: Redis, prefix: str, version: int, who: str) -> bool:
    """Whether nobody else publishes, or has published, this version."""
    any_client: Any = client
    return bool(await bounded(any_client.hsetnx(claims_key(prefix), str(version), who)))


async def claimed_version(client: Redis, prefix: str) -> int:
    """The highest version that anybody has claimed; -1 where none was."""
    any_client: Any = client
    return max((int(it) for it in await bounded(any_client.hgetall(claims_key(prefix)))), default=-1)


async def keep_policy(client: Redis, prefix: str, policy: Policy) -> None:
    """Keep a policy by its digest."""
    any_client: Any = client
    await bounded(any_client.hsetnx(versions_key(prefix), policy.digest, policy_bytes(policy)))


async def kept_policy(client: Redis, prefix: str, digest: str) -> bytes | None:
    """A policy that was kept, as JSON; None where there is none of this digest."""
    any_client: Any = client
    data: bytes | None = await bounded(any_client.hget(versions_key(prefix), digest))
    return data


async def ruling_policy(client: Redis, prefix: str, of_settings: Policy) -> Policy:
    """The policy that workers judge by now: the one in force, or the settings' where no worker ever came.

    Raises `Problem` where this edition cannot read it.
    """
    found = await policy_in_force(client, prefix)
    if found is None or found.digest == of_settings.digest:
        return of_settings
    data = await kept_policy(client, prefix, found.digest)
    if data is None:
        raise Problem(f"the policy in force, digest {found.digest}, is not kept in Redis")
    try:
        return read_policy(data)
    except PolicyError as error:
        raise Problem(f"the policy in force, version {found.version}, {error}") from None


async def policy_in_use(settings: Settings) -> Policy:
    """`ruling_policy`, for commands. Raises `SettingsError` as `load_policy` does, and `Problem` where Redis is away."""
    of_settings = load_policy(settings.policy_file)
    async with open_redis(settings) as client:
        return await ruling_policy(client, settings.redis_prefix, of_settings)


async def ever_listed(client: Redis, prefix: str, policy: Policy, but: Collection[str]) -> Policy:
    """`policy` and, besides what it lists, what any policy lists that is kept, but of these digests: to book by, not to judge by."""
    async for digest, data in scan_hash(client, versions_key(prefix)):
        if digest not in but:
            policy = with_listed(policy, data)
    return policy
