"""The price desk on a real mark book: what it hands on, and when it judges only the extremes of a batch."""

import asyncio
import time
from collections.abc import Sequence
from decimal import Decimal

import msgspec
import pytest

from engine.book.instant_batch import InstantEncoder
from engine.inputs import Mark, MarkBatch
from engine.marks.instants import Instant
from engine.marks.intake import PriceIntake
from engine.marks.mark_book import NANOSECONDS, MarkBook
from streams.observe.metrics import Metrics
from streams.prices.price_desk import (
    BEHIND_BATCHES_MIN,
    BEHIND_MARKS_MIN,
    BEHIND_NS_MAX,
    TAKEN_TOGETHER,
    PriceDesk,
)
from streams.prices.price_reader import BATCH_BYTES_MAX, PriceRecord, bounded
from streams.prices.symbol_beliefs import UNLISTED, SymbolBelief, SymbolBeliefs
from tests.support.builders import sample

SYMBOL = "BTC-PERP"


class Desk:
    """A desk whose judged marks and quarantined records are kept."""

    def __init__(self, *, conflates: bool = False) -> None:
        policy = sample()
        self.metrics = Metrics()
        self.judged: list[Instant] = []
        self.quarantined: list[object] = []
        self.marks = MarkBook(policy)
        self.beliefs = SymbolBeliefs(policy.price_symbols, self.marks)
        self.desk = PriceDesk(
            PriceIntake(policy, self.marks),
            InstantEncoder(policy),
            topic="prices",
            quarantine_topic="quarantine",
            judge=self.judge,
            quarantine=self.quarantined.append,
            metrics=self.metrics,
            beliefs=self.beliefs,
            turn=asyncio.Lock(),
            conflates=conflates,
        )

    async def judge(self, instants: Sequence[Instant]) -> None:
        """As the shards do: gives way between slices."""
        believed = self.marks.prices.marks[SYMBOL]
        for instant in instants:
            self.judged.append(instant)
            await asyncio.sleep(0)
            assert self.marks.prices.marks[SYMBOL] is believed, "no price is believed while others are judged"

    def take(self, marks: Sequence[Mark], batches_waiting: int = 0, per_record: int = 1) -> list[int]:
        """Sequences of the marks that are judged."""
        self.judged.clear()
        groups = [tuple(marks[first : first + per_record]) for first in range(0, len(marks), per_record)]
        values = [msgspec.json.encode(it[0] if per_record == 1 else MarkBatch(it)) for it in groups]
        records = [PriceRecord(0, offset, b"k", value) for offset, value in enumerate(values)]
        asyncio.run(self.desk.on_records(records, batches_waiting))
        return [mark.sequence for instant in self.judged for mark in instant.marks]

    def counted(self, name: str, **labels: str) -> float:
        return self.metrics.registry.get_sample_value(name, labels) or 0.0


def swing(count: int, first: int = 1, age_ns: int = 0) -> list[Mark]:
    """Prices of one symbol that rise to the middle and fall again, below where they began."""
    now_ns = time.time_ns() - age_ns
    half = count // 2
    return [
        Mark(SYMBOL, Decimal(100_000 + (n if n < half else count - 3 - n)) / 1000, first + n, now_ns)
        for n in range(count)
    ]


def extremes(count: int, first: int = 1) -> list[int]:
    """The highest lies where the swing turns (its earliest place), the last is the lowest."""
    prices = [it.price for it in swing(count)]
    return [first + prices.index(max(prices)), first + count - 1]


def test_desk_when_marks_come_in_time_then_every_one_is_judged():
    desk = Desk()
    assert desk.take(swing(BEHIND_MARKS_MIN)) == list(range(1, BEHIND_MARKS_MIN + 1))
    assert desk.counted("margin_mark_batches_total", judged="every") == 1
    assert desk.counted("margin_instants_conflated_total") == 0
    assert desk.counted("margin_marks_accepted_total", symbol=SYMBOL) == BEHIND_MARKS_MIN


def test_desk_when_a_batch_has_waited_since_it_was_polled_then_that_is_of_the_judging_and_not_of_the_receiving():
    desk = Desk()
    now_ns = time.time_ns()
    record = PriceRecord(
        0, 0, b"k", msgspec.json.encode(Mark(SYMBOL, Decimal(100), 1, now_ns - 3_000_000_000))
    )
    asyncio.run(desk.desk.on_records([record], polled_ns=now_ns - 1_000_000_000))
    assert desk.counted("margin_stage_seconds_sum", stage="received") == pytest.approx(2)
    assert 1 <= desk.counted("margin_stage_seconds_sum", stage="judged") < 2


def test_desk_when_a_large_batch_is_behind_then_only_its_extremes_and_last_are_judged_and_it_is_counted():
    desk = Desk()
    count = BEHIND_MARKS_MIN
    assert desk.take(swing(count, age_ns=2 * BEHIND_NS_MAX)) == extremes(count)
    assert desk.counted("margin_mark_batches_total", judged="overload") == 1
    assert desk.counted("margin_instants_conflated_total") == count - 2
    assert desk.counted("margin_marks_accepted_total", symbol=SYMBOL) == count
    # it has caught up: every mark again
    assert desk.take(swing(count, first=count + 1)) == list(range(count + 1, 2 * count + 1))


def test_desk_when_a_small_batch_is_old_then_the_feed_is_late_and_every_mark_is_judged():
    desk = Desk()
    count = BEHIND_MARKS_MIN - 1
    assert len(desk.take(swing(count, age_ns=2 * BEHIND_NS_MAX))) == count
    assert desk.counted("margin_mark_batches_total", judged="overload") == 0


