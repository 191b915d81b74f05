"""Answering questions from the copy: in few threads, each question once however many ask it, and none without fresh data.

Threads, because an answer takes milliseconds of computing and the stream must not wait for it; few, because there is one interpreter.
Who comes while too much waits is sent away with a 503, so that what is being answered is answered in time.
"""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError

from engine.events.effects import InputOffsets
from engine.inputs import Mark
from engine.liquidation.fund_groups import FundBalance
from engine.marks.mark_book import Prices
from engine.policy import Policy
from streams.answers.account_read import AccountReading
from streams.answers.account_report import believed
from streams.answers.shelf import newest_marks
from streams.config.problem import Problem
from streams.config.settings import Settings
from streams.contract.cloudevents import rfc3339
from streams.desk.answer_envelope import Answer, Basis
from streams.desk.book_copy import CopiedBook, at_once
from streams.desk.book_course import BookCourse
from streams.desk.cascade_totals import CascadeTotals
from streams.desk.event_hub import EventHub
from streams.desk.problem_details import unavailable
from streams.desk.ranking import Ranking
from streams.desk.recorded_day import RecordedDay
from streams.desk.stream_events import StreamEvent, StreamKind
from streams.kafka.fund_follower import FundFollower
from streams.store.policy_store import policy_in_force, ruling_policy

THREADS = 2
WAITING_MAX = 64
"""Questions of a few ms to some 100 ms each: the last of them waits for seconds."""
REMEMBERED_MAX = 256
POLICY_SECONDS = 1.0
"""How soon answers go by another policy."""

_log = structlog.get_logger()

_T = TypeVar("_T")


