"""The checks of `unimargin doctor` that ask Redis: the server, the shards, the accounts."""

import re
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import msgspec
from redis.asyncio import Redis
from redis.exceptions import ResponseError

from engine.inputs import Topic
from streams.cli.doctor.check import Check, failed, ok, warn
from streams.cli.doctor.doctor_accounts import examine_accounts
from streams.cli.doctor.doctor_copies import examine_copies
from streams.cli.doctor.doctor_failover import examine_failover, text_of
from streams.cli.doctor.doctor_kafka import Logs
from streams.cli.doctor.doctor_policy import examine_policy
from streams.cli.doctor.doctor_prices import examine_prices
from streams.cli.doctor.doctor_reserves import examine_memory
from streams.config.problem import Problem
from streams.config.settings import Settings
from streams.config.terminal import printable
from streams.contract.policy_version import PolicyVersion
from streams.kafka.topic_access import LogBounds
from streams.store.format_store import format_in_force
from streams.store.redis_access import address, open_redis, shard_count
from streams.store.redis_client import servers
from streams.store.store_format import FORMAT, newer
from streams.store.store_keys import ShardMeta
from streams.store.store_reader import StoreReader

SECURE = "correct the settings that it names: deploy/redis/security.md"
VERSION_MIN = (6, 2)
CLOCK_DIFFERENCE_MAX_S = 1.0
"""Staleness of prices is measured in seconds: clocks further apart make fresh prices stale or stale ones fresh."""
LAG_RECORDS_MAX = 1000
"""A running worker works off so many in a fraction of a second."""
OUTBOX_ENTRIES_MAX = 1000


async def examine_redis(
    settings: Settings, logs: Logs, published: Sequence[PolicyVersion] | None
) -> list[Check]:
    """Check the server and every shard in it; `logs` from Kafka, {} if the broker is away, and so `published` is None."""
    try:
        async with open_redis(settings) as client:
            return [
                *await _server(client, settings),
                *await _of_each(client, _persistence),
                *await _of_each(client, examine_memory),
                *await _of_each(client, _clock),
                *await examine_failover(client, settings),
                *await examine_policy(client, settings, published),
                await _format_in_force(client, settings),
                *await _shards(client, settings, logs),
                *await examine_copies(client, settings, logs),
                *await examine_accounts(client, settings, published),
                *await examine_prices(client, settings),
            ]
    except Problem as problem:
        secure = re.search(r": redis_\w+: ", str(problem))
        return [failed("redis", str(problem), SECURE if secure else "start it, or correct the address")]


async def _server(client: Any, settings: Settings) -> list[Check]:
    info = await client.info("server")
    version = str(info["redis_version"])
    if tuple(int(part) for part in version.split(".")[:2]) < VERSION_MIN:
        wanted = ".".join(map(str, VERSION_MIN))
        return [failed("redis", f"{address(settings)}: version {version}", f"use {wanted} or newer")]
    return [ok("redis", f"{address(settings)}: version {version}")]


async def _of_each(client: Redis, examine: Callable[[Any], Awaitable[list[Check]]]) -> list[Check]:
    """The checks of every server that takes writes; of several each is named."""
    checks = []
    several = await servers(client)
    for number, server in enumerate(several, 1):
        of = f" {number}/{len(several)}" if len(several) > 1 else ""
        checks += [msgspec.structs.replace(it, check=it.check + of) for it in await examine(server)]
    return checks


async def _persistence(client: Any) -> list[Check]:
    told: dict[str, str] = {}
    for name in ("appendonly", "appendfsync", "maxmemory-policy"):
        try:
            answer = await client.config_get(name)
        except ResponseError:
            answer = {}
        told |= {text_of(key): text_of(value) for key, value in answer.items()}
    checks = [
        _setting(
            told, "appendonly", {"yes"}, "account states are lost with the server: set `appendonly yes`"
        ),
        _setting(told, "maxmemory-policy", {"noeviction"}, "accounts may be evicted: set `noeviction`"),
    ]
    fsync = told.get("appendfsync")
    if told.get("appendonly") == "yes" and fsync not in {"always", "everysec"}:
        checks.append(
            warn("appendfsync", fsync or "not told", "a lost host loses what was not synced: set `everysec`")
        )
    elif fsync:
        checks.append(ok("appendfsync", fsync))
    return checks


