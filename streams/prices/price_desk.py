"""Prices: read by every worker from all partitions, believed or refused once, judged by every shard.

`price_reader` is the I/O and wakes the agent through a Faust channel; `PriceDesk` is what the agent calls.

Life of a batch
---------------
1. `decode_prices`          raw bytes -> marks, or a rejection and quarantine
2. `PriceIntake.take`       records become instants; each mark is believed or refused, once per worker
3. `conflate`               only if the setting says so, or the desk is behind: then no crossing extreme is lost, but at the
                            instants between nobody is judged, and they are counted. Falling further behind would be worse
4. `InstantEncoder.encode`  into the columns' numbers, once per worker
5. `judge`                  the book of every shard walks the batch, giving way after every slice of what it says
All happens in one `turn`: no price is believed while accounts are judged at the prices before it.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from enum import StrEnum

import structlog

from engine.book.conflation import conflate
from engine.book.instant_batch import EncodedInstants, InstantEncoder
from engine.marks.instants import Instant, MarksRecord
from engine.marks.intake import PriceIntake, Taken
from engine.marks.mark_book import NANOSECONDS
from engine.policy import Policy
from engine.rejections import Rejection
from streams.contract.codec import decode_prices
from streams.contract.commit import OutboxEntry
from streams.contract.quarantine_budget import QuarantineBudget
from streams.contract.quarantine_record import quarantine_entry
from streams.contract.rulings import OneRuling, Rulings
from streams.observe.metrics import Metrics, Stage
from streams.observe.traces import NO_TRACES, Traces
from streams.prices.price_reader import PriceRecord
from streams.prices.symbol_beliefs import SymbolBeliefs

TAKEN_TOGETHER = 400
"""Records decoded and believed, or not, before the event loop has its turn: about 2 ms."""
BEHIND_NS_MAX = NANOSECONDS // 10
"""A large batch whose newest mark is older than this on receipt has waited for the desk: ten times the promised latency."""
BEHIND_MARKS_MIN = 500
"""A smaller batch is judged instant by instant, however old: behind is then the feed, and conflating would gain nothing."""
BEHIND_BATCHES_MIN = 4
"""So many batches waiting in the inbox mean the desk is behind too: some 50 ms of its time."""

_log = structlog.get_logger()


class Judged(StrEnum):
    """At which instants of a batch accounts were judged."""

    EVERY = "every"
    CONFLATED = "conflated"
    """Those of the extremes of each symbol and the last, because the setting says so."""
    OVERLOAD = "overload"
    """The same, because the desk was behind."""


class PriceDesk:
    """Turns raw price records into judgements. One per worker."""

    def __init__(
        self,
        intake: PriceIntake,
        encoder: InstantEncoder,
        *,
        topic: str,
        quarantine_topic: str,
        judge: Callable[[EncodedInstants], Awaitable[None]],
        quarantine: Callable[[OutboxEntry], None],
        metrics: Metrics,
        beliefs: SymbolBeliefs,
        turn: asyncio.Lock,
        conflates: bool = False,
        rulings: Rulings = OneRuling(),  # noqa: B008 - it has no state
        traces: Traces = NO_TRACES,
    ) -> None:
        """`judge` gets instants in order; `quarantine` gets records that are no prices; `beliefs` keeps what is refused.

        `conflates`: always, and not only when behind.
        """
        self._intake, self._encoder, self._judge, self._quarantine = intake, encoder, judge, quarantine
        self._metrics, self._beliefs, self._conflates = metrics, beliefs, conflates
        self._topic, self._quarantine_topic, self._turn = topic, quarantine_topic, turn
        self._rulings = rulings
        self._budget = QuarantineBudget()
        self._traces = traces

    async def on_records(
        self, records: Sequence[PriceRecord], batches_waiting: int = 0, polled_ns: int | None = None
    ) -> None:
        """Take one batch that was polled at `polled_ns` (Unix ns; by default now), behind which `batches_waiting` others wait."""
        await self._rulings.known()
        began = time.perf_counter()
        waited_s = 0.0 if polled_ns is None else (time.time_ns() - polled_ns) / NANOSECONDS
        async with self._turn:
            received_ns = time.time_ns()
            taken = Taken([], [], [])
            for first in range(0, len(records), TAKEN_TOGETHER):
                if first:
                    await asyncio.sleep(0)
                decoded = self._decoded(records[first : first + TAKEN_TOGETHER])
                while (until := self._ruled_until(decoded, received_ns)) is not None:
                    # what comes before another policy is judged by the one before
                    _add(taken, self._intake.take(decoded[:until], received_ns))
                    await self._take(taken, received_ns, batches_waiting)
                    await self._rulings.reach(decoded[until].time_ns)
                    taken, decoded = Taken([], [], []), decoded[until:]
                _add(taken, self._intake.take(decoded, received_ns))
            with self._traces.span("prices.batch", records=len(records), instants=len(taken.instants)):
                await self._take(taken, received_ns, batches_waiting)
        took_s = time.perf_counter() - began
        self._metrics.mark_batch_seconds.observe(took_s)
        if taken.instants:
            newest_ns = max(instant.name.time_ns for instant in taken.instants)
            polled_ns = received_ns if polled_ns is None else polled_ns
            self._metrics.stage_seconds[Stage.RECEIVED].observe((polled_ns - newest_ns) / NANOSECONDS)
            self._metrics.stage_seconds[Stage.JUDGED].observe(waited_s + took_s)

    def _ruled_until(self, decoded: Sequence[MarksRecord], received_ns: int) -> int | None:
        """Place of the first record at whose time another policy is in force; None where there is none. No date far ahead brings one on."""
        latest_ns, begins_by = received_ns + self._intake.ahead_ns, self._rulings.begins_by
        if not decoded or not begins_by(max(it.time_ns for it in decoded)):
            return None
        return next(
            (place for place, it in enumerate(decoded) if it.time_ns <= latest_ns and begins_by(it.time_ns)),
            None,
        )

    async def rule_by(self, policy: Policy) -> None:
        """Believe by another policy from now on; what waits for other partitions is judged by the one before. The caller holds `turn`."""
        now_ns = time.time_ns()
        await self._take(self._intake.rest(now_ns), now_ns, 0)
        self._intake.rule_by(policy)
        self._encoder = InstantEncoder(policy)
        self._beliefs.rule_by(policy)

    def _decoded(self, records: Sequence[PriceRecord]) -> list[MarksRecord]:
        decoded: list[MarksRecord] = []
        for record in records:
            marks = decode_prices(record.value)
            if isinstance(marks, Rejection):
                self._to_quarantine(record, marks)
            else:
                decoded.append(MarksRecord(marks, record.partition, record.offset))
        return decoded

    async def on_time(self) -> None:
        """Judge at the instants that have waited for records of other partitions for long enough."""
        await self._rulings.known()
        async with self._turn:
            now_ns = time.time_ns()
            await self._take(self._intake.due(now_ns), now_ns, 0)

    async def _take(self, taken: Taken, received_ns: int, batches_waiting: int) -> None:
        instants, refused, notices = taken
        if refused:
            self._beliefs.refuse(refused)
            labels = Counter((self._beliefs.label(it.symbol), it.code) for it in refused)
            for (symbol, reason), count in labels.items():
                self._metrics.marks_refused_total.labels(symbol, reason).inc(count)
        for notice in notices:
            self._beliefs.tell(notice)
            self._metrics.price_notices_total.labels(notice.symbol, notice.kind).inc()
            _log.warning(
                notice.kind.value, symbol=notice.symbol, event_time_ns=notice.time_ns, detail=notice.detail
            )
        if not instants:
            return
        marks_count = self._count_believed(instants)
        how = self._how(instants, marks_count, received_ns, batches_waiting)
        judged = instants if how is Judged.EVERY else conflate(instants)
        self._metrics.mark_batches_total.labels(how).inc()
        self._metrics.mark_batch_marks.observe(marks_count)
        self._metrics.instants_conflated_total.inc(len(instants) - len(judged))
        with self._traces.span("judge", instants=len(judged)):
            await self._judge(self._encoder.encode(judged))

    def _how(
        self, instants: Sequence[Instant], marks_count: int, received_ns: int, batches_waiting: int
    ) -> Judged:
        if self._conflates:
            return Judged.CONFLATED
        if batches_waiting >= BEHIND_BATCHES_MIN:
            return Judged.OVERLOAD
        if marks_count < BEHIND_MARKS_MIN:
            return Judged.EVERY
        behind_ns = received_ns - max(instant.name.time_ns for instant in instants)
        return Judged.OVERLOAD if behind_ns > BEHIND_NS_MAX else Judged.EVERY

    def _to_quarantine(self, record: PriceRecord, rejection: Rejection) -> None:
        self._metrics.quarantined_total.labels(self._topic, rejection.code).inc()
        entry = quarantine_entry(
            self._quarantine_topic,
            self._topic,
            record.partition,
            record.offset,
            record.key,
            record.value,
            rejection,
        )
        within = self._budget.within(entry, time.time_ns())
        if within is not entry:
            self._metrics.quarantine_places_total.labels(self._topic).inc()
        self._quarantine(within)

    def _count_believed(self, instants: Sequence[Instant]) -> int:
        """Count the believed marks by symbol; returns how many there are."""
        believed = [mark for instant in instants for mark in instant.marks]
        newest = {mark.symbol: mark.time_ns for mark in believed}
        for symbol, count in Counter([mark.symbol for mark in believed]).items():
            self._metrics.marks_accepted_total.labels(symbol).inc(count)
            self._metrics.mark_event_timestamp_seconds.labels(symbol).set(newest[symbol] / NANOSECONDS)
        return len(believed)


def _add(taken: Taken, part: Taken) -> None:
    taken.instants.extend(part.instants)
    taken.refused.extend(part.refused)
    taken.notices.extend(part.notices)
