"""Judging one shard on the event loop: slices of verdicts, reasons behind them, what operators decide, and what the metrics hear of it.

Judging comes in slices: one is queued for its commit, then everything else on the loop has its turn, then the next. Meanwhile nothing
else may judge, and no price be believed: `turn` is the worker's, and whoever judges holds it.

Plans and details come behind the verdicts that make them due: a few at a time, between which everything else has its turn.
"""

import asyncio
from collections import Counter
from collections.abc import Iterable, Sequence

import structlog

from engine.ladder.table import Trigger
from streams.contract.commit import Commit
from streams.contract.operator_command import AccountsResume, OperatorCommand
from streams.shards.crash import crash_only
from streams.shards.error_log import tell
from streams.shards.giving_way import AfterPrices, give_way
from streams.shards.processor import Slices
from streams.shards.shard_parts import ShardParts
from streams.shards.shard_standing import Condition

REASONS_TOGETHER = 4
"""Accounts whose reasons are found without giving way: a few milliseconds."""
REASONS = {Trigger.PLANNED: "plan", Trigger.EXPLAINED: "detail"}
"""What may be due behind a verdict, as the metrics name it."""

_log = structlog.get_logger()


class Judging:
    """What is said of the accounts of one shard."""

    def __init__(self, parts: ShardParts, after_prices: AfterPrices) -> None:
        """`after_prices` is the turn to judge of what can wait."""
        self.processor, self._queue, self._standing = parts.processor, parts.queue, parts.standing
        self._metrics, self._after_prices, self._traces = parts.metrics, after_prices, parts.traces
        self._judged = asyncio.Event()
        """Somebody was judged whose reasons are due."""
        self._evaluations: Counter[str] = Counter()
        self._told: set[str] = set()
        """Commands of which it was said what became of them, or that concern nothing here: as many as operators give."""
        self._openings = 0
        """Of the breaker, that the metrics were told of."""

    @property
    def shard(self) -> int:
        """Partition number."""
        return self.processor.shard

    def loaded(self) -> None:
        """The shard was taken over: its owner before has told of what is stored."""
        self._openings = self.processor.book.breaker.state.openings

    def take(self, parts: Sequence[Commit]) -> None:
        """Make durable what the processor has to say."""
        self._queue.add(self._traces.stamped(parts))
        self.tell_errors()

    def tell_errors(self) -> None:
        """Log and count whom the engine has failed on since."""
        if self.processor.errors:
            tell(self.processor.errors, self.shard, self._metrics)
            self.processor.errors.clear()

    def seek_reasons(self) -> None:
        """Judging has come to its end: find the reasons that are due. A new plan may be due without a word having been said."""
        if self.processor.reasons_due:
            self._judged.set()

    async def operate(self, commands: Iterable[tuple[OperatorCommand, bool]]) -> None:
        """Do what operators say, each with whether it is on record what became of it here. The caller holds `turn`.

        What was done before, or concerns nothing here, changes nothing. What had been judged before goes first: who was held must be known
        as held when the breaker is known to be closed.
        """
        if self._standing.condition is not Condition.RUNNING:
            return
        for command, is_on_record in commands:
            if not (self.processor.judging or isinstance(command, AccountsResume)):
                continue
            told = is_on_record or command.id in self._told
            slices = self.processor.operate(command, told=told)
            decided = next(slices, None)
            self._told.add(command.id)
            if decided is not None:
                self._queue.hurry()
                self.take(decided)
                await self.say(slices)
                _log.warning("operator_command_done", shard=self.shard, id=command.id, who=command.who)

    async def say(self, slices: Slices) -> None:
        """Queue slice after slice; everything else has its turn between them. The caller holds `turn`."""
        for parts in slices:
            self.take(parts)
            await give_way()
        self.seek_reasons()

    @crash_only
    async def explain(self) -> None:
        """Find the reasons that are due, until cancelled."""
        while True:
            await self._judged.wait()
            async with self._after_prices.turn():
                with self._traces.span("reasons", shard=self.shard):
                    parts = self.processor.reasons(REASONS_TOGETHER)
                    self.take(parts)
            if not parts:
                self._judged.clear()
            await give_way()

    def count_evaluations(self) -> None:
        """Tell the metrics what the book has judged since the last call, and what waits; of another's shard its owner does."""
        if self._standing.condition is Condition.STANDBY:
            return
        book = self.processor.book
        for path, count in (("screen", book.screened), ("exact", book.exact)):
            self._metrics.evaluations_total.labels(path).inc(count - self._evaluations[path])
            self._evaluations[path] = count
        for trigger, what in REASONS.items():
            due = self.processor.book.reasons_due.get(trigger, 0)
            self._metrics.reasons_due.labels(str(self.shard), what).set(due)
        self._tell_breaker()

    def _tell_breaker(self) -> None:
        state, shard, metrics = self.processor.book.breaker.state, str(self.shard), self._metrics
        metrics.breaker_open.labels(shard).set(state.opening is not None)
        metrics.liquidations_held.labels(shard).set(state.held.accounts)
        if state.opening is not None and state.openings > self._openings:
            metrics.breaker_trips_total.labels(state.opening.cause.kind).inc()
        self._openings = state.openings

    def forget(self) -> None:
        """Its next owner tells from now on."""
        for gauge in (self._metrics.breaker_open, self._metrics.liquidations_held):
            gauge.labels(str(self.shard))  # one that was never told cannot be removed
            gauge.remove(str(self.shard))
        for what in REASONS.values():
            self._metrics.reasons_due.labels(str(self.shard), what)
            self._metrics.reasons_due.remove(str(self.shard), what)
