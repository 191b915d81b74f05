"""The loops of a worker that only keep time: each makes the body of a task."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import RedisError

from engine.policy import Policy
from engine.policy.rules.policy_switches import InstantOf
from streams.config.settings import Settings
from streams.prices.price_desk import PriceDesk
from streams.shards.shards import Shards
from streams.store.format_store import SAY_SECONDS, say_known
from streams.store.redis_client import passes
from streams.worker.watchdog import Watchdog

CLOCK_SECONDS = 1.0
BEAT_SECONDS = 0.5
"""A few fit into a standby's patience."""
LOGS_SECONDS = 2.0
"""How soon it is noticed that a topic was made anew, or grew, to which nothing comes; of others a shard sees it before it applies anything."""


def hand_on_instants(desk: PriceDesk, policy: Policy) -> Any:
    """Look for instants that have waited for long enough for records of other partitions, where the policy joins by time."""

    async def tick() -> None:
        while policy.prices.instant is InstantOf.TIME:
            await asyncio.sleep(float(policy.prices.instant_wait_ms) / 2_000)
            await desk.on_time()

    return tick


def clock(shards: Shards, watchdog: Watchdog) -> Any:
    """Have time pass for the shards, and begin anew with what was lost."""

    async def tick() -> None:
        while True:
            await asyncio.sleep(CLOCK_SECONDS)
            await shards.on_clock()
            await shards.renew()
            watchdog.beat("clock")

    return tick


def beats(shards: Shards) -> Any:
    """Say that the owner of every shard lives."""

    async def beat() -> None:
        while True:
            await shards.beat()
            await asyncio.sleep(BEAT_SECONDS)

    return beat


def look_at_logs(shards: Shards) -> Any:
    """Have every shard look whether its logs are still its own."""

    async def look() -> None:
        while True:
            await asyncio.sleep(LOGS_SECONDS)
            await shards.look_at_logs()

    return look


def keep_saying_known(client: Redis, settings: Settings) -> Any:
    """Say again and again which format this edition knows, for who wants to raise the one in force."""

    async def say() -> None:
        while True:
            await asyncio.sleep(SAY_SECONDS)
            try:
                await say_known(client, settings.redis_prefix, settings.worker_id, time.time_ns())
            except (RedisError, OSError) as error:
                if not passes(error):
                    raise

    return say


def as_owner(shards: Shards, save: Callable[[Mapping[str, bytes]], Awaitable[None]]) -> Any:
    """Save what owners have seen: who only follows writes nothing."""

    async def save_unless_standby(changed: Mapping[str, bytes]) -> None:
        if not shards.only_follows:
            await save(changed)

    return save_unless_standby
