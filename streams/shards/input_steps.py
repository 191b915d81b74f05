"""The inputs of one shard: applied in steps, up to where both topics end, then judged.

The two input topics reach the shard in no fixed order, so an account may have its fill but not yet the deposit that paid
for it. So the shard goes on in steps: ask where both topics end now, apply exactly up to there, then judge the accounts
that changed. New states are durable at once, but until the step ends the accounts are judged as they were. Recovery is the same steps
without the judging.

Nothing is applied before it is known which log it came from: only records that were read before the broker was asked, and said that
the topics are those that the shard remembers (`streams.shards.log_memory`). Offsets that turn out to hold no record (aborted transactions, markers)
are passed over.
"""

import asyncio
import time
from collections.abc import Sequence

from engine.inputs import Topic
from streams.contract.record import Record
from streams.kafka.log_ends import LogLook
from streams.observe.metrics import Stage
from streams.shards.error_log import FloodNotice
from streams.shards.input_batch import Outcome
from streams.shards.input_reader import InputReader
from streams.shards.judging import Judging
from streams.shards.log_memory import LogMemory
from streams.shards.shard_parts import ShardParts

APPLY_RECORDS_MAX = 256
"""Records applied without giving way to marks: about 10 ms of event loop."""
RECOVER_RECORDS_MAX = 2000
"""The same in recovery, where few marks wait: about 50 ms, and one commit."""
AHEAD_MAX = 8
"""Pieces that were applied and are not yet durable: what a slow Redis holds up is left in Kafka."""


class InputSteps:
    """From records to durable states that are judged."""

    def __init__(self, parts: ShardParts, judging: Judging, reader: InputReader, memory: LogMemory) -> None:
        """`reader` runs by itself, and `memory` is loaded, before anything is applied."""
        self.processor, self._store, self._queue = parts.processor, parts.store, parts.queue
        self._topics, self._log_ends, self._standing = parts.topics, parts.log_ends, parts.standing
        self._turn, self._cascade, self._metrics = parts.turn, parts.cascade, parts.metrics
        self._rulings, self._marks = parts.rulings, parts.marks
        self._traces = parts.traces
        self._judging, self._reader, self._memory = judging, reader, memory
        self._flood = FloodNotice(parts.metrics)
        self._looked_s = 0.0
        """When the broker was last asked and its answer fitted (monotonic)."""
        self._ahead = asyncio.Semaphore(AHEAD_MAX)

    @property
    def shard(self) -> int:
        """Partition number."""
        return self.processor.shard

    async def run(self) -> None:
        """Settle what comes until cancelled. Raises ShardStopped."""
        while True:
            await self._reader.moves(self.processor.watermarks)
            read_s = self._reader.oldest_read_s
            with self._traces.span("inputs.batch", shard=self.shard):
                await self.advance(APPLY_RECORDS_MAX)
                async with self._turn:
                    # what is dated ahead of any present time waits for it
                    latest_ns = time.time_ns() + self._marks.ahead_ns
                    await self._rulings.reach(min(self.processor.applied_until_ns, latest_ns))
                    with self._traces.span("judge", shard=self.shard):
                        await self._judging.say(self.processor.settle())
            self._metrics.stage_seconds[Stage.JUDGED].observe(time.monotonic() - read_s)

    async def look(self) -> LogLook:
        """Ask where the logs end and whether they are ours. Raises ShardStopped."""
        look = await self._log_ends.of(self.shard)
        self._memory.check(look, self.processor.watermarks)
        self._looked_s = look.asked_s
        return look

    async def advance(self, records_max: int) -> int:
        """Apply both topics up to where they end now, and nothing further; returns how many records. Raises ShardStopped."""
        await self._rulings.known()
        ends = (await self.look()).ends
        return sum([await self._apply_to(topic, end, records_max) for topic, end in ends.items()])

    async def _apply_to(self, topic: Topic, end: int, records_max: int) -> int:
        count = 0
        while self.processor.watermarks[topic] < end:
            records = self._reader.take(topic, end, records_max, self._looked_s)
            if records:
                await self._apply(topic, records)
                count += len(records)
            elif self._reader.waits(topic, end):
                await self.look()
            elif self._reader.passed(topic, end):
                self._queue.add([self.processor.skip_to(topic, end)])
                self._tell_durable(topic)
            else:
                await self._reader.arrives()
        self._metrics.watermark_offset.labels(self._topics[topic], str(self.shard)).set(
            self.processor.watermarks[topic]
        )
        return count

    async def _apply(self, topic: Topic, records: Sequence[Record]) -> None:
        await self._ahead.acquire()
        await self.apply_run(topic, records)
        self._queue.acknowledge([self._ahead.release])
        self._tell_durable(topic)

    def _tell_durable(self, topic: Topic) -> None:
        """Once it is so, say how far the topic is durable."""
        watermark, durable = self.processor.watermarks[topic], self._standing.durable
        self._queue.acknowledge([lambda: durable.__setitem__(topic, watermark)])

    async def apply_run(self, topic: Topic, records: Sequence[Record]) -> None:
        """Apply records that follow each other, and queue what becomes of it."""
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
        self._judging.tell_errors()
        name, metrics = self._topics[topic], self._metrics
        self._flood.tell(name, self.processor.inputs.quarantine_budget.places)
        metrics.inputs_applied_total.labels(name).inc(outcome.applied)
        metrics.inputs_duplicate_total.labels(name).inc(outcome.duplicates)
        self._cascade.on_executed(outcome.executed)
        for reason, count in outcome.quarantined.items():
            metrics.quarantined_total.labels(name, reason).inc(count)
        metrics.watermark_offset.labels(name, str(self.shard)).set(self.processor.watermarks[topic])

    def forget(self) -> None:
        """Its next owner tells from now on."""
        told = (
            self._metrics.watermark_offset,
            self._metrics.consumer_lag_records,
            self._metrics.input_uncommitted_records,
            self._metrics.input_transaction_open_seconds,
        )
        for name in self._topics.values():
            for gauge in told:
                gauge.remove(name, str(self.shard))
