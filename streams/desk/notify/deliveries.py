"""One target's queue: what is new is told, what is too much is told in a digest, what cannot be told becomes a dead letter.

An event is *done* once it was told, was suppressed for a reason that is counted, or lies among the dead letters; only then may the position
in its partition move past it. Each target has a queue of its own, so one that is away holds nobody else up.
"""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from datetime import time as time_of_day
from typing import NamedTuple, TypeVar
from zoneinfo import ZoneInfo

import structlog
from redis.exceptions import RedisError

from streams.desk.notify.channels import Channel, RefusedError, UndeliveredError
from streams.desk.notify.desk_notices import Notice, digest_of
from streams.desk.notify.notify_metrics import NotifyMetrics
from streams.desk.notify.notify_rules import QuietHours, TargetRules
from streams.desk.notify.told_store import DeadLetter, Suppressed, ToldStore

PAUSE_FIRST_SECONDS = 0.5
PAUSE_MAX_SECONDS = 30.0
REDIS_PAUSE_SECONDS = 1.0

_log = structlog.get_logger()
_T = TypeVar("_T")


class Pending(NamedTuple):
    """A notice on its way."""

    notice: Notice
    wanted: Callable[[], bool]
    """Whether the partition that it came from is still ours."""
    done: Callable[[], None]


class TargetQueue:
    """Deliveries to one target, one after the other."""

    def __init__(
        self, name: str, rules: TargetRules, channel: Channel, store: ToldStore, metrics: NotifyMetrics
    ) -> None:
        self._name, self._rules, self._channel = name, rules, channel
        self._store, self._metrics = store, metrics
        self._queue: asyncio.Queue[Pending] = asyncio.Queue()
        self._held: dict[str, list[Pending]] = {}
        """For the digest, by change: the first is told, or the next where the first's partition has gone to another process."""
        self._sent = 0
        self._window_ends = 0.0
        self._down = False

    def offer(self, pending: Pending) -> None:
        """Queue it; the number of events that wait is bounded where they are read."""
        self._queue.put_nowait(pending)

    async def run(self) -> None:
        """Deliver until cancelled."""
        while True:
            pending = await self._next()
            if time.monotonic() >= self._window_ends:
                await self._open_window()
            if pending is not None:
                await self._take(pending)

    async def _next(self) -> Pending | None:
        """The next notice; None where the window of a digest ends before it comes."""
        if not self._held:
            return await self._queue.get()
        try:
            async with asyncio.timeout(max(0.0, self._window_ends - time.monotonic())):
                return await self._queue.get()
        except TimeoutError:
            return None

    async def _open_window(self) -> None:
        held = [[it for it in same if it.wanted()] for same in self._held.values()]
        self._held = {}
        self._sent, self._window_ends = 0, time.monotonic() + self._rules.digest_seconds
        notices = [same[0].notice for same in held if same]
        if not notices:
            return
        self._sent = 1
        if len(notices) == 1 and not self._channel.aggregates:
            await self._deliver(notices[0], notices)
        else:
            await self._deliver(digest_of(notices, self._name), notices)
            self._metrics.digested_total.labels(self._name).inc(len(notices))
        for same in held:
            for it in same:
                it.done()

    async def _take(self, pending: Pending) -> None:
        if not pending.wanted():
            return
        notice = pending.notice
        closes = self._channel.incidents and notice.resolved
        reason = await self._insist(lambda: self._store.known(self._name, notice))
        if reason is Suppressed.EPISODE_OVER and not self._channel.incidents:
            reason = None
        held = self._held.get(notice.change)
        if reason is None and held is not None:
            same = any(it.notice.id == notice.id for it in held)
            reason = Suppressed.ALREADY_TOLD if same else Suppressed.SAME_CHANGE
        if (
            reason is None
            and not notice.loud
            and not closes
            and is_quiet(self._rules.quiet, datetime.now(UTC))
        ):
            reason = Suppressed.QUIET
        if reason is not None:
            self._metrics.suppressed_total.labels(self._name, reason.value).inc()
            if held is None:
                pending.done()
            else:
                held.append(pending)  # done with the one that is told in its stead
        elif closes or (self._sent < self._rules.digest_above and not self._channel.aggregates):
            self._sent += 1
            await self._deliver(notice, [notice])
            pending.done()
        else:
            self._held[notice.change] = [pending]

    async def _deliver(self, message: Notice, told: Sequence[Notice]) -> None:
        """Return once the target took it or it is a dead letter."""
        until = time.monotonic() + (0.0 if self._down else self._rules.give_up_seconds)
        pause = PAUSE_FIRST_SECONDS
        while True:
            try:
                await self._channel.send(message)
            except (UndeliveredError, RefusedError) as error:
                self._metrics.failed_total.labels(self._name).inc()
                passing = isinstance(error, UndeliveredError)
                _log.warning("not_delivered", target=self._name, error=str(error), passing=passing)
                if not passing or time.monotonic() + pause > until:
                    self._down = passing
                    await self._bury(message, str(error))
                    return
            else:
                break
            await asyncio.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311 - only spreads attempts
            pause = min(2 * pause, PAUSE_MAX_SECONDS)
        self._down = False
        self._metrics.sent_total.labels(self._name).inc()
        await self._insist(lambda: self._store.remember(self._name, [message, *told]))

    async def _bury(self, message: Notice, error: str) -> None:
        letter = DeadLetter(self._name, message, error, time.time_ns())
        await self._insist(lambda: self._store.bury(letter))
        self._metrics.dead_total.labels(self._name).inc()
        _log.error("dead_letter", target=self._name, error=error)

    async def _insist(self, call: Callable[[], Awaitable[_T]]) -> _T:
        """Wait Redis out: nothing is done before it says so."""
        while True:
            try:
                return await call()
            except (RedisError, OSError, TimeoutError) as error:
                _log.warning("redis_away", error=type(error).__name__)
            await asyncio.sleep(REDIS_PAUSE_SECONDS)


def is_quiet(hours: QuietHours | None, now: datetime) -> bool:
    """Whether `now` is within the hours, by the clocks of their zone."""
    if hours is None:
        return False
    local = now.astimezone(ZoneInfo(hours.zone)).time()
    begin, end = time_of_day.fromisoformat(hours.begin), time_of_day.fromisoformat(hours.end)
    return begin <= local < end if begin < end else local >= begin or local < end
