"""The shards of this worker: which are assigned, and what reaches all of them."""

import asyncio
import gc
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Sequence
from decimal import Decimal
from typing import NamedTuple

import msgspec
import structlog

from engine.book.account_book import AccountBook, Totals
from engine.book.expressible import Reason
from engine.inputs import Topic
from engine.ladder import Band
from engine.marks.instants import Instant
from engine.marks.mark_book import MarkBook, Prices
from engine.policy import Policy
from streams.contract.commit import Commit, OutboxEntry
from streams.contract.operator_command import OperatorCommand, OperatorOutcome
from streams.contract.rulings import OneRuling, Rulings
from streams.observe.metrics import Metrics
from streams.shards.giving_way import give_head_start, give_way
from streams.shards.price_watch import PriceWatch, Told
from streams.shards.processor import ShardProcessor
from streams.shards.shard import ShardRunner
from streams.shards.shard_standing import Condition

RATIO_EDGES = tuple(map(Decimal, ("1", "1.05", "1.2", "1.5", "2", "3", "5", "10")))
"""Edges of `margin_accounts_below_ratio`: the default ladder's lines, and how the healthy are spread."""

COMMANDS_MAX = 1_000
"""Operators' commands that are kept for shards which come later; one of them acts once, and on nothing that is newer than it."""

KEPT_SECONDS = 120.0
"""A shard whose owner was killed runs elsewhere within some twenty seconds."""
KEPT_MAX = 2_000
"""What comes beyond it in that time is told by the metric, and stays in its topic for as long as that is kept."""


class _Heard(NamedTuple):
    """A command, and the shards of which it is on record what became of it there."""

    command: OperatorCommand
    told: set[int]

    def here(self, shard: int) -> tuple[OperatorCommand, bool]:
        return self.command, shard in self.told


_SETTLED = frozenset({Condition.RUNNING, Condition.STANDBY})

_log = structlog.get_logger()