def test_desk_when_batches_pile_up_then_it_conflates_whatever_their_size_and_age():
    desk = Desk()
    assert len(desk.take(swing(9), BEHIND_BATCHES_MIN - 1)) == 9
    assert desk.take(swing(9, first=10), BEHIND_BATCHES_MIN) == extremes(9, first=10)
    assert desk.counted("margin_mark_batches_total", judged="overload") == 1


async def test_desk_when_a_batch_comes_while_another_is_judged_then_it_waits_for_its_turn():
    desk = Desk()
    first, second = (
        [PriceRecord(0, n, b"k", msgspec.json.encode(it)) for n, it in enumerate(swing(10, first=begin))]
        for begin in (1, 11)
    )
    await asyncio.gather(desk.desk.on_records(first), desk.desk.on_time(), desk.desk.on_records(second))
    assert [it.marks[0].sequence for it in desk.judged] == list(range(1, 21))


async def test_desk_when_a_batch_is_large_then_the_loop_has_its_turn_while_its_prices_are_believed():
    desk, beats = Desk(), []
    records = [
        PriceRecord(0, n, b"k", msgspec.json.encode(it)) for n, it in enumerate(swing(3 * TAKEN_TOGETHER))
    ]

    async def beat() -> None:
        while len(desk.judged) == 0:
            beats.append(len(beats))
            await asyncio.sleep(0)

    await asyncio.gather(desk.desk.on_records(records), beat())
    assert len(beats) >= 2
    assert len(desk.judged) == 3 * TAKEN_TOGETHER


def test_desk_when_the_setting_says_so_then_it_always_conflates():
    desk = Desk(conflates=True)
    assert desk.take(swing(9)) == extremes(9)
    assert desk.counted("margin_mark_batches_total", judged="conflated") == 1
    assert desk.counted("margin_instants_conflated_total") == 7


@pytest.mark.parametrize("per_record", [1, 7])
def test_desk_when_marks_are_refused_then_they_are_counted_and_not_judged(per_record):
    desk = Desk()
    marks = swing(20)
    again = [*marks, marks[3], msgspec.structs.replace(marks[0], symbol="DOGE")]
    # of the marks of one record the last of a symbol stands
    stands = [
        marks[min(first + per_record, len(marks)) - 1].sequence for first in range(0, len(marks), per_record)
    ]
    assert desk.take(again, per_record=per_record) == stands
    assert desk.counted("margin_marks_refused_total", symbol=SYMBOL, reason="old_sequence") == 1
    assert desk.counted("margin_marks_refused_total", symbol=UNLISTED, reason="unknown_symbol") == 1


def test_desk_when_marks_are_refused_then_the_newest_of_each_symbol_is_kept_and_the_unlisted_are_one():
    desk = Desk()
    (first,) = swing(1)
    desk.take([first])
    for number in range(500):
        desk.take([msgspec.structs.replace(first, symbol=f"DOGE-{number}")])
    desk.take([first, msgspec.structs.replace(first, price=Decimal("1" * 5_000), sequence=2)])
    kept = {
        symbol: msgspec.json.decode(data, type=SymbolBelief)
        for symbol, data in desk.beliefs.changed().items()
    }
    assert set(kept) == {SYMBOL, UNLISTED}
    assert (kept[UNLISTED].refusal.symbol, kept[UNLISTED].refusal.refused) == ("DOGE-499", 500)
    refusal = kept[SYMBOL].refusal
    assert (refusal.reason, refusal.refused, refusal.sequence, len(refusal.price)) == ("not_finite", 2, 2, 64)
    assert desk.beliefs.changed() == {}
    labels = {it.labels["symbol"] for it in desk.metrics.marks_refused_total.collect()[0].samples}
    assert labels == {SYMBOL, UNLISTED}


def test_desk_when_a_feed_restarts_then_it_is_counted_and_kept_for_people():
    desk = Desk()
    (last,) = swing(1, first=1_000, age_ns=5 * NANOSECONDS)
    desk.take([last])
    for number in range(1, 4):
        later = last.time_ns + number * NANOSECONDS
        judged = desk.take([msgspec.structs.replace(last, sequence=number, time_ns=later)])
    assert judged == [3]
    assert desk.counted("margin_price_notices_total", symbol=SYMBOL, kind="feed_restarted") == 1
    assert (
        msgspec.json.decode(desk.beliefs.changed()[SYMBOL], type=SymbolBelief).notice.kind == "feed_restarted"
    )


def test_desk_when_a_record_is_no_price_then_it_is_quarantined_and_the_rest_is_judged():
    desk = Desk()
    good = [msgspec.json.encode(it) for it in swing(2)]
    values = [good[0], b"{", None, good[1]]
    asyncio.run(
        desk.desk.on_records([PriceRecord(0, offset, b"k", value) for offset, value in enumerate(values)])
    )
    assert [mark.sequence for instant in desk.judged for mark in instant.marks] == [1, 2]
    assert len(desk.quarantined) == 2


@pytest.mark.parametrize(
    ("sizes", "wanted"),
    [
        ([], []),
        ([1, 2, 3], [[1, 2, 3]]),
        ([BATCH_BYTES_MAX, 1], [[BATCH_BYTES_MAX], [1]]),
        ([BATCH_BYTES_MAX - 1, 1, 1], [[BATCH_BYTES_MAX - 1, 1], [1]]),
        ([1, 2 * BATCH_BYTES_MAX, 1], [[1], [2 * BATCH_BYTES_MAX], [1]]),
    ],
)
def test_bounded_when_records_are_many_bytes_then_batches_end_at_the_bound_and_order_stays(sizes, wanted):
    records = [PriceRecord(0, offset, None, b"x" * size) for offset, size in enumerate(sizes)]
    batches = list(bounded(records))
    assert [[len(it.value or b"") for it in batch] for batch in batches] == wanted
    assert [it for batch in batches for it in batch] == records
