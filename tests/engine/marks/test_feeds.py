"""Feeds that begin anew, numbers gone wrong, clocks that step, times in another unit: told, counted, and never for ever."""

from decimal import Decimal

import pytest

from engine.inputs import Mark
from engine.marks.instants import MarksRecord
from engine.marks.mark_book import MarkBook
from engine.marks.notices import NoticeKind
from engine.marks.plausible_times import AHEAD_NS, NOT_RECEIVED_NS, time_fault
from engine.rejections import Rejection, RejectionCode
from tests.support.builders import mark, sample, seconds
from tests.support.instants import offered

SYMBOL = "BTC-PERP"
OLD, LEAP = RejectionCode.OLD_SEQUENCE, RejectionCode.SEQUENCE_UNCONFIRMED
LARGEST = 2**63 - 1
NOW_NS = 1_790_000_000 * 1_000_000_000


def code(book, sequence, at, price=100, received=None, **fields):
    made = Mark(SYMBOL, Decimal(price), sequence, seconds(at), **fields)
    verdict = offered(book, made, seconds(at if received is None else received))
    return verdict.code if isinstance(verdict, Rejection) else None


def fed(sequence=1_000, at=0):
    book = MarkBook(sample())
    assert code(book, sequence, at) is None
    return book


def kinds(book):
    return [notice.kind for notice in book.take_notices()]


@pytest.mark.parametrize("absurd", [LARGEST, 2 * 10**15, 1_000 + 10_000_000_000 + 10**9 + 1])
def test_sequence_when_one_is_absurd_then_it_waits_and_the_feed_goes_on_at_once(absurd):
    book = fed()
    assert code(book, absurd, 1) is LEAP
    assert [code(book, 1_000 + n, 1 + n) for n in (1, 2)] == [None, None]
    assert kinds(book) == []


def test_sequence_when_a_feed_goes_on_far_ahead_then_recognised_and_told():
    book = fed()
    codes = [code(book, 10**15 + n, n) for n in range(1, 5)]
    assert codes == [LEAP, LEAP, None, None]
    assert kinds(book) == [NoticeKind.SEQUENCE_LEAPT]


@pytest.mark.parametrize("absurd", [LARGEST, 1_000_000_000])
def test_sequence_when_an_absurd_one_was_believed_first_then_the_feed_is_recognised(absurd):
    book = fed(absurd)
    assert [code(book, 1_000 + n, n) for n in range(1, 6)] == [OLD, OLD, None, None, None]
    assert kinds(book) == [NoticeKind.FEED_RESTARTED]


def test_sequence_when_an_absurd_one_was_saved_before_a_restart_then_the_feed_is_recognised():
    book = MarkBook(sample())
    book.prime(mark(SYMBOL, 100, LARGEST))
    assert [code(book, 1_000 + n, n) for n in range(1, 5)] == [OLD, OLD, None, None]


def test_prime_when_shards_saved_different_marks_then_the_newest_in_time_counts():
    book = MarkBook(sample())
    for it in (mark(SYMBOL, 100, LARGEST, 1), mark(SYMBOL, 101, 7, 2), mark(SYMBOL, 99, 6, "1.5")):
        book.prime(it)
    assert book.prices.marks[SYMBOL].sequence == 7
    assert code(book, 8, 3) is None


def test_sequence_when_a_feed_restarts_at_one_then_recognised_told_and_goes_on():
    book = fed()
    assert [code(book, n, n) for n in range(1, 6)] == [OLD, OLD, None, None, None]
    assert kinds(book) == [NoticeKind.FEED_RESTARTED]
    assert code(book, 3, 6) is OLD  # and from there sequences count as ever


def test_sequence_when_a_restarted_feed_is_dense_then_its_marks_of_one_moment_count_once():
    book = fed()
    codes = [code(book, n, 1 + Decimal(n) / 100) for n in range(1, 60)]
    assert codes == [OLD] * 50 + [None] * 9


def test_sequence_when_a_restarted_feed_has_another_price_then_both_are_confirmed():
    book = fed()
    codes = [code(book, n, n, price=200) for n in range(1, 8)]
    assert codes == [OLD, OLD, *[RejectionCode.JUMP_UNCONFIRMED] * 2, None, None, None]
    assert kinds(book) == [NoticeKind.FEED_RESTARTED, NoticeKind.JUMP_CONFIRMED]


def test_sequence_when_a_jump_waits_as_the_feed_restarts_then_it_is_confirmed_by_the_new_numbers():
    book = fed()
    assert code(book, 1_001, 1, price=200) is RejectionCode.JUMP_UNCONFIRMED
    codes = [code(book, n, 1 + n, price=200) for n in range(1, 7)]
    assert codes == [OLD, OLD, RejectionCode.JUMP_UNCONFIRMED, RejectionCode.JUMP_UNCONFIRMED, None, None]


def test_sequence_when_marks_are_delivered_late_or_again_then_no_restart_is_seen():
    book = fed(1_000, at=100)
    assert {code(book, n, n, received=100) for n in range(1, 50)} == {OLD}
    assert {code(book, 1_000, 100, received=100 + n) for n in range(10)} == {OLD}
    assert {code(book, 5, 101) for _ in range(10)} == {OLD}  # the same mark, again and again
    assert kinds(book) == []


def test_sequence_when_two_feeds_interleave_then_the_one_ahead_stands():
    book = fed()
    for n in range(1, 50):
        assert code(book, n, n) is OLD
        assert code(book, 1_000 + n, n) is None


