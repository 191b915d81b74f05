"""Which policy is in force, for all workers of a deployment, and all that ever were: in Redis, under `unimargin:{policy}`.

    unimargin:{policy}:in-force   JSON: digest, version, since when, who and why
    unimargin:{policy}:versions   hash: digest -> the policy as JSON

The first worker on an empty Redis puts its own in force, as version 0; from then on it is changed by an operator's word alone
(`unimargin policy activate`). A worker with another digest takes no shard. What was ever in force is kept, because accounts may hold
contracts that have left the policy since, and inputs in these are booked by their terms of then.
"""

from typing import Any

import msgspec
from redis.asyncio import Redis

from engine.policy import Asset, Instrument, Policy
from streams.store.redis_client import bounded, scan_hash

FIRST_WHO = "first worker"


class PolicyInForce(msgspec.Struct, frozen=True):
    """What an operator, or the first worker, has put in force."""

    digest: str
    name: str
    version: int
    """0 is the settings' file of the first worker."""
    activated_ns: int
    """Wall clock, Unix ns."""
    who: str
    why: str = ""


class _Kept(msgspec.Struct):
    """Of an older policy what booking needs; each entry is read by itself, for an edition before may have had other fields."""

    instruments: dict[str, msgspec.Raw] = {}
    assets: dict[str, msgspec.Raw] = {}


_decoder = msgspec.json.Decoder(PolicyInForce)
_kept_decoder = msgspec.json.Decoder(_Kept)


def in_force_key(prefix: str) -> str:
    """Key of what is in force."""
    return f"{prefix}:{{policy}}:in-force"


def versions_key(prefix: str) -> str:
    """Key of all policies that ever were in force."""
    return f"{prefix}:{{policy}}:versions"


async def policy_in_force(client: Redis, prefix: str) -> PolicyInForce | None:
    """What is in force; None before any worker came."""
    any_client: Any = client
    data = await bounded(any_client.get(in_force_key(prefix)))
    return None if data is None else _decoder.decode(data)


async def put_first(client: Redis, prefix: str, policy: Policy, now_ns: int) -> PolicyInForce:
    """Put `policy` in force where none is; returns what is in force then."""
    any_client: Any = client
    await _keep(client, prefix, policy)
    first = PolicyInForce(policy.digest, policy.name, 0, now_ns, FIRST_WHO)
    await bounded(any_client.set(in_force_key(prefix), msgspec.json.encode(first), nx=True))
    return await policy_in_force(client, prefix) or first


async def activate(
    client: Redis, prefix: str, policy: Policy, *, who: str, why: str, now_ns: int
) -> PolicyInForce:
    """Put `policy` in force by an operator's word. Raises `redis.WatchError` where somebody else did so just now."""
    any_client: Any = client
    await _keep(client, prefix, policy)
    key = in_force_key(prefix)
    async with any_client.pipeline(transaction=True) as pipe:
        await bounded(pipe.watch(key))
        data = await bounded(pipe.get(key))
        version = 0 if data is None else _decoder.decode(data).version + 1
        new = PolicyInForce(policy.digest, policy.name, version, now_ns, who, why)
        pipe.multi()
        pipe.set(key, msgspec.json.encode(new))
        await bounded(pipe.execute())
    return new


async def with_all_ever_listed(client: Redis, prefix: str, policy: Policy) -> Policy:
    """`policy` and, besides what it lists, what any policy listed that was in force before: to book by, not to judge by."""
    instruments, assets = dict(policy.instruments), dict(policy.assets)
    async for _, data in scan_hash(client, versions_key(prefix)):
        kept = _kept_decoder.decode(data)
        for symbol, raw in kept.instruments.items():
            if symbol not in instruments and (instrument := _read(raw, Instrument)) is not None:
                instruments[symbol] = instrument
        for name, raw in kept.assets.items():
            if name not in assets and (asset := _read(raw, Asset)) is not None:
                assets[name] = asset
    return msgspec.structs.replace(policy, instruments=instruments, assets=assets)


async def _keep(client: Redis, prefix: str, policy: Policy) -> None:
    any_client: Any = client
    data = msgspec.json.encode(policy, order="deterministic")
    await bounded(any_client.hsetnx(versions_key(prefix), policy.digest, data))


def _read(raw: msgspec.Raw, kind: Any) -> Any:
    try:
        return msgspec.json.decode(raw, type=kind)
    except msgspec.ValidationError:
        return None
