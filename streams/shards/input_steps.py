"""The inputs of one shard: applied in steps, up to where both topics end, then judged.

The two input topics reach the shard in no fixed order, so an account may have its fill but not yet the deposit that paid
for it. So the shard goes on in steps: ask where both topics end now, apply exactly up to there, then judge the accounts
that changed. New states are durable at once, but until the step ends the accounts are judged as they were. When Faust
is late with what the step needs, it is read from the log directly.
"""

import asyncio
from collections.abc import Sequence

from engine.inputs import Topic
from streams.contract.record import Record
from streams.shards.commit_queue import Acknowledge
from streams.shards.inbox import INBOX_RECORDS_MAX, Inbox, Offered
from streams.shards.judging import Judging
from streams.shards.processor import Outcome
from streams.shards.shard_parts import ShardParts

APPLY_RECORDS_MAX = 256
"""Records applied without giving way to marks: about 10 ms of event loop."""
GATHER_SECONDS = 0.005
"""Records wait this long for company: Faust delivers one at a time, and a commit for each takes the event loop a
millisecond, which held a worker to some 800 records a second. Marks do not wait."""
FAUST_LATE_SECONDS = 0.5
"""After this long without what settling waits for, it is read from the log: offsets without a record (transaction
markers) never come through Faust, and a long backlog comes faster so."""


class InputSteps:
    """From records to durable states that are judged."""

    def __init__(self, parts: ShardParts, judging: Judging) -> None:
        """Nothing waits."""
        self.processor, self._store, self._queue = parts.processor, parts.store, parts.queue
        self._topics, self._log_ends, self._open_log = parts.topics, parts.log_ends, parts.open_log
        self._turn, self._cascade, self._metrics, self._judging = (
            parts.turn,
            parts.cascade,
            parts.metrics,
            judging,
        )
        self.inbox = Inbox()
        self.in_hand: Sequence[Offered] = ()
        """Taken from the inbox, and not yet applied as a whole."""

    @property
    def shard(self) -> int:
        """Partition number."""
        return self.processor.shard

    async def run(self) -> None:
        """Settle what comes until cancelled."""
        while True:
            await self.inbox.filled()
            await self._settle()

    def unapplied(self) -> list[Acknowledge]:
        """The acknowledgements of what was given to us and is not applied; nothing waits after."""
        return [it.acknowledge for it in (*self.in_hand, *self.inbox.empty())]

    async def _settle(self) -> None:
        """Apply both topics up to where they end now, and nothing further; then judge."""
        ends = await self._log_ends.of(self.shard)
        for topic, end in ends.items():
            while (missing := end - self.processor.watermarks[topic]) > 0:
                if self.inbox.waiting(topic) < min(missing, APPLY_RECORDS_MAX):
                    await asyncio.sleep(GATHER_SECONDS)
                offered = self.inbox.take(topic, end, APPLY_RECORDS_MAX)
                if offered:
                    await self._apply(topic, offered)
                elif not await self.inbox.arrives(topic, FAUST_LATE_SECONDS):
                    await self._fill_gap(topic, end)
            await self._apply(topic, self.inbox.take(topic, end, INBOX_RECORDS_MAX))
        async with self._turn:
            await self._judging.say(self.processor.settle())

    async def _apply(self, topic: Topic, offered: Sequence[Offered]) -> None:
        self.in_hand = offered
        run: list[Record] = []
        expected = self.processor.watermarks[topic]
        for record in (item.record for item in offered):
            if record.offset > expected:
                await self.apply_run(topic, run)
                await self._fill_gap(topic, record.offset)
                run = []
            run.append(record)
            expected = max(expected, record.offset + 1)
        await self.apply_run(topic, run)
        self._queue.acknowledge(item.acknowledge for item in offered)
        self.in_hand = ()

    async def _fill_gap(self, topic: Topic, end: int) -> None:
        """Faust skipped offsets below `end`: read them from the log; offsets without a record are passed over."""
        start = self.processor.watermarks[topic]
        if start >= end:
            return
        async with self._open_log() as log:
            async for records in log.read(self._topics[topic], self.shard, start, end):
                await self.apply_run(topic, records)
        self.close_gap(topic, end)

    def close_gap(self, topic: Topic, end: int) -> None:
        """Pass over offsets below `end` that hold no record."""
        if self.processor.watermarks[topic] < end:
            self._queue.add([self.processor.skip_to(topic, end)])

    async def apply_run(self, topic: Topic, records: Sequence[Record]) -> None:
        """Apply records that follow each other, and queue what becomes of it."""
        decoded = self.processor.decode(topic, records)
        if not decoded:
            return
        missing = self.processor.missing_windows(topic, decoded)
        if missing:
            self.processor.add_windows(topic, await self._store.seen(topic, sorted(missing)))
        outcome = self.processor.apply(topic, decoded)
        self._count(topic, outcome)
        self._queue.add([outcome.commit])

    def _count(self, topic: Topic, outcome: Outcome) -> None:
        name, metrics = self._topics[topic], self._metrics
        metrics.inputs_applied_total.labels(name).inc(outcome.applied)
        metrics.inputs_duplicate_total.labels(name).inc(outcome.duplicates)
        self._cascade.on_executed(outcome.executed)
        for reason, count in outcome.quarantined.items():
            metrics.quarantined_total.labels(name, reason).inc(count)
        metrics.watermark_offset.labels(name, str(self.shard)).set(self.processor.watermarks[topic])

    def forget(self) -> None:
        """Its next owner tells from now on."""
        for name in self._topics.values():
            for gauge in (self._metrics.watermark_offset, self._metrics.consumer_lag_records):
                gauge.remove(name, str(self.shard))