def test_sequence_when_low_numbers_do_not_rise_then_no_feed_is_seen():
    book = fed()
    assert {code(book, 100 - n, n) for n in range(1, 50)} == {OLD}


def test_sequence_when_it_is_a_time_then_a_silence_of_a_day_is_no_leap():
    book = fed(seconds(1_790_000_000))
    assert code(book, seconds(1_790_000_000 + 86_400), 86_400) is None


def test_epoch_when_it_rises_then_sequences_begin_anew_at_once_and_it_is_told():
    book = fed()
    assert code(book, 1, 1, epoch=1) is None
    assert code(book, 1_001, 2) is OLD  # of the epoch before
    assert code(book, 2, 3, epoch=1) is None
    assert kinds(book) == [NoticeKind.FEED_EPOCH]


def test_epoch_when_it_is_absurd_then_the_feed_is_recognised_as_a_restart():
    book = fed()
    assert code(book, 1, 1, epoch=LARGEST) is None
    assert [code(book, 1_000 + n, 1 + n) for n in range(1, 5)] == [OLD, OLD, None, None]


def test_epoch_when_a_record_crosses_it_then_the_new_epochs_mark_stands_whatever_the_order():
    for order in (1, -1):
        book = fed()
        marks = (mark(SYMBOL, 101, 1_001, 1), Mark(SYMBOL, Decimal(102), 1, seconds(1), epoch=1))
        instant, refused = book.accept(MarksRecord(marks[::order]), seconds(1))
        assert (refused, [it.price for it in instant.marks]) == ([], [102])


def test_clock_when_a_mark_is_dated_ahead_within_the_tolerance_then_later_ones_are_believed():
    book = fed()
    assert code(book, 1_001, 3, received=1) is None
    assert [code(book, 1_002 + n, 1 + n) for n in range(5)] == [None] * 5
    # and a feed that restarts meanwhile is recognised once time has passed it
    book = fed()
    assert code(book, LARGEST // 2, 3, received=1, epoch=1) is None
    assert [code(book, 1_001 + n, 2 + n) for n in range(5)] == [OLD] * 4 + [None]


def test_clock_when_that_of_receipt_was_ahead_for_a_while_then_the_book_is_set_back_and_told():
    book = fed()
    hour = 3_600
    assert code(book, 1_001, hour) is None
    assert book.advance(seconds(hour + 5)).stale - {SYMBOL} == frozenset(sample().price_symbols) - {SYMBOL}
    assert code(book, 1_002, 10) is None
    assert book.time_ns == seconds(10)
    assert SYMBOL not in book.prices.stale
    assert kinds(book) == [NoticeKind.CLOCK_STEPPED_BACK]
    assert SYMBOL in book.advance(seconds(21)).stale


def test_clock_when_it_is_set_back_then_a_symbol_that_is_silent_since_becomes_stale():
    book = fed()
    assert code(book, 1_001, 3_600) is None
    offered(book, mark("USDT-USD", 1, 1, 10), seconds(10))
    assert SYMBOL not in book.advance(seconds(20)).stale
    assert SYMBOL in book.advance(seconds(21)).stale


@pytest.mark.parametrize("unit", [1_000, 1_000_000, 1_000_000_000, LARGEST])
@pytest.mark.parametrize("received", ["now", "unknown"])
def test_time_when_it_is_in_another_unit_or_of_1970_then_refused_by_a_code(unit, received):
    book = MarkBook(sample())
    assert offered(book, Mark(SYMBOL, Decimal(100), 1, NOW_NS), NOW_NS)
    later_ns = NOW_NS + seconds(1)
    told = offered(
        book,
        Mark(SYMBOL, Decimal(100), 2, later_ns // unit),
        later_ns if received == "now" else NOT_RECEIVED_NS,
    )
    assert told.code is RejectionCode.TIME_IMPLAUSIBLE
    assert offered(book, Mark(SYMBOL, Decimal(100), 3, later_ns), later_ns).sequence == 3


def test_time_when_a_first_mark_is_in_milliseconds_then_the_receipt_tells():
    told = offered(MarkBook(sample()), Mark(SYMBOL, Decimal(100), 1, NOW_NS // 10**6), NOW_NS)
    assert told.code is RejectionCode.TIME_IMPLAUSIBLE


def test_time_when_there_is_no_receipt_then_years_ahead_are_refused_and_days_are_not():
    book = MarkBook(sample())
    assert offered(book, Mark(SYMBOL, Decimal(100), 1, NOW_NS), NOT_RECEIVED_NS)
    for ahead_s, refused in ((86_400, False), (3 * 366 * 86_400, True)):
        told = offered(book, Mark(SYMBOL, Decimal(100), 2, NOW_NS + seconds(ahead_s)), NOT_RECEIVED_NS)
        assert isinstance(told, Rejection) is refused


def test_time_when_all_that_is_known_is_small_then_any_time_is_plausible():
    assert time_fault(0, 0) is None
    assert time_fault(5, seconds(10**6)) is None
    assert time_fault(LARGEST, 0, ahead_ns=AHEAD_NS) is None


@pytest.mark.parametrize(
    ("ahead_ns", "fault"), [(AHEAD_NS, False), (AHEAD_NS + 1, True), (-AHEAD_NS * 5_000, False)]
)
def test_time_when_it_is_a_day_ahead_of_its_log_then_refused(ahead_ns, fault):
    assert (time_fault(NOW_NS + ahead_ns, NOW_NS, ahead_ns=AHEAD_NS) is not None) is fault
