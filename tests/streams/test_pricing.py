"""The price desk on a real mark book: what it hands on, and when it judges only the extremes of a batch."""

import time
from collections.abc import Sequence
from decimal import Decimal

import msgspec
import pytest

from engine.book.mark_batch import MarkEncoder
from engine.inputs import Mark, MarkBatch
from engine.marks import MarkBook
from streams.metrics import Metrics
from streams.pricing import (
    BATCH_BYTES_MAX,
    BEHIND_BATCHES_MIN,
    BEHIND_MARKS_MIN,
    BEHIND_NS_MAX,
    PriceDesk,
    PriceRecord,
    bounded,
)
from tests.support.builders import sample

SYMBOL = "BTC-PERP"


class Desk:
    """A desk whose judged marks and quarantined records are kept."""

    def __init__(self, *, conflates: bool = False) -> None:
        policy = sample()
        self.metrics = Metrics()
        self.judged: list[Mark] = []
        self.quarantined: list[object] = []
        self.desk = PriceDesk(
            MarkBook(policy),
            MarkEncoder(policy),
            topic="prices",
            quarantine_topic="quarantine",
            judge=self.judged.extend,
            quarantine=self.quarantined.append,
            metrics=self.metrics,
            conflates=conflates,
        )

    def take(self, marks: Sequence[Mark], batches_waiting: int = 0, per_record: int = 1) -> list[int]:
        """Sequences of the marks that are judged."""
        self.judged.clear()
        groups = [tuple(marks[first : first + per_record]) for first in range(0, len(marks), per_record)]
        values = [msgspec.json.encode(it[0] if per_record == 1 else MarkBatch(it)) for it in groups]
        self.desk.on_records(
            [PriceRecord(0, offset, b"k", value) for offset, value in enumerate(values)], batches_waiting
        )
        return [it.sequence for it in self.judged]

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
    assert desk.counted("margin_marks_conflated_total") == 0
    assert desk.counted("margin_marks_accepted_total", symbol=SYMBOL) == BEHIND_MARKS_MIN


def test_desk_when_a_large_batch_is_behind_then_only_its_extremes_and_last_are_judged_and_it_is_counted():
    desk = Desk()
    count = BEHIND_MARKS_MIN
    assert desk.take(swing(count, age_ns=2 * BEHIND_NS_MAX)) == extremes(count)
    assert desk.counted("margin_mark_batches_total", judged="overload") == 1
    assert desk.counted("margin_marks_conflated_total") == count - 2
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


def test_desk_when_the_setting_says_so_then_it_always_conflates():
    desk = Desk(conflates=True)
    assert desk.take(swing(9)) == extremes(9)
    assert desk.counted("margin_mark_batches_total", judged="conflated") == 1
    assert desk.counted("margin_marks_conflated_total") == 7


@pytest.mark.parametrize("per_record", [1, 7])
def test_desk_when_marks_are_refused_then_they_are_counted_and_not_judged(per_record):
    desk = Desk()
    marks = swing(20)
    again = [*marks, marks[3], msgspec.structs.replace(marks[0], symbol="DOGE")]
    assert desk.take(again, per_record=per_record) == [it.sequence for it in marks]
    assert desk.counted("margin_marks_refused_total", reason="old_sequence") == 1
    assert desk.counted("margin_marks_refused_total", reason="unknown_symbol") == 1


def test_desk_when_a_record_is_no_price_then_it_is_quarantined_and_the_rest_is_judged():
    desk = Desk()
    good = [msgspec.json.encode(it) for it in swing(2)]
    values = [good[0], b"{", None, good[1]]
    desk.desk.on_records([PriceRecord(0, offset, b"k", value) for offset, value in enumerate(values)])
    assert [it.sequence for it in desk.judged] == [1, 2]
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