def _setting(told: dict[str, str], name: str, wanted: set[str], action: str) -> Check:
    value = told.get(name)
    if value is None:
        return warn(name, "the server does not tell", f"make sure it is {' or '.join(sorted(wanted))}")
    return ok(name, value) if value in wanted else failed(name, value, action)


async def _clock(client: Any) -> list[Check]:
    before_s = time.time()
    seconds, microseconds = await client.time()
    # Redis read its clock somewhere between question and answer; the middle is off by half of that at most.
    ahead_s = seconds + microseconds / 1e6 - (before_s + time.time()) / 2
    found = f"Redis is {abs(ahead_s) * 1000:.0f} ms {'ahead' if ahead_s > 0 else 'behind'}"
    if abs(ahead_s) > CLOCK_DIFFERENCE_MAX_S:
        return [failed("clock", found, "run a time service (chrony, systemd-timesyncd) on both machines")]
    return [ok("clock", found)]


async def _format_in_force(client: Redis, settings: Settings) -> Check:
    """What workers write; this edition is taken for theirs."""
    number = await format_in_force(client, settings.redis_prefix)
    said = f"{number}; this edition knows formats up to {FORMAT}"
    if number > FORMAT:
        return failed("format in force", said, "use a newer edition: this one's workers are refused")
    if number < FORMAT:
        said += ": `unimargin format raise` once no older worker is left"
    return ok("format in force", said)


async def _shards(client: Redis, settings: Settings, logs: Logs) -> list[Check]:
    partitions = len(logs.get(settings.topic_fills, []))
    count = max(await shard_count(client, settings.redis_prefix), partitions)
    store = StoreReader(client, settings.redis_prefix)
    checks = []
    for shard in range(count):
        outbox = await store.outbox_entries(shard)
        bounds = {
            topic: logs[name][shard]
            for topic, name in ((Topic.FILLS, settings.topic_fills), (Topic.LEDGER, settings.topic_ledger))
            if shard < len(logs.get(name, []))
        }
        checks.append(_shard(shard, await store.meta(shard), outbox, bounds))
    return checks


def _shard(shard: int, meta: ShardMeta, outbox: int, logs: dict[Topic, LogBounds]) -> Check:
    name = f"shard {shard}"
    if not meta.fence:
        return warn(name, "no worker has taken it over", "start a worker")
    if meta.format > FORMAT:
        return failed(
            name, newer(str(meta.format)), "runbook MarginShardStopped: a newer edition has written"
        )
    marks = {topic: meta.watermarks.get(topic, 0) for topic in Topic}
    places = ", ".join(
        f"{topic} {mark}" + (f" of {logs[topic].end}" if topic in logs else "")
        for topic, mark in marks.items()
    )
    lag = sum(log.end - marks[topic] for topic, log in logs.items())
    found = f"owner {printable(meta.owner)} (take-over {meta.fence}), {places}"
    found += f", lag {lag}, outbox {outbox}" if logs else f", outbox {outbox}"
    for topic, log in logs.items():
        if marks[topic] < log.begin:
            return failed(
                name,
                f"{found}; the log of {topic} begins at {log.begin}",
                "runbook MarginShardStopped: data is missing",
            )
        if marks[topic] > log.end:
            return failed(
                name,
                f"{found}; {topic} is beyond its log",
                "runbook MarginShardStopped: the log was replaced",
            )
    if lag > LAG_RECORDS_MAX:
        return warn(name, found, "is its worker running? Look again: the lag must fall")
    if outbox > OUTBOX_ENTRIES_MAX:
        return warn(name, found, "events wait to be published: runbook MarginOutboxStuck")
    return ok(name, found)
