"""One policy after the other, for everything in a worker that goes by it: all at once, at the same event time as in every other worker.

Rules
-----
* What is dated at a version's time or later is judged by it: event time reaches it with a record of marks, an input, or the clock. All that came
  before is judged by the one before; then, in one turn, the mark book, the desk and every running shard go over, and every account is
  judged anew. From there on event time is not before the version's time, so whatever is said then is dated so.
* A shard that is taken over meanwhile goes over when it joins. Whoever dies within the turn has judged some accounts by the new one and none by
  both; who takes over judges all of them by it.
* Before anything is judged by a version Redis says that it is in force, and no worker judges by an older one from then on.
"""

import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

import structlog

from engine.edition import ENGINE_VERSION
from engine.marks.mark_book import MarkBook
from engine.policy import Policy
from engine.policy.timeline import PolicyTimeline, Ruling
from streams.config.problem import Problem
from streams.kafka.policy_follower import PolicyFollower
from streams.observe.metrics import Metrics
from streams.prices.price_desk import PriceDesk
from streams.shards.shards import Shards

_log = structlog.get_logger()


class GoesBy(Protocol):
    """Whatever goes by the policy."""

    def rule_by(self, policy: Policy, /) -> None:
        """Go by another one from now on."""


class PolicySwitch:
    """The policy over time, as one worker has it. See `streams.contract.rulings.Rulings`."""

    def __init__(
        self,
        timeline: PolicyTimeline,
        now: Ruling,
        follower: PolicyFollower,
        marks: MarkBook,
        metrics: Metrics,
        say: Callable[[Ruling], Awaitable[object]],
    ) -> None:
        """`marks` go by `now`, which is in force; `say` makes it known to all workers that a version is in force."""
        self.timeline, self._follower, self._marks = timeline, follower, marks
        self._metrics, self._say = metrics, say
        self.now = now
        """What everybody here judges by."""
        self._desk: PriceDesk | None = None
        self._shards: Shards | None = None
        self._others: Sequence[GoesBy] = ()
        follower.on_ruling = self._learn
        self._tell()

    def attach(self, desk: PriceDesk, shards: Shards, others: Sequence[GoesBy]) -> None:
        """Who goes by it, all made under `now`."""
        self._desk, self._shards, self._others = desk, shards, others

    @property
    def are_known(self) -> bool:
        """See `Rulings`."""
        return self._follower.is_heard

    async def known(self) -> None:
        """See `Rulings`."""
        await self._follower.heard()

    def begins_by(self, time_ns: int) -> bool:
        """See `Rulings`."""
        return self._at(time_ns) is not self.now

    async def reach(self, time_ns: int) -> None:
        """See `Rulings`. Raises `Problem` where this edition cannot judge by what is in force then."""
        ruling = self._at(time_ns)
        if ruling is not self.now:
            await self._go_over(ruling)

    def _at(self, time_ns: int) -> Ruling:
        """Event time never goes back behind what it has reached, even where a clock does."""
        return self.timeline.at(max(time_ns, self._marks.time_ns, self.now.from_ns))

    async def _go_over(self, ruling: Ruling) -> None:
        desk, shards = self._desk, self._shards
        if ruling.fault:
            raise Problem(ruling.fault)
        if desk is None or shards is None:
            raise AssertionError("nobody is attached")
        began = time.monotonic()
        await self._say(ruling)
        await desk.rule_by(ruling.policy)
        before, self.now = self.now, ruling
        for other in self._others:
            other.rule_by(ruling.policy)
        await shards.rule_by(ruling.policy, self._marks.advance(ruling.from_ns))
        self._tell()
        _log.warning(
            "policy_in_force",
            version=ruling.version,
            digest=ruling.policy.digest,
            before=before.policy.digest,
            from_ns=ruling.from_ns,
            seconds=round(time.monotonic() - began, 3),
        )

    def _tell(self) -> None:
        self._metrics.worker_info.clear()
        self._metrics.worker_info.labels(ENGINE_VERSION, self.now.policy.digest).set(1)

    def _learn(self, ruling: Ruling) -> None:
        """A version that comes too late is in force at once: every worker hears of it, and goes by the log."""
        self.timeline.add(ruling)
        if self.begins_by(0):
            _log.critical("policy_version_late", version=ruling.version, from_ns=ruling.from_ns)