class Shards:
    """Starts and stops shard runners as the group assigns partitions."""

    def __init__(
        self,
        build: Callable[[int], ShardRunner],
        marks: MarkBook,
        watch: PriceWatch,
        metrics: Metrics,
        turn: asyncio.Lock,
        *,
        priced_until_ns: Callable[[], int],
        shutdown_seconds: float,
        rulings: Rulings = OneRuling(),  # noqa: B008 - it has no state
    ) -> None:
        """`build` makes the runner of one shard; `turn` is held by whoever judges, slice by slice.

        `priced_until_ns`: until when the marks that have come are known to `marks` (Unix ns).
        """
        self._rulings = rulings
        self._build, self._marks, self._metrics = build, marks, metrics
        self._watch, self._priced_until_ns = watch, priced_until_ns
        self._turn, self._shutdown_seconds = turn, shutdown_seconds
        self._runners: dict[int, ShardRunner] = {}
        self._commands: dict[str, _Heard] = {}
        """By id, oldest first."""
        self._kept: deque[tuple[float, OutboxEntry]] = deque(maxlen=KEPT_MAX)
        """Records to be quarantined whose shard does not run here, and when they came."""
        self._assigned = asyncio.Event()
        self._settled = False

    @property
    def runners(self) -> Iterable[ShardRunner]:
        """The runners of the assigned shards."""
        return self._runners.values()

    @property
    def books(self) -> list[AccountBook]:
        """The books of those that are running."""
        return [it.processor.book for it in self.runners if it.condition is Condition.RUNNING]

    @property
    def ready(self) -> bool:
        """Whether the group assigned partitions (possibly none) and every shard of ours is running, or followed."""
        return self._assigned.is_set() and all(it.condition in _SETTLED for it in self.runners)

    @property
    def only_follows(self) -> bool:
        """Whether every shard here is another's, and only followed."""
        return bool(self._runners) and all(it.condition is Condition.STANDBY for it in self.runners)

    async def assigned(self, shards: set[int]) -> None:
        """Make `shards` the ones we run: keep those whose fence is still ours, start new ones, drop the rest."""
        keep = {shard for shard in shards & set(self._runners) if await self._keeps(self._runners[shard])}
        async with self._turn:
            dropped = [self._runners.pop(shard) for shard in set(self._runners) - keep]
            for runner in dropped:
                runner.take_no_more()
        await asyncio.gather(*(it.stop(within_seconds=self._shutdown_seconds) for it in dropped))
        for shard in sorted(shards - keep):
            self._runners[shard] = self._build(shard)
            self._runners[shard].start()
        self._assigned.set()
        self._settled = False
        _log.info("shards_assigned", shards=sorted(shards), kept=sorted(keep))

    async def renew(self) -> None:
        """Begin anew with shards that were lost and are still for us to follow, or to take back."""
        for shard, lost in list(self._runners.items()):
            if not await lost.may_return() or self._runners.get(shard) is not lost:
                continue
            successor = self._runners[shard] = self._build(shard)
            await lost.stop(within_seconds=self._shutdown_seconds)
            # the group may have taken it away from us meanwhile
            if self._runners.get(shard) is successor:
                successor.start()
                self._settled = False
                _log.info("shard_begun_anew", shard=shard)

    async def beat(self) -> None:
        """Say of each shard of ours that its owner lives."""
        await asyncio.gather(*(runner.beat() for runner in self.runners))

    def hand_over(self, topic: Topic) -> None:
        """Give every shard what was read of `topic`."""
        for runner in self.runners:
            runner.hand_over(topic)

    async def look_at_logs(self) -> None:
        """Have every shard compare the logs with what it remembers of them."""
        await asyncio.gather(*(runner.look_at_logs() for runner in self.runners))

    async def on_instants(self, instants: Sequence[Instant]) -> None:
        """Judge the holders of every shard at instants of believed marks; the caller has held `turn` since it believed them."""
        await self._take(self._watch.on_instants(instants, self._running()))

    async def rule_by(self, policy: Policy, prices: Prices) -> None:
        """Have every shard judge by another policy from now on, at the event time of `prices`. The caller holds `turn`."""
        self._watch.rule_by(policy)
        for runner in list(self.runners):
            await runner.rule_by(policy, prices)

    async def operate(self, said: OperatorCommand | OperatorOutcome) -> None:
        """Have every shard do what an operator says; or take note of what became of a command."""
        if isinstance(said, OperatorOutcome):
            if said.command_id in self._commands:
                self._commands[said.command_id].told.add(said.shard)
            return
        self._commands[said.id] = heard = _Heard(said, set())
        while len(self._commands) > COMMANDS_MAX:
            del self._commands[next(iter(self._commands))]
        async with self._turn:
            for runner in list(self.runners):
                await runner.operate([heard.here(runner.shard)])

    def quarantine(self, entry: OutboxEntry) -> None:
        """Publish a record of a topic that every worker reads, through the outbox of the one shard that its place names.

        So one worker publishes it. Until that shard runs, here or elsewhere, every other one keeps it for a while: it may come here.
        """
        if not self._is_published(entry):
            self._kept.append((time.monotonic(), entry))

    def _is_published(self, entry: OutboxEntry) -> bool:
        place = dict(entry.headers)["ce_id"].decode()
        return any(
            it.processor.identity.is_home_of(place) and it.take_along(Commit(outbox=(entry,)))
            for it in self.runners
        )

    def _publish_kept(self) -> None:
        oldest_s = time.monotonic() - KEPT_SECONDS
        kept = [it for it in self._kept if it[0] > oldest_s and not self._is_published(it[1])]
        self._kept = deque(kept, KEPT_MAX)

    async def on_clock(self) -> None:
        """Once a second: let time pass, keep the newest marks, refresh the gauges."""
        # in one turn: a mark that came in between would be stale by the word of a moment ago
        runners = list(self.runners)
        if self._rulings.are_known:
            async with self._turn:
                runners = list(self.runners)
                await self._rulings.reach(self._priced_until_ns())
                await self._take(self._watch.on_clock(self._priced_until_ns(), self._running()))
                for runner in runners:
                    await runner.operate([it.here(runner.shard) for it in self._commands.values()])
                    runner.count_evaluations()
        self._publish_kept()
        marks = {symbol: msgspec.json.encode(mark) for symbol, mark in self._marks.prices.marks.items()}
        await asyncio.gather(*(runner.save_marks(marks) for runner in runners))
        if self.ready and not self._settled:
            self._settle()
        prices = self._marks.prices
        self._metrics.symbols_stale.set(len(prices.stale | prices.aged.keys()))
        self._metrics.feed_stale.set(self._watch.silent)
        await self._refresh_gauges()

    @property
    def feed_silent(self) -> bool:
        """Whether nobody is judged because hardly any symbol has a fresh price."""
        return self._watch.silent

    def _running(self) -> list[ShardProcessor]:
        return [it.processor for it in self.runners if it.condition is Condition.RUNNING]

    async def _take(self, told: Iterable[Told]) -> None:
        is_first_urgent = True
        for processor, parts in told:
            self._runners[processor.shard].take(parts)
            if is_first_urgent and any(part.urgent for part in parts):
                is_first_urgent = False
                await give_head_start()
            else:
                await give_way()
        for runner in self.runners:
            runner.seek_reasons()

    async def stop(self) -> None:
        """Finish and stop every shard."""
        await self.assigned(set())

    def _settle(self) -> None:
        """Take what recovery loaded out of the garbage collector's sight.

        A full collection over the states of 10,000 accounts holds the event loop for some 0.3 s, again and again; the
        accounts live as long as the shard, so there is nothing to find among them.
        """
        gc.collect()
        gc.freeze()
        self._settled = True

    def _tell_behind(self) -> None:
        now_s = time.monotonic()
        self._metrics.standby_behind_seconds.clear()
        for runner in self.runners:
            if runner.condition is Condition.STANDBY:
                behind_s = now_s - runner.known_s
                self._metrics.standby_behind_seconds.labels(str(runner.shard)).set(behind_s)

    @staticmethod
    async def _keeps(runner: ShardRunner) -> bool:
        return runner.condition is not Condition.FENCED and await runner.holds_fence()

    async def _refresh_gauges(self) -> None:
        """Give way after every part of the sums: they read each account, and marks must not wait for all of them."""
        conditions = Counter(runner.condition for runner in self.runners)
        for condition in Condition:
            self._metrics.shards.labels(condition).set(conditions[condition])
        self._tell_behind()
        totals: list[Totals] = []
        ours = [it for it in self.runners if it.condition is not Condition.STANDBY]
        for runner in ours:
            for part in runner.processor.book.totals_in_parts(RATIO_EDGES):
                totals.append(part)
                await asyncio.sleep(0)
        for band in Band:
            self._metrics.accounts.labels(band).set(sum(t.accounts_by_band.get(band, 0) for t in totals))
            self._metrics.isolated_positions.labels(band).set(
                sum(t.isolated_by_band.get(band, 0) for t in totals)
            )
        for edge in RATIO_EDGES:
            below = sum(t.accounts_below_ratio[edge] for t in totals)
            self._metrics.accounts_below_ratio.labels(str(edge)).set(below)
        routed, unboxed = Counter[str](), Counter[str]()
        for runner in ours:
            routed.update(runner.processor.book.routed)
            unboxed.update(runner.processor.book.unboxed)
        for reason in Reason:
            self._metrics.book_routed_accounts.labels(reason).set(routed[reason])
        self._metrics.book_unboxed_accounts.clear()
        for why, count in unboxed.items():
            self._metrics.book_unboxed_accounts.labels(why).set(count)
        self._metrics.accounts_degraded.set(sum(t.accounts_degraded for t in totals))
        self._metrics.accounts_stopped.set(sum(t.accounts_stopped for t in totals))
        self._metrics.equity_value.set(sum(t.equity for t in totals))
        self._metrics.maintenance_margin_value.set(sum(t.maintenance_margin for t in totals))
