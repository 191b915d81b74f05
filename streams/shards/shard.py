"""One shard: takes it over, recovers it, and keeps {apply -> commit -> acknowledge -> publish} in order.

Taking over
-----------
1. take the fence: from here on no older owner can write
2. load states, risk records and unpublished events, by a snapshot where one fits (`streams.store.snapshot_store`), one shard of a
   worker at a time, so that neither its loop nor Redis is held for long; before 1, where the owner is followed (`succession`)
3. per input topic compare the watermark in Redis with the log: below the log's first offset, or beyond its end,
   means lost data and the shard *stops visibly*; otherwise the log is read from the watermark to its end (from 0 when
   Redis holds nothing: it is new, or it was emptied)
4. have the broker shut out older owners (`streams.kafka.producer_epochs`); then read the event topics from the last position known
   to Redis (`read_back`): what was published but is not in Redis (it was rewound) is adopted, so that an event's identity never
   means two things. Nothing is published before that is durable
5. when prices have caught up, judge every account, and run; what the breaker held is still held

Settling and judging
--------------------
The two input topics reach the shard in no fixed order, so an account may have its fill but not yet the deposit that paid
for it. So the shard goes on in steps: ask where both topics end now, apply exactly up to there, then judge the accounts
that changed. New states are durable at once, but until the step ends the accounts are judged as they were. When Faust
is late with what the step needs, it is read from the log directly.

Judging comes in slices: one is queued for its commit, then everything else on the loop has its turn, then the next. Meanwhile nothing
else may judge, and no price be believed: `turn` is the worker's, and whoever judges holds it.

Reasons
-------
Plans and details come behind the verdicts that make them due: a few at a time, between which everything else has its turn.

Running
-------
Records and judgements become `Commit` parts in the order in which they changed memory; one task takes commits out of
`CommitQueue`, which lets the urgent parts go first, makes each durable, acknowledges the records, and hands the events to the
relay of their lane.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import AbstractAsyncContextManager, nullcontext
from enum import StrEnum

import msgspec
import structlog
from redis.exceptions import RedisError

from engine.events.effects import Stream
from engine.inputs import Mark, Topic
from engine.ladder.breaker import BreakerState
from engine.ladder.table import Trigger
from engine.liquidation.adl_risk import AdlState
from engine.marks.mark_book import MarkBook
from streams.contract.commit import Commit, Lane
from streams.contract.operator_command import OperatorCommand
from streams.contract.record import Record
from streams.kafka.log_ends import LogEnds
from streams.kafka.log_reader import LogReader
from streams.observe.cascade import Cascade
from streams.observe.metrics import Metrics
from streams.outbox.relays import OutboxRelays
from streams.shards.commit_queue import Acknowledge, CommitQueue
from streams.shards.crash import crash_only
from streams.shards.error_log import FloodNotice, tell
from streams.shards.giving_way import AfterPrices, give_way
from streams.shards.inbox import INBOX_RECORDS_MAX, Inbox, Offered
from streams.shards.own_feed import feed_from_log
from streams.shards.price_watch import PriceWatch
from streams.shards.processor import Outcome, ShardProcessor, Slices
from streams.shards.read_back import ReadBack
from streams.shards.refused_events import RefusedEvents
from streams.shards.snapshot_writer import SnapshotWriter
from streams.shards.succession import Succession, decoded_risks
from streams.store.redis_client import passes
from streams.store.shard_follower import TrailLost
from streams.store.shard_store import EpochLost, FenceLost, ShardLost, ShardStore
from streams.store.snapshot_store import Snapshot

APPLY_RECORDS_MAX = 256
"""Records applied without giving way to marks: about 10 ms of event loop."""
CATCH_UP_PASSES = 2
"""The second reads what came to one topic while the other was read, so that both end at about the same instant."""
GATHER_SECONDS = 0.005
"""Records wait this long for company: Faust delivers one at a time, and a commit for each takes the event loop a
millisecond, which held a worker to some 800 records a second. Marks do not wait."""
FAUST_LATE_SECONDS = 0.5
"""After this long without what settling waits for, it is read from the log: offsets without a record (transaction
markers) never come through Faust, and a long backlog comes faster so."""
REASONS_TOGETHER = 4
"""Accounts whose reasons are found without giving way: a few milliseconds."""
REASONS = {Trigger.PLANNED: "plan", Trigger.EXPLAINED: "detail"}
"""What may be due behind a verdict, as the metrics name it."""
_log = structlog.get_logger()
_breaker_decoder = msgspec.json.Decoder(BreakerState)
_adl_decoder = msgspec.json.Decoder(dict[str, AdlState])


class Condition(StrEnum):
    """What a shard is doing."""

    STANDBY = "standby"
    """Follows what another worker commits, and waits for that one to be gone."""
    RECOVERING = "recovering"
    RUNNING = "running"
    STOPPED = "stopped"
    """Data is missing; an operator must act."""
    FENCED = "fenced"
    """Another worker took it over."""


class ShardStopped(Exception):  # noqa: N818 - it names a state, as the promise does
    """The shard cannot be continued without losing inputs; it stays stopped until an operator acts."""


class ShardRunner:
    """The life of one shard on this worker."""

    def __init__(
        self,
        processor: ShardProcessor,
        store: ShardStore,
        relays: OutboxRelays,
        marks: MarkBook,
        watch: PriceWatch,
        prices_ready: asyncio.Event,
        *,
        priced_until_ns: Callable[[], int],
        topics: dict[Topic, str],
        log_ends: LogEnds,
        open_log: Callable[[], AbstractAsyncContextManager[LogReader]],
        turn: asyncio.Lock,
        after_prices: AfterPrices,
        loading: asyncio.Lock,
        snapshots: SnapshotWriter,
        cascade: Cascade,
        succession: Succession,
        feeds_itself: bool,
        metrics: Metrics,
    ) -> None:
        """Wire the parts; nothing runs before `start`. `turn` is held while anybody on this worker judges, `loading` while one loads.

        `feeds_itself`: inputs are read from the log, not offered.
        """
        self.processor = processor
        self.condition = Condition.RECOVERING
        self.stop_reason = ""
        self._store, self._relays, self._marks, self._prices_ready = store, relays, marks, prices_ready
        self._topics, self._open_log, self._metrics = topics, open_log, metrics
        self._log_ends, self._turn, self._after_prices, self._cascade = log_ends, turn, after_prices, cascade
        self._loading, self._snapshots = loading, snapshots
        self._watch, self._priced_until_ns = watch, priced_until_ns
        self._succession, self._feeds_itself = succession, feeds_itself
        self._began_s = 0.0
        self._inbox = Inbox()
        self._queue = CommitQueue()
        self._flood = FloodNotice(metrics)
        self._refused = RefusedEvents(processor, self._queue, turn, metrics)
        relays.pass_over(self._refused.pass_over)
        self._read_back = ReadBack(processor, metrics)
        self._in_hand: Sequence[Offered] = ()
        """Taken from the inbox, and not yet applied as a whole."""
        self._owed: Sequence[Acknowledge] = ()
        self._returns = False
        """Whether the shard, which was lost, is to be begun anew whoever has it."""
        self._judged = asyncio.Event()
        """Somebody was judged whose reasons are due."""
        self._tasks: list[asyncio.Task[None]] = []
        self._evaluations: Counter[str] = Counter()
        self._openings = 0
        """Of the breaker, that the metrics were told of."""

    @property
    def shard(self) -> int:
        """Partition number."""
        return self.processor.shard

    def start(self) -> None:
        """Begin taking over, in the background."""
        self._tasks = [asyncio.create_task(self._run())]

    def take_no_more(self) -> None:
        """No new records; the caller holds `turn`, so no judging is cut short."""
        if self._tasks:
            self._tasks[0].cancel()

    async def stop(self, *, within_seconds: float) -> None:
        """Finish what is in memory (bounded), then stop. Nothing is lost if the bound is hit."""
        if self.condition is Condition.RUNNING:
            try:
                async with asyncio.timeout(within_seconds):
                    await self._queue.idle()
                    await self._relays.drained()
            except TimeoutError:
                _log.warning("shard_stop_unfinished", shard=self.shard)
        self.condition = Condition.STOPPED
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for name in self._topics.values():
            # Its next owner tells them from now on.
            for gauge in (self._metrics.watermark_offset, self._metrics.consumer_lag_records):
                gauge.remove(name, str(self.shard))
        for gauge in (self._metrics.breaker_open, self._metrics.liquidations_held):
            gauge.labels(str(self.shard))  # one that was never told cannot be removed
            gauge.remove(str(self.shard))
        for what in REASONS.values():
            self._metrics.reasons_due.labels(str(self.shard), what)
            self._metrics.reasons_due.remove(str(self.shard), what)

    async def holds_fence(self) -> bool:
        """Whether nobody has taken the shard over since."""
        return await self._store.holds_fence()

    async def may_return(self) -> bool:
        """Whether this worker should go on with the shard that it has lost."""
        lost = self.condition is Condition.FENCED
        return lost and (self._returns or await self._succession.may_return())

    def owed(self) -> list[Acknowledge]:
        """What Faust waits to hear of records that this runner, now stopped, was given: its successor has to tell it.

        A hole would keep the group's offsets where they are for as long as the assignment lasts.
        """
        given = (*self._in_hand, *self._inbox.empty())
        return [*self._owed, *self._queue.unacknowledged(), *(it.acknowledge for it in given)]

    def owe(self, calls: Sequence[Acknowledge]) -> None:
        """Tell Faust so once the shard runs: all these records are in the log that it has caught up with by then."""
        self._owed = calls

    @property
    def known_s(self) -> float:
        """When a standby last knew all that was committed (monotonic clock)."""
        return self._succession.known_s

    async def beat(self) -> None:
        """Say that the shard's owner lives, if that is us. Not said is not lost: nothing is repeated."""
        if not self._store.owned or self.condition is Condition.FENCED:
            return
        try:
            await self._store.beat()
        except ShardLost as lost:
            self._lose(lost)
        except (RedisError, OSError) as error:
            if not passes(error):
                raise

    async def offer(self, offered: Offered) -> None:
        """Take a record from Faust; waits while the inbox is full. A stopped shard never acknowledges.

        One that was lost may have a successor here that will, so it keeps what it has room for.
        """
        if self.condition in {Condition.RECOVERING, Condition.RUNNING} or (
            self.condition is Condition.FENCED and self._inbox.waiting(offered.topic) < INBOX_RECORDS_MAX
        ):
            await self._inbox.put(offered)

    def take(self, parts: Sequence[Commit]) -> None:
        """Make durable what the processor has to say."""
        self._queue.add(parts)
        self._tell_errors()

    def _tell_errors(self) -> None:
        if self.processor.errors:
            errors, self.processor.errors = self.processor.errors, []
            tell(errors, self.shard, self._metrics)

    def seek_reasons(self) -> None:
        """Judging has come to its end: find the reasons that are due. A new plan may be due without a word having been said."""
        if self.processor.reasons_due:
            self._judged.set()

    async def operate(self, commands: Iterable[OperatorCommand]) -> None:
        """Do what operators say; what was done before, or concerns nothing here, changes nothing. The caller holds `turn`.

        What had been judged before goes first: who was held must be known as held when the breaker is known to be closed.
        """
        if self.condition is Condition.RUNNING and self.processor.judging:
            for command in commands:
                slices = self.processor.operate(command)
                decided = next(slices, None)
                if decided is not None:
                    self._queue.hurry()
                    self.take(decided)
                    await self._say(slices)
                    _log.warning("operator_command_done", shard=self.shard, id=command.id, who=command.who)

    def take_along(self, part: Commit) -> bool:
        """Commit something that belongs to no account with the next commit; False if this shard commits nothing."""
        if self.condition is Condition.RUNNING:
            self._queue.add([part])
        return self.condition is Condition.RUNNING

    def count_evaluations(self) -> None:
        """Tell the metrics what the book has judged since the last call, and what waits; of another's shard its owner does."""
        if self.condition is Condition.STANDBY:
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

    async def save_marks(self, marks: Mapping[str, bytes]) -> None:
        """Keep the newest marks (by symbol) in Redis: what queries value accounts with, and a new owner starts from."""
        if self.condition is Condition.RUNNING:
            await self._store.save_marks(marks)

    @crash_only
    async def _run(self) -> None:
        self._began_s = time.monotonic()
        self._tasks += [
            asyncio.create_task(self._commit_parts()),
            asyncio.create_task(self._explain()),
            *(asyncio.create_task(self._publish(lane)) for lane in Lane),
        ]
        try:
            await self._take_over()
        except ShardStopped as stop:
            self.condition, self.stop_reason = Condition.STOPPED, str(stop)
            _log.critical("shard_stopped", shard=self.shard, reason=str(stop))
            return
        except TrailLost as lost:
            self.condition, self._returns = Condition.FENCED, True
            _log.warning("shard_trail_lost", shard=self.shard, reason=str(lost))
            return
        except ShardLost as lost:
            self._lose(lost)
            return
        await self._prices_ready.wait()
        async with self._turn:
            await self._say(self._watch.join(self.processor, self._priced_until_ns()))
            self.condition = Condition.RUNNING
        self._refused.begin()
        self._tasks.append(asyncio.create_task(self._keep_snapshot()))
        self._queue.acknowledge(self._owed)
        self._owed = ()
        took_s = time.monotonic() - self._began_s
        self._metrics.recovery_seconds.observe(took_s)
        _log.info("shard_running", shard=self.shard, seconds=round(took_s, 3))
        if self._feeds_itself:
            self._tasks.append(asyncio.create_task(self._feed()))
        while True:
            await self._inbox.filled()
            await self._settle()

    @crash_only
    async def _feed(self) -> None:
        await feed_from_log(
            self._open_log, self.shard, self._topics, self.processor.watermarks, self._inbox.put
        )

    def _wait(self) -> None:
        if self.condition is not Condition.STANDBY:
            self.condition = Condition.STANDBY
            _log.info("shard_followed", shard=self.shard, seconds=round(time.monotonic() - self._began_s, 3))

    async def _take_over(self) -> None:
        known, published = await self._load_all()
        async with self._open_log() as log:
            for _ in range(CATCH_UP_PASSES):
                for topic in Topic:
                    await self._catch_up(log, topic, known=topic in known)
            await self._adopt_published(log, published)
        await self._relays.inherited()

    async def _load_all(self) -> tuple[AbstractSet[str], dict[str, int]]:
        """Become the owner and take what is stored; returns the topics that were ever committed, and how far what is published is known.

        One shard of a worker at a time, piece by piece: the machine has no more to give, and each would wait for its answers too long.
        """
        cold = await self._succession.is_cold()
        async with self._loading if cold else nullcontext():
            began = time.monotonic()
            image = await self._succession.take(self._wait)
            if self.condition is Condition.STANDBY:
                self.condition, self._began_s = Condition.RECOVERING, self._succession.known_s
                self._metrics.standby_takeovers_total.inc()
                _log.warning("shard_owner_gone", shard=self.shard, fence=image.fence)
            risks = decoded_risks(image.risks)
            watermarks = {Topic(topic): offset for topic, offset in image.watermarks.items()}
            breaker = None if image.breaker is None else _breaker_decoder.decode(image.breaker)
            snapshot, stored = image.snapshot or Snapshot([], frozenset()), image.accounts
            # what a snapshot says of accounts that are not well is of no use
            outdated = snapshot.outdated.union(name for name, risk in risks.items() if risk.pools)
            if image.snapshot is not None:
                stored = await self._store.states(sorted(outdated))
            for _ in self.processor.load_in_parts(
                list(stored.values()), risks, watermarks, breaker, snapshot.parts, outdated
            ):
                await give_way()
            self.processor.load_adl({} if image.adl is None else _adl_decoder.decode(image.adl))
        _log.info(
            "shard_loaded",
            shard=self.shard,
            states_read=len(stored),
            snapshot=image.snapshot is not None,
            seconds=round(time.monotonic() - began, 3),
        )
        self._openings = self.processor.book.breaker.state.openings
        self._relays.inherit(image.outboxes)
        self._read_back.inherit(image.outboxes)
        async with self._turn:
            for data in image.marks.values():
                self._marks.prime(msgspec.json.decode(data, type=Mark))
        return watermarks.keys(), image.published

    async def _catch_up(self, log: LogReader, topic: Topic, *, known: bool) -> None:
        name = self._topics[topic]
        begin, end = await log.bounds(name, self.shard)
        start = self.processor.watermarks[topic]
        if start < begin:
            raise ShardStopped(
                f"{name}/{self.shard}: Redis needs the log from offset {start}, which begins at {begin}"
            )
        if start > end:
            raise ShardStopped(f"{name}/{self.shard}: Redis is at offset {start}, the log ends at {end}")
        if not known and end > start == 0:
            _log.warning("shard_rebuilt_from_log", shard=self.shard, topic=name, records=end)
        async for records in log.read(name, self.shard, start, end):
            await self._apply_run(topic, records)
            self._metrics.recovered_records_total.inc(len(records))
            await self._queue.idle()
        self._close_gap(topic, end)
        self._metrics.watermark_offset.labels(name, str(self.shard)).set(end)

    async def _adopt_published(self, log: LogReader, published: dict[str, int]) -> None:
        await self._relays.shut_out()
        for stream in Stream:
            begin, end = await log.bounds(stream, self.shard)
            start = max(begin, published.get(stream, 0))
            async for records in log.read(stream, self.shard, start, end):
                self._read_back.take(stream, records)
        adopted = self.processor.adopt(self._read_back.conclude())
        self._queue.add([*adopted, Commit(outbox=tuple(self._read_back.quarantined))])
        self._queue.hurry()
        await self._queue.durable()
        await self._relays.withdraw(self._read_back.withdrawn())
        self._relays.adopted()
        if adopted:
            _log.warning("published_events_adopted", shard=self.shard, accounts=len(adopted))

    async def _settle(self) -> None:
        """Apply both topics up to where they end now, and nothing further; then judge."""
        ends = await self._log_ends.of(self.shard)
        for topic, end in ends.items():
            while (missing := end - self.processor.watermarks[topic]) > 0:
                if self._inbox.waiting(topic) < min(missing, APPLY_RECORDS_MAX):
                    await asyncio.sleep(GATHER_SECONDS)
                offered = self._inbox.take(topic, end, APPLY_RECORDS_MAX)
                if offered:
                    await self._apply(topic, offered)
                elif not await self._inbox.arrives(topic, FAUST_LATE_SECONDS):
                    await self._fill_gap(topic, end)
            await self._apply(topic, self._inbox.take(topic, end, INBOX_RECORDS_MAX))
        async with self._turn:
            await self._say(self.processor.settle())

    async def _say(self, slices: Slices) -> None:
        for parts in slices:
            self.take(parts)
            await give_way()
        self.seek_reasons()

    async def _apply(self, topic: Topic, offered: Sequence[Offered]) -> None:
        self._in_hand = offered
        run: list[Record] = []
        expected = self.processor.watermarks[topic]
        for record in (item.record for item in offered):
            if record.offset > expected:
                await self._apply_run(topic, run)
                await self._fill_gap(topic, record.offset)
                run = []
            run.append(record)
            expected = max(expected, record.offset + 1)
        await self._apply_run(topic, run)
        self._queue.acknowledge(item.acknowledge for item in offered)
        self._in_hand = ()

    async def _fill_gap(self, topic: Topic, end: int) -> None:
        """Faust skipped offsets below `end`: read them from the log; offsets without a record are passed over."""
        start = self.processor.watermarks[topic]
        if start >= end:
            return
        async with self._open_log() as log:
            async for records in log.read(self._topics[topic], self.shard, start, end):
                await self._apply_run(topic, records)
        self._close_gap(topic, end)

    def _close_gap(self, topic: Topic, end: int) -> None:
        if self.processor.watermarks[topic] < end:
            self._queue.add([self.processor.skip_to(topic, end)])

    async def _apply_run(self, topic: Topic, records: Sequence[Record]) -> None:
        decoded = self.processor.decode(topic, records)
        if not decoded:
            return
        sought = self.processor.ids_to_ask(topic, decoded)
        if sought:
            self.processor.take_ids(topic, await self._store.applied_ids(sought))
        outcome = self.processor.apply(topic, decoded)
        self._count(topic, outcome)
        self._queue.add([outcome.commit])

    def _count(self, topic: Topic, outcome: Outcome) -> None:
        self._tell_errors()
        name, metrics = self._topics[topic], self._metrics
        self._flood.tell(name, self.processor.quarantine_budget.places)
        metrics.inputs_applied_total.labels(name).inc(outcome.applied)
        metrics.inputs_duplicate_total.labels(name).inc(outcome.duplicates)
        self._cascade.on_executed(outcome.executed)
        for reason, count in outcome.quarantined.items():
            metrics.quarantined_total.labels(name, reason).inc(count)
        metrics.watermark_offset.labels(name, str(self.shard)).set(self.processor.watermarks[topic])

    @crash_only
    async def _commit_parts(self) -> None:
        while True:
            commit = await self._queue.next()
            try:
                if commit:
                    await self._commit(commit)
            except ShardLost as lost:
                self._lose(lost)
                return
            for acknowledge in self._queue.committed():
                acknowledge()

    async def _commit(self, commit: Commit) -> None:
        with self._metrics.commit_seconds.time():
            await self._store.commit(commit)
        self.processor.on_committed(commit)
        self._relays.offer(commit.outbox)
        self._cascade.on_committed(commit.outbox)
        for entry in commit.outbox:
            self._metrics.events_committed_total.labels(entry.event_type).inc()

    @crash_only
    async def _explain(self) -> None:
        while True:
            await self._judged.wait()
            async with self._after_prices.turn():
                parts = self.processor.reasons(REASONS_TOGETHER)
                self.take(parts)
            if not parts:
                self._judged.clear()
            await give_way()

    @crash_only
    async def _keep_snapshot(self) -> None:
        await self._snapshots.run(self._queue.durable)

    @crash_only
    async def _publish(self, lane: Lane) -> None:
        try:
            await self._relays.run(lane)
        except EpochLost as lost:
            await self._ask_redis(lost)
        except ShardLost as lost:
            self._lose(lost)

    async def _ask_redis(self, lost: EpochLost) -> None:
        """Kafka has a later owner: most often one by Redis' word too. If not, it has come and gone, and the shard is still ours."""
        try:
            await self._store.ask()
        except ShardLost as by_redis:
            self._lose(by_redis)
        else:
            self._lose(lost)

    def _lose(self, lost: ShardLost) -> None:
        """Nothing that we still hold may become durable, or be published, so nobody need wait for it.

        Where Redis was rewound nobody else may know that the shard is to be taken over: we do, if it is still ours by the group.
        """
        self.condition, self._returns = Condition.FENCED, not isinstance(lost, FenceLost)
        self.processor.judging = False
        for task in self._tasks:
            if task is not asyncio.current_task():
                task.cancel()
        self._queue.give_up()
        _log.warning("shard_fenced", shard=self.shard, reason=str(lost), returns=self._returns)
