"""Driving a shadow: what is stored, what comes, and when it ends. It reads and writes nothing."""

import time
from typing import Protocol

import msgspec

from engine.inputs import Topic
from engine.ladder.breaker import BreakerState
from engine.policy import Policy
from engine.strict_decoding import UNREADABLE
from streams.config.problem import Problem
from streams.config.progress_bar import counting
from streams.config.settings import Settings
from streams.kafka.clients import account_partitioner
from streams.kafka.topic_access import open_reader
from streams.replay.live_topics import follow
from streams.replay.shadow import Differing, Shadow, StoredShard, Tally, UnlistedHolding
from streams.store.redis_access import open_redis, risks, saved_marks, shard_count
from streams.store.store_reader import StoreReader

NS_PER_MS = 1_000_000


class Started(msgspec.Struct, frozen=True, kw_only=True):
    """What the shadow begins with."""

    policy: str
    policy_digest: str
    shadow_policy: str
    shadow_digest: str
    accounts: int
    shards: int


class Ended(msgspec.Struct, frozen=True, kw_only=True):
    """What it saw."""

    inputs: int
    """Records read: account inputs and prices."""
    differing: tuple[Differing, ...]
    """Pools that differ at the end."""
    tally: Tally
    judged: bool
    """Whether there were prices to judge by."""


class Told(Protocol):
    """Who shows it."""

    def started(self, it: Started) -> None:
        """Everything stored is loaded."""

    def changed(self, it: Differing) -> None:
        """A pool has begun to differ, differs otherwise, or does no more."""

    def ended(self, it: Ended) -> None:
        """It is over."""


class Following:
    """One run."""

    def __init__(self, policy: Policy, other: Policy, seconds: float | None, told: Told) -> None:
        """`seconds` of the wall's time, or None for as long as nobody stops it."""
        self.policy, self.other, self.seconds, self.told = policy, other, seconds, told
        self.inputs = 0
        self.shadow: Shadow | None = None

    def end(self) -> None:
        """Judge what waits, and tell what was seen."""
        if self.shadow is None:
            return
        self.shadow.finish()
        self.told.ended(
            Ended(
                inputs=self.inputs,
                differing=tuple(self.shadow.differing()),
                tally=self.shadow.tally(),
                judged=self.shadow.judging,
            )
        )


async def shadow_topics(settings: Settings, following: Following) -> None:
    """Load what is stored and follow the topics until the time is over. Raises `Problem`."""
    async with open_redis(settings) as client, open_reader(settings) as consumer:
        store = StoreReader(client, settings.redis_prefix)
        shards = await shard_count(client, settings.redis_prefix)
        if not shards:
            raise Problem("Redis holds no shard: no worker has run with this prefix yet")
        shadow = Shadow(
            following.policy,
            following.other,
            partitions=shards,
            partition_of=account_partitioner(shards),
            clock=time.perf_counter_ns,
            tell=following.told.changed,
        )
        watermarks: dict[int, dict[Topic, int]] = {}
        accounts = 0
        with counting("shards", shards) as done:
            for shard in range(shards):
                # the watermark first: what the states are ahead of it is passed over
                meta = await store.meta(shard)
                watermarks[shard] = {topic: meta.watermarks.get(topic.value, 0) for topic in Topic}
                breaker = await store.breaker(shard)
                stored = StoredShard(
                    states=list({name: it async for name, it in store.accounts(shard)}.values()),
                    risks=await risks(client, settings.redis_prefix, shard),
                    watermarks=watermarks[shard],
                    breaker=BreakerState()
                    if breaker is None
                    else msgspec.json.decode(breaker, type=BreakerState),
                )
                accounts += len(stored.states)
                _load(shadow, shard, stored)
                shadow.prime(await saved_marks(store, shard))
                done(1)
        following.shadow = shadow
        following.told.started(
            Started(
                policy=following.policy.name,
                policy_digest=following.policy.digest,
                shadow_policy=following.other.name,
                shadow_digest=following.other.digest,
                accounts=accounts,
                shards=shards,
            )
        )
        live = await follow(settings, consumer, watermarks, time.time_ns() // NS_PER_MS)
        began = time.monotonic()
        async for arrivals in live.looks():
            for arrival in arrivals:
                shadow.take(arrival)
            following.inputs += len(arrivals)
            if following.seconds is not None and time.monotonic() - began >= following.seconds:
                break
    following.end()


def _load(shadow: Shadow, shard: int, stored: StoredShard) -> None:
    try:
        shadow.load(shard, stored)
    except UnlistedHolding as error:
        raise Problem(f"{error}: a policy that does not list it cannot judge who holds it") from None
    except UNREADABLE as error:
        raise Problem(f"the state of an account in Redis cannot be read: {error}") from None
