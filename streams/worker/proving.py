"""What a worker proves before it joins the group: that it could serve a shard if it were given one.

A member of the group is given shards whether or not it can do anything with them, and for as long as it holds them nobody else serves them.
So Redis (there, and writable), the clock, the format, the topics and the policy are proved first, in this order. What is away may come: each proof
is tried again for a while. Then the worker ends with a message, and whoever restarts it begins anew.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import structlog
from aiokafka.errors import KafkaError
from redis.asyncio import Redis
from redis.exceptions import RedisError

from engine.events.effects import Stream
from engine.inputs import Topic
from streams.config.problem import Problem
from streams.config.settings import Settings, SettingsError
from streams.kafka.broker_refusal import NOT_ALLOWED, NOT_ALLOWED_HINT, BrokerRefused
from streams.kafka.clients import find_group, partition_counts
from streams.store.format_store import format_in_force, say_known
from streams.store.redis_access import address, shard_count
from streams.store.redis_client import bounded, passes
from streams.store.redis_refusal import refused
from streams.store.store_format import FORMAT, newer

PAUSE_SECONDS = 1.0
CLOCK_DIFFERENCE_SECONDS_MAX = 1.0
"""Staleness of prices is measured in seconds: clocks further apart make fresh prices stale or stale ones fresh."""

T = TypeVar("T")

_log = structlog.get_logger()


class Proofs:
    """The proofs of one worker, one after the other; `pending` names the one under way."""

    def __init__(self, settings: Settings, client: Redis) -> None:
        """Nothing is proved."""
        self._settings, self._seconds = settings, settings.prove_seconds
        self._redis: Any = client
        self.pending = "redis: not asked yet"
        """What is not proved yet, and why; "" when all is."""

    async def redis(self) -> None:
        """That Redis answers, takes writes, and agrees about the time. Raises `Problem`."""
        where = address(self._settings)
        hint = "is the server running, and is UNIMARGIN_REDIS_URL its address?"
        await self._prove("redis", self._written, f"Redis at {where}", hint)
        await self._prove(
            "clock", self._on_time, f"the clock of Redis at {where}", "run a time service on both machines"
        )

    async def topics(self, topics: dict[Topic, str]) -> int:
        """That all topics are there and the group is ours to join; returns how many shards there are. Raises `Problem`, or `SettingsError` for a layout that cannot work."""
        where = self._settings.kafka_bootstrap_servers
        hint = "is the broker running, and is UNIMARGIN_KAFKA_BOOTSTRAP_SERVERS its address?"
        count = await self._prove("topics", lambda: self._shard_count(topics), f"Kafka at {where}", hint)
        # Faust would wait without a word for a group that it may not join
        await self._prove("group", lambda: find_group(self._settings), f"Kafka at {where}", hint)
        return count

    async def format(self) -> None:
        """That this edition knows the format in force. Raises `Problem`."""

        async def known() -> int:
            number = await format_in_force(self._redis, self._settings.redis_prefix)
            if number > FORMAT:
                raise Problem(newer(str(number), "the deployment"))
            await say_known(
                self._redis, self._settings.redis_prefix, self._settings.worker_id, time.time_ns()
            )
            return number

        await self._prove("format", known, "the format in force", "it is kept in Redis")

    async def policy(self, agrees: Callable[[], Awaitable[bool]]) -> bool:
        """Whether the policy is in force, which it need not be: that is an operator's to say. Raises `Problem`."""
        return await self._prove("policy", agrees, "the policy in force", "it is kept in Redis")

    async def _prove(self, what: str, attempt: Callable[[], Awaitable[T]], whom: str, hint: str) -> T:
        until_s = time.monotonic() + self._seconds
        while True:
            self.pending = f"{what}: being proved"
            try:
                # one that does not come back is not waited for beyond the time that is told
                async with asyncio.timeout(max(until_s - time.monotonic(), PAUSE_SECONDS)):
                    proved = await attempt()
            except (RedisError, KafkaError, OSError, _NotSo) as error:
                if isinstance(error, NOT_ALLOWED):
                    raise Problem(f"{whom}: kafka_not_allowed: {error}; {NOT_ALLOWED_HINT}") from None
                if isinstance(error, RedisError) and (words := refused(error)):
                    raise Problem(f"{whom}: {words}") from None
                if isinstance(error, BrokerRefused) or (isinstance(error, RedisError) and not passes(error)):
                    raise Problem(f"{whom}: {error}") from None
                words = str(error) or type(error).__name__
                self.pending = f"{what}: {words}"
                if time.monotonic() + PAUSE_SECONDS > until_s:
                    raise Problem(f"{whom}: {words}; gave up after {self._seconds:g} s: {hint}") from None
                _log.warning("worker_not_proved", what=what, error=words)
            else:
                self.pending = ""
                return proved
            await asyncio.sleep(PAUSE_SECONDS)

    async def _written(self) -> None:
        key = f"{self._settings.redis_prefix}:proof:{self._settings.worker_id}"
        pipe = self._redis.pipeline()
        await bounded(pipe.set(key, b"").delete(key).execute())

    async def _on_time(self) -> None:
        before_s = time.time()
        seconds, microseconds = await bounded(self._redis.time())
        # Redis read its clock somewhere between question and answer; the middle is off by half of that at most.
        answered_s = time.time()
        ahead_s = seconds + microseconds / 1e6 - (before_s + answered_s) / 2
        if abs(ahead_s) - (answered_s - before_s) / 2 > CLOCK_DIFFERENCE_SECONDS_MAX:
            raise _NotSo(f"{abs(ahead_s):.1f} s {'ahead' if ahead_s > 0 else 'behind'}")

    async def _shard_count(self, topics: dict[Topic, str]) -> int:
        """Partitions of the account-keyed topics, which must be equal: partition number is shard number.

        Of the topics of events there must be as many at least, or some shards could say nothing of what they have judged. Where Redis has
        fewer shards the inputs have grown: each of these stops and says so, which is more than what the topics of events lack.
        """
        settings = self._settings
        switched = [settings.topic_operator] * settings.operator_topic_enabled
        switched += [settings.topic_fund] * settings.fund_topic_enabled
        copies = [settings.topic_account_state] if settings.account_state_minutes else []
        keyed = (*topics.values(), *copies)
        others = (settings.topic_prices, settings.topic_policies, settings.topic_quarantine)
        every = await partition_counts(settings, (*keyed, *others, *Stream, *switched))
        missing = [name for name, count in every.items() if not count]
        if missing:
            raise SettingsError(
                f"topics missing: {', '.join(missing)}; create them with `unimargin topics create`"
            )
        counts = {name: every[name] for name in keyed}
        if len(set(counts.values())) != 1:
            raise SettingsError(f"topics must have equal partition counts, found {counts}")
        shards = next(iter(counts.values()))
        built = await bounded(shard_count(self._redis, settings.redis_prefix))
        saying = min(built or shards, shards)
        few = {stream.value: every[stream] for stream in Stream if every[stream] < saying}
        if few:
            raise SettingsError(
                f"topics of events must have a partition for each of {saying} shards, found {few}; "
                "add what is missing with `kafka-topics.sh --alter --partitions`"
            )
        return shards


class _NotSo(Exception):  # noqa: N818 - it names what was found
    """A proof came out otherwise, for now."""
