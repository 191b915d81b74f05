"""Whether this worker's policy is the one in force: a worker that disagrees with the others does not judge.

* Before it joins the group a worker waits at the gate until its own policy is in force: it owns nothing, and says so.
* While it runs it looks again and again. When another policy has come into force it gives its shards back and ends; whoever restarts
  it finds it waiting at the gate.
So a rolling change is: start workers with the new file, which wait; `unimargin policy activate`; the old ones leave, the new ones join.
"""

import asyncio
import time

import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError

from engine.policy import Policy
from streams.observe.metrics import Metrics
from streams.store.policy_store import PolicyInForce, policy_in_force, put_first
from streams.store.redis_client import passes

LOOK_SECONDS = 0.5

_log = structlog.get_logger()


class PolicyGate:
    """The gate of one worker."""

    def __init__(self, client: Redis, prefix: str, policy: Policy, metrics: Metrics) -> None:
        """Closed until `agrees` has been asked."""
        self._client, self._prefix, self._policy, self._metrics = client, prefix, policy, metrics
        self.closed = "not yet compared with the one in force"
        """Why this worker takes no shard; "" where it may."""
        metrics.policy_refused.set(0)

    async def agrees(self) -> bool:
        """Whether our policy is in force; where none is, ours is from now on. Raises what the client raises."""
        found = await put_first(self._client, self._prefix, self._policy, time.time_ns())
        return self._take(found)

    async def passed(self) -> None:
        """Return once our policy is in force."""
        await self._look_for(agreement=True)

    async def left(self) -> None:
        """Return once another policy has come into force."""
        await self._look_for(agreement=False)

    async def _look_for(self, *, agreement: bool) -> None:
        while True:
            if await self._looked() is agreement:
                return
            await asyncio.sleep(LOOK_SECONDS)

    async def _looked(self) -> bool:
        """Whether it is, as far as is known: while Redis is away nothing is concluded."""
        try:
            found = await policy_in_force(self._client, self._prefix)
            return await self.agrees() if found is None else self._take(found)
        except (RedisError, OSError) as error:
            if not passes(error):
                raise
            return not self.closed

    def _take(self, found: PolicyInForce) -> bool:
        ours, agrees = self._policy.digest, found.digest == self._policy.digest
        before = self.closed
        self.closed = (
            ""
            if agrees
            else f"policy {ours} is not in force, but {found.digest} ({found.name}, version {found.version}, by {found.who}): "
            "give this worker that file, or put its own in force with `unimargin policy activate`"
        )
        self._metrics.policy_refused.set(not agrees)
        if self.closed and self.closed != before:
            _log.critical(
                "policy_not_in_force",
                ours=ours,
                in_force=found.digest,
                version=found.version,
                who=found.who,
                why=found.why,
            )
        return agrees
