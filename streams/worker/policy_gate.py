"""Whether this worker goes by what is in force: one that disagrees with the others does not judge.

* Before it joins the group a worker waits at the gate until it knows the versions of the policy, its own file is one of them (the
  first, or any that was published: a misspelt variable names none), and it can judge by the one that Redis says is in force. Until then it
  owns nothing, and says so.
* While it runs it looks again and again. Where the others have come to a later version, so does it. Where it cannot, or Redis and the topic contradict
  each other, it gives its shards back and ends; whoever restarts it finds it waiting at the gate.
So a change needs no restart: `unimargin policy publish`. Nor does it matter which of the versions the workers' files are.
"""

import asyncio
import time

import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError

from engine.policy import Policy
from engine.policy.timeline import PolicyTimeline, Ruling
from streams.kafka.policy_follower import PolicyFollower
from streams.observe.metrics import Metrics
from streams.store.policy_store import PolicyInForce, ever_listed, policy_in_force, put_first, put_in_force
from streams.store.redis_client import passes, repeat
from streams.worker.policy_switch import PolicySwitch

LOOK_SECONDS = 0.5
UNKNOWN_SECONDS_MAX = 10.0
"""How long the topic may lack a version that Redis says is in force: whoever read it may have read it a moment before."""

_log = structlog.get_logger()


class PolicyGate:
    """The gate of one worker."""

    def __init__(
        self,
        client: Redis,
        prefix: str,
        policy: Policy,
        follower: PolicyFollower,
        metrics: Metrics,
        *,
        retry_for_s: float,
    ) -> None:
        """Closed until `agrees` has been asked. `policy` is the settings'; Redis may be away for `retry_for_s` when it has to be told."""
        self._client, self._prefix, self._policy = client, prefix, policy
        self._follower, self._metrics, self._retry_for_s = follower, metrics, retry_for_s
        self.closed = "not yet compared with the one in force"
        """Why this worker takes no shard; "" where it may."""
        self._unpublished: PolicyInForce | None = None
        """What Redis says is in force while nothing is published."""
        metrics.policy_refused.set(0)

    async def agrees(self) -> bool:
        """Whether we can go by what is in force; where nothing is, what we have is from now on. Raises what the client raises."""
        await self._follower.heard()
        if not self._follower.rulings:
            self._unpublished = found = await put_first(
                self._client, self._prefix, self._policy, time.time_ns()
            )
            return self._take(self._why_not_unpublished(found))
        found_now = await policy_in_force(self._client, self._prefix)
        return self._take(self._why_not_own() or self._why_not(found_now))

    async def passed(self) -> None:
        """Return once we can."""
        while not await self._looked():  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(LOOK_SECONDS)

    async def timeline(self) -> PolicyTimeline:
        """Every version that is known, once we agree; Redis is told which one is in force. Raises StoreUnavailable."""
        rulings = list(self._follower.rulings.values())
        if not rulings and self._unpublished is not None:
            rulings = [Ruling(self._unpublished.version, 0, self._policy)]
        known = {it.policy.digest for it in rulings}
        last = rulings[-1].policy

        async def read() -> Policy:
            return await ever_listed(self._client, self._prefix, last, but=known)

        before = await repeat(read, "reading what was ever listed", retry_for_s=self._retry_for_s)
        timeline = PolicyTimeline(rulings, before if before is not last else None)
        await self.say(timeline.at(time.time_ns()))
        return timeline

    async def left(self, switch: PolicySwitch, turn: asyncio.Lock) -> None:
        """Go along with the others, and return once we cannot."""
        unknown_since_s: float | None = None
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            try:
                found = await policy_in_force(self._client, self._prefix)
                if found is None or found.version < switch.now.version:
                    await self.say(switch.now)  # Redis was rewound, or emptied
                    continue
            except (RedisError, OSError) as error:
                if not passes(error):
                    raise
                continue
            known = {it.version: it for it in switch.timeline.versions}.get(found.version)
            if known is None:
                unknown_since_s = unknown_since_s or time.monotonic()
                if time.monotonic() - unknown_since_s < UNKNOWN_SECONDS_MAX:
                    continue
            if not self._take(self._why_not(found, known)):
                return
            if found.version > switch.now.version and known is not None:
                async with turn:
                    await switch.reach(known.from_ns)

    async def say(self, ruling: Ruling) -> None:
        """Tell Redis, and so all other workers and commands, that a version is in force. Raises StoreUnavailable."""
        told = self._told(ruling)
        await repeat(
            lambda: put_in_force(self._client, self._prefix, ruling.policy, told),
            "telling which policy is in force",
            retry_for_s=self._retry_for_s,
        )

    def _told(self, ruling: Ruling) -> PolicyInForce:
        version = self._follower.versions.get(ruling.version)
        if version is None and self._unpublished is not None:
            return self._unpublished
        who, why = ("", "") if version is None else (version.who, version.why)
        policy = ruling.policy
        return PolicyInForce(policy.digest, policy.name, ruling.version, ruling.from_ns, who, why)

    async def _looked(self) -> bool:
        """Whether it is so, as far as is known: while Redis is away nothing is concluded."""
        try:
            return await self.agrees()
        except (RedisError, OSError) as error:
            if not passes(error):
                raise
            return False

    def _why_not_unpublished(self, found: PolicyInForce) -> str:
        if found.digest == self._policy.digest:
            return ""
        return (
            f"policy {self._policy.digest} is not in force, but {found.digest} ({found.name}, version {found.version}, by {found.who}): "
            "give this worker that file, or put its own in force with `unimargin policy publish`"
        )

    def _why_not_own(self) -> str:
        """One that was never published must not run, whatever is in force: it says that whoever started it meant something else."""
        if self._policy.digest in {it.digest for it in self._follower.versions.values()}:
            return PolicyTimeline(self._follower.rulings.values()).at(time.time_ns()).fault
        return (
            f"policy {self._policy.digest} is not in force and no version that was published: give this worker the file of one "
            "(`unimargin policy history`), or `unimargin policy publish` its own"
        )

    def _why_not(self, found: PolicyInForce | None, known: Ruling | None = None) -> str:
        """Why we cannot go by what Redis says is in force."""
        if found is None:
            return ""
        known = known or self._follower.rulings.get(found.version)
        said = f"policy {found.digest} ({found.name}, version {found.version}) is in force by Redis"
        if known is None:
            return f"{said}, and the topic of policies has no such version"
        if known.policy.digest != found.digest:
            return f"{said}, and by the topic of policies version {found.version} is {known.policy.digest}"
        return known.fault

    def _take(self, closed: str) -> bool:
        before, self.closed = self.closed, closed
        self._metrics.policy_refused.set(bool(closed))
        if closed and closed != before:
            _log.critical("policy_not_in_force", ours=self._policy.digest, reason=closed)
        return not closed
