"""One shard: takes it over, recovers it, and keeps {apply -> commit -> acknowledge -> publish} in order.

Taking over
-----------
1. take the fence: from here on no older owner can write
2. load states, risk records and unpublished events
3. per input topic compare the watermark in Redis with the log: below the log's first offset, or beyond its end,
   means lost data and the shard *stops visibly*; otherwise the log is read from the watermark to its end (from 0 when
   Redis holds nothing: it is new, or it was emptied)
4. read the event topics from the last position known to Redis: what was published but is not in Redis (it was
   rewound) is adopted, so that an event's identity never means two things
5. when prices have caught up, judge every account, and run

Settling
--------
The two input topics reach the shard in no fixed order, so an account may have its fill but not yet the deposit that paid
for it. So the shard goes on in steps: ask where both topics end now, apply exactly up to there, then judge the accounts
that changed. New states are durable at once, but until the step ends the accounts are judged as they were. When Faust
is late with what the step needs, it is read from the log directly.

Running
-------
Records and judgements become `Commit` parts in the order in which they changed memory; one task merges all parts
that wait into one Lua commit (group commit), acknowledges the records, and hands the events to the relay.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from enum import StrEnum

import msgspec
import structlog

from engine.book.port import UnlistedHolding
from engine.effects import AccountRisk, RiskEvent, Stream
from engine.inputs import Mark, Topic
from engine.marks import MarkBook
from streams.cascade import Cascade
from streams.commit import Commit, merge
from streams.crash import crash_only
from streams.inbox import INBOX_RECORDS_MAX, Inbox, Offered
from streams.log_ends import LogEnds
from streams.log_reader import LogReader
from streams.metrics import Metrics
from streams.newest import Newest
from streams.processor import COMMIT_ACCOUNTS_MAX, Outcome, Record, ShardProcessor
from streams.relay import OutboxRelay
from streams.store import FenceLost, ShardStore

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
_log = structlog.get_logger()
_risk_decoder = msgspec.json.Decoder(AccountRisk)
_event_decoder = msgspec.json.Decoder(RiskEvent)


class Condition(StrEnum):
    """What a shard is doing."""

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
        relay: OutboxRelay,
        marks: MarkBook,
        prices_ready: asyncio.Event,
        *,
        topics: dict[Topic, str],
        log_ends: LogEnds,
        open_log: Callable[[], AbstractAsyncContextManager[LogReader]],
        cascade: Cascade,
        metrics: Metrics,
    ) -> None:
        """Wire the parts; nothing runs before `start`."""
        self.processor = processor
        self.condition = Condition.RECOVERING
        self.stop_reason = ""
        self._store, self._relay, self._marks, self._prices_ready = store, relay, marks, prices_ready
        self._topics, self._open_log, self._metrics = topics, open_log, metrics
        self._log_ends, self._cascade = log_ends, cascade
        self._inbox = Inbox()
        self._parts: list[Commit] = []
        self._acknowledgements: list[Callable[[], object]] = []
        self._work = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._tasks: list[asyncio.Task[None]] = []
        self._evaluations: Counter[str] = Counter()

    @property
    def shard(self) -> int:
        """Partition number."""
        return self.processor.shard

    def start(self) -> None:
        """Begin taking over, in the background."""
        self._tasks = [asyncio.create_task(self._run())]

    async def stop(self, *, within_seconds: float) -> None:
        """Finish what is in memory (bounded), then stop. Nothing is lost if the bound is hit."""
        if self._tasks:
            self._tasks[0].cancel()  # no new records
        if self.condition is Condition.RUNNING:
            try:
                async with asyncio.timeout(within_seconds):
                    await self._idle.wait()
                    await self._relay.drained()
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

    async def holds_fence(self) -> bool:
        """Whether nobody has taken the shard over since."""
        return await self._store.holds_fence()

    async def offer(self, offered: Offered) -> None:
        """Take a record from Faust; waits while the inbox is full. A stopped shard never acknowledges."""
        if self.condition in {Condition.RECOVERING, Condition.RUNNING}:
            await self._inbox.put(offered)

    def on_marks(self, marks: Sequence[Mark]) -> None:
        """Judge holders at believed marks."""
        if self.processor.judging:
            self._add(*self.processor.on_marks(marks))

    def on_clock(self, now_ns: int, stale: frozenset[str]) -> None:
        """Judge whom time or staleness concerns."""
        if self.processor.judging:
            self._add(*self.processor.on_clock(now_ns, stale))

    def take_along(self, part: Commit) -> bool:
        """Commit something that belongs to no account with the next commit; False if this shard commits nothing."""
        if self.condition is Condition.RUNNING:
            self._add(part)
        return self.condition is Condition.RUNNING

    def count_evaluations(self) -> None:
        """Tell the metrics what the book has judged since the last call."""
        book = self.processor.book
        for path, count in (("screen", book.screened), ("exact", book.exact)):
            self._metrics.evaluations_total.labels(path).inc(count - self._evaluations[path])
            self._evaluations[path] = count

    async def save_marks(self, marks: Mapping[str, bytes]) -> None:
        """Keep the newest marks (by symbol) in Redis: what queries value accounts with, and a new owner starts from."""
        if self.condition is Condition.RUNNING:
            await self._store.save_marks(marks)

    @crash_only
    async def _run(self) -> None:
        began = time.monotonic()
        self._tasks += [
            asyncio.create_task(self._commit_parts()),
            asyncio.create_task(self._publish()),
        ]
        try:
            await self._take_over()
        except (ShardStopped, UnlistedHolding) as stop:
            self.condition, self.stop_reason = Condition.STOPPED, str(stop)
            _log.critical("shard_stopped", shard=self.shard, reason=str(stop))
            return
        await self._prices_ready.wait()
        prices = self._marks.prices
        self._add(
            *self.processor.start_judging(list(prices.marks.values()), self._marks.time_ns, prices.stale)
        )
        self.condition = Condition.RUNNING
        self._metrics.recovery_seconds.observe(time.monotonic() - began)
        _log.info("shard_running", shard=self.shard, seconds=round(time.monotonic() - began, 3))
        while True:
            await self._inbox.filled()
            await self._settle()

    async def _take_over(self) -> None:
        image = await self._store.take_over()
        risks = {account: _risk_decoder.decode(data) for account, data in image.risks.items()}
        watermarks = {Topic(topic): offset for topic, offset in image.watermarks.items()}
        self.processor.load(image.accounts.values(), risks, watermarks)
        self._relay.offer(image.outbox)
        for data in image.marks.values():
            self._marks.prime(msgspec.json.decode(data, type=Mark))
        async with self._open_log() as log:
            for _ in range(CATCH_UP_PASSES):
                for topic in Topic:
                    await self._catch_up(log, topic, known=topic in watermarks)
            await self._adopt_published(log, image.published)

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
            await self._idle.wait()
        self._close_gap(topic, end)
        self._metrics.watermark_offset.labels(name, str(self.shard)).set(end)

    async def _adopt_published(self, log: LogReader, published: dict[str, int]) -> None:
        newest = Newest()
        for stream in Stream:
            begin, end = await log.bounds(stream, self.shard)
            start = max(begin, published.get(stream, 0))
            async for records in log.read(stream, self.shard, start, end):
                for record in records:
                    newest.add(_event_decoder.decode(record.value or b""))
        adopted = self.processor.adopt(newest)
        self._add(*adopted)
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
        self._add(*self.processor.settle())

    async def _apply(self, topic: Topic, offered: Sequence[Offered]) -> None:
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
        self._acknowledgements += [item.acknowledge for item in offered]
        self._work.set()

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
            self._add(self.processor.skip_to(topic, end))

    async def _apply_run(self, topic: Topic, records: Sequence[Record]) -> None:
        decoded = self.processor.decode(topic, records)
        if not decoded:
            return
        missing = self.processor.missing_windows(topic, decoded)
        if missing:
            self.processor.add_windows(topic, await self._store.seen(topic, sorted(missing)))
        outcome = self.processor.apply(topic, decoded)
        self._count(topic, outcome)
        self._add(outcome.commit)

    def _count(self, topic: Topic, outcome: Outcome) -> None:
        name, metrics = self._topics[topic], self._metrics
        metrics.inputs_applied_total.labels(name).inc(outcome.applied)
        metrics.inputs_duplicate_total.labels(name).inc(outcome.duplicates)
        self._cascade.on_executed(outcome.executed)
        for reason, count in outcome.quarantined.items():
            metrics.quarantined_total.labels(name, reason).inc(count)
        metrics.watermark_offset.labels(name, str(self.shard)).set(self.processor.watermarks[topic])

    def _add(self, *parts: Commit) -> None:
        told = [part for part in parts if part]
        if told:
            self._parts += told
            self._idle.clear()
            self._work.set()

    @crash_only
    async def _commit_parts(self) -> None:
        while True:
            await self._work.wait()
            self._work.clear()
            parts, self._parts = self._parts, []
            acknowledgements, self._acknowledgements = self._acknowledgements, []
            try:
                for commit in map(merge, _bounded(parts)):
                    await self._commit(commit)
            except FenceLost:
                self._lose_fence()
                return
            for acknowledge in acknowledgements:
                acknowledge()
            if not self._parts:
                self._idle.set()

    async def _commit(self, commit: Commit) -> None:
        with self._metrics.commit_seconds.time():
            await self._store.commit(commit)
        self.processor.on_committed(commit)
        self._relay.offer(commit.outbox)
        self._cascade.on_committed(commit.outbox)
        for entry in commit.outbox:
            self._metrics.events_committed_total.labels(entry.event_type).inc()

    @crash_only
    async def _publish(self) -> None:
        try:
            await self._relay.run()
        except FenceLost:
            self._lose_fence()

    def _lose_fence(self) -> None:
        """Another worker owns the shard: nothing that we still hold may become durable, so nobody need wait for it."""
        self.condition = Condition.FENCED
        self.processor.judging = False
        self._tasks[0].cancel()
        self._idle.set()
        _log.warning("shard_fenced", shard=self.shard)


def _bounded(parts: Sequence[Commit]) -> Iterator[list[Commit]]:
    """Parts in runs of at most `COMMIT_ACCOUNTS_MAX` accounts (one part alone may be larger)."""
    run: list[Commit] = []
    size = 0
    for part in parts:
        added = len(part.accounts) + len(part.risks)
        if run and size + added > COMMIT_ACCOUNTS_MAX:
            yield run
            run, size = [], 0
        run.append(part)
        size += added
    if run:
        yield run