class Desk:
    """Everything that a question may need."""

    def __init__(
        self,
        settings: Settings,
        policy: Policy,
        copy: CopiedBook,
        ranking: Ranking,
        hub: EventHub,
        funds: FundFollower,
        *,
        recorded: RecordedDay | None = None,
    ) -> None:
        """The tasks of its parts are run by who makes one. `recorded`: the day that it is a moment of."""
        self.settings, self.policy = settings, policy
        self.copy, self.ranking, self.hub = copy, ranking, hub
        self._funds, self.recorded = funds, recorded
        self._prices: tuple[int, Prices] | None = None
        self.course = BookCourse()
        self.cascade = CascadeTotals(policy, self.prices_now)
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="answer")
        self._waiting = 0
        self._remembered: OrderedDict[Hashable, tuple[float, asyncio.Future[Any]]] = OrderedDict()

    async def follow_policy(self, client: Redis) -> None:
        """Answer by what the workers go by, until cancelled; while Redis is away, by what they went by last."""
        while True:
            try:
                found = await policy_in_force(client, self.settings.redis_prefix)
                if found is not None and found.digest != self.policy.digest:
                    self.policy = await ruling_policy(client, self.settings.redis_prefix, self.policy)
                    self.ranking.rule_by(self.policy)
                    self.cascade.rule_by(self.policy)
            except (Problem, RedisError, OSError) as error:
                _log.warning("policy_not_read", error=str(error))
            await asyncio.sleep(POLICY_SECONDS)

    def hear(self, event: StreamEvent) -> None:
        """Count an event of the topics."""
        if event.kind is StreamKind.LIQUIDATION:
            self.cascade.take(event.event)

    def close(self) -> None:
        """Take no more questions."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def why_not_ready(self) -> dict[str, str]:
        """What is missing to answer everything, by part; empty when nothing is."""
        missing = {}
        if self.copy.age_s > self.settings.api_stale_seconds:
            missing["redis"] = self.copy.problem or "the copy is being refreshed for too long"
        if self.hub.ring is None or self.hub.problem:
            missing["events"] = self.hub.problem
        return missing

    def all_ranked(self) -> bool:
        """Whether everybody has a place in the list."""
        return self.ranking.known >= self.copy.account_count > 0

    async def answer(
        self, question: Hashable, compute: Callable[[], _T], *, keep_s: float | None = None
    ) -> _T:
        """The result of `compute`, in a thread; the same question within `keep_s` (default: until the copy may be newer) gets the same.

        Raises `Refused` with 503 where Redis is away or too much waits, and what `compute` raises.
        """
        self.check_fresh()
        keep_s = self.settings.api_refresh_seconds if keep_s is None else keep_s
        now_s = time.monotonic()
        known = self._remembered.get(question)
        if known is not None and (not known[1].done() or now_s - known[0] < keep_s):
            # a client that goes away takes its wait along, not the work that others wait for
            found: _T = await asyncio.shield(known[1])
            return found
        if self._waiting >= WAITING_MAX:
            raise unavailable("too many questions wait already; ask less often, or a narrower question")
        self._waiting += 1
        task = asyncio.ensure_future(asyncio.get_running_loop().run_in_executor(self._threads, compute))
        task.add_done_callback(self._ended)
        self._remembered[question] = (now_s, task)
        self._remembered.move_to_end(question)
        while len(self._remembered) > REMEMBERED_MAX:
            self._remembered.popitem(last=False)
        return await asyncio.shield(task)

    def _ended(self, task: "asyncio.Future[Any]") -> None:
        self._waiting -= 1
        if not task.cancelled():
            task.exception()  # heard by whoever waits for it, if anybody still does

    def check_fresh(self) -> None:
        """Raise `Refused` with 503 where the copy is too old to say anything."""
        if self.copy.age_s > self.settings.api_stale_seconds:
            raise unavailable(f"the state of accounts cannot be read: {self.copy.problem}")

    @property
    def known_funds(self) -> list[FundBalance] | None:
        """What each group's fund has; None where that is not known, or not yet."""
        return self._funds.funds if self.settings.fund_topic_enabled else None

    def fund_balances(self) -> list[FundBalance] | None:
        """What each group's fund has; None where no fund is stated. Raises `Refused` with 503 until its topic was read."""
        if not self.settings.fund_topic_enabled:
            return None
        if self._funds.funds is None:
            raise unavailable("the fund's topic was not read yet")
        return self._funds.funds

    def prices_now(self) -> Prices:
        """The newest saved marks of all shards, as they are to be believed now; the same until the copy is newer."""
        if self._prices is None or self._prices[0] != self.copy.refreshed_ns:
            marks = at_once(newest_marks(self.copy))
            prices = believed(list(marks.values()), self.policy, self.copy.now_ns())
            self._prices = (self.copy.refreshed_ns, prices)
        return self._prices[1]

    def envelope(self, data: _T, basis: Basis) -> Answer[_T]:
        """The answer with what stands around it."""
        return Answer(
            evaluated_at=rfc3339(basis.evaluated_ns),
            read_at=rfc3339(basis.read_ns),
            instant=None if basis.instant_ns is None else rfc3339(basis.instant_ns),
            inputs=basis.inputs,
            policy=self.policy.name,
            policy_digest=self.policy.digest,
            data=data,
        )

    def of_all(self, data: _T, book: CopiedBook | None = None, evaluated_ns: int | None = None) -> Answer[_T]:
        """An answer about all shards, computed from `book` (default: the copy) at that time (default: now)."""
        book = self.copy if book is None else book
        fills, ledger = self.settings.topic_fills, self.settings.topic_ledger
        marks = [mark for it in book.shards for mark in it.marks]
        inputs = {
            str(shard): InputOffsets(it.watermarks.get(fills, 0) - 1, it.watermarks.get(ledger, 0) - 1)
            for shard, it in enumerate(book.shards)
        }
        evaluated_ns = book.now_ns() if evaluated_ns is None else evaluated_ns
        return self.envelope(data, Basis(evaluated_ns, book.refreshed_ns, _newest_ns(marks), inputs))

    def of_account(self, read: AccountReading, data: _T) -> Answer[_T]:
        """An answer about one account."""
        offsets = InputOffsets(read.state.fills.offset, read.state.ledger.offset)
        inputs = {} if read.shard < 0 else {str(read.shard): offsets}
        instant_ns = _newest_ns(read.prices.marks.values())
        return self.envelope(data, Basis(read.now_ns, self.copy.refreshed_ns, instant_ns, inputs))


def _newest_ns(marks: Iterable[Mark]) -> int | None:
    return max((it.time_ns for it in marks), default=None)
