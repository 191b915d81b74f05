"""Jumps anchored in time: what a moment may change, what confirms a far price, and what never does."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.inputs import Mark
from engine.marks.instants import MarksRecord
from engine.marks.mark_book import MarkBook
from engine.marks.notices import NoticeKind
from engine.marks.symbol_quote import Quote
from engine.rejections import Rejection, RejectionCode
from tests.support.builders import mark, sample, seconds
from tests.support.instants import offered

D = Decimal
SYMBOL = "BTC-PERP"
START_NS = seconds(1_000)
MS = 1_000_000
# of the sample policy: 0.1, 3 confirmations 250 ms apart, a moment of 500 ms
JUMP = RejectionCode.JUMP_UNCONFIRMED


class Feed:
    """One symbol's feed into a book; times are nanoseconds after the first mark."""

    def __init__(self, price=60_000, symbol=SYMBOL, book=None):
        self.book = book or MarkBook(sample())
        self.symbol, self.sequence = symbol, 0
        assert self.send(price, 0) is None

    def send(self, price, at_ns, **fields):
        """The code of its refusal, None where it is believed."""
        self.sequence += 1
        values = {"sequence": self.sequence, "time_ns": START_NS + at_ns} | fields
        verdict = offered(self.book, Mark(self.symbol, D(price), **values), START_NS + at_ns)
        return verdict.code if isinstance(verdict, Rejection) else None

    @property
    def price(self):
        return self.book.prices.marks[self.symbol].price


def steps(price, factor, count):
    for _ in range(count):
        price = (price * D(factor)).quantize(D("1e-8"))
        yield price


def test_jump_when_a_crash_goes_on_at_every_mark_then_it_confirms_itself():
    feed = Feed()
    codes = [feed.send(price, n * seconds(1)) for n, price in enumerate(steps(D(60_000), "0.89", 30), 1)]
    assert codes == [JUMP, JUMP, None] * 10
    assert feed.price == list(steps(D(60_000), "0.89", 30))[-1]


@pytest.mark.parametrize("apart_ns", [0, 1, 1_000, MS])
@pytest.mark.parametrize("factor", ["0.901", "1.099"])
@pytest.mark.parametrize("silent_s", [0, 1, 3_600])
def test_jump_when_many_small_steps_are_taken_in_a_moment_then_only_one_of_them_is_believed(
    apart_ns, factor, silent_s
):
    feed = Feed()
    codes = [
        feed.send(price, seconds(silent_s) + n * apart_ns)
        for n, price in enumerate(steps(D(60_000), factor, 30), 1)
    ]
    assert codes == [None] + [JUMP] * 29
    assert feed.price == next(steps(D(60_000), factor, 1))


def test_jump_when_steps_go_up_and_down_within_a_moment_then_the_price_stays_about_where_it_was():
    feed = Feed(100)
    for n in range(1, 400):
        feed.send(feed.price * D(("0.92", "1.09", "0.95", "0.91")[n % 4]), n * 1_000)
        assert 90 <= feed.price <= 110


def test_jump_when_it_straddles_two_slots_then_a_moment_still_changes_no_more():
    feed = Feed(100)
    slot_ns = 250 * MS
    for n, price in enumerate((91, 83, 75, 68)):
        feed.send(price, slot_ns - 2 + n)
    assert feed.price == 91


def test_jump_when_a_price_moves_by_less_in_each_moment_then_every_mark_is_believed():
    feed = Feed()
    fall = list(steps(D(60_000), "0.92", 30))
    assert {feed.send(price, n * seconds("0.5")) for n, price in enumerate(fall, 1)} == {None}
    assert feed.price == fall[-1]


@pytest.mark.parametrize("at_ns", [[0, 0, 0, 0], [0, 1, 2, 3], [0, 249 * MS, 249 * MS + 1, 249 * MS + 2]])
def test_jump_when_marks_that_agree_are_not_apart_in_time_then_they_confirm_nothing(at_ns):
    feed = Feed()
    assert {feed.send(50_000, seconds(5) + at) for at in at_ns} == {JUMP}


def test_jump_when_the_same_mark_comes_with_later_times_then_it_confirms_nothing():
    feed = Feed()
    assert {feed.send(50_000, seconds(n), sequence=2) for n in range(1, 10)} == {JUMP}


def test_jump_when_it_comes_after_a_long_silence_and_stays_then_believed_when_confirmed_and_told():
    feed = Feed()
    day = seconds(86_400)
    codes = [feed.send(price, day + n * 250 * MS) for n, price in enumerate((45_000, 45_500, 44_900, 44_800))]
    assert codes == [JUMP, JUMP, None, None]
    (notice,) = feed.book.take_notices()
    assert (notice.kind, notice.symbol) == (NoticeKind.JUMP_CONFIRMED, SYMBOL)
    # and back again in the same way
    back = [feed.send(60_000, day + seconds(1) + n * 250 * MS) for n in range(3)]
    assert back == [JUMP, JUMP, None]


def test_jump_when_far_prices_contradict_each_other_then_none_is_believed():
    feed = Feed()
    prices = (30_000, 90_000, 120_000, 20_000, 150_000, 45_000, 80_000, 30_000)
    assert {feed.send(price, n * seconds(1)) for n, price in enumerate(prices, 1)} == {JUMP}


def test_jump_when_a_dense_feed_jumps_for_good_then_it_is_believed_within_the_confirmations():
    feed = Feed()
    codes = [feed.send(50_000 + n % 7, seconds(1) + n * 10 * MS) for n in range(60)]
    assert codes == [JUMP] * 50 + [None] * 10


def test_jump_when_a_price_stays_that_fell_from_a_peak_of_a_moment_ago_then_no_mark_of_it_is_a_jump():
    feed = Feed(100)
    # up within one slot, down in the next: the peak is the price of a moment ago for a while
    moves = [
        (109, 240),
        (109, 260),
        ("99.5", 300),
        ("90.5", 490),
        ("90.5", 510),
        ("90.5", 600),
        ("90.5", 740),
    ]
    assert {feed.send(price, at_ms * MS) for price, at_ms in moves} == {None}


@pytest.mark.parametrize("count", [2, 50])
def test_jump_when_many_symbols_walk_down_in_a_moment_then_each_is_held(count):
    symbols = [f"S{n}-PERP" for n in range(count)]
    listed = "".join(
        f'\n[instruments.{symbol}]\nkind = "perpetual"\nbase = "BTC"\nsettle = "USDT"\ntiers = "major"\n'
        for symbol in symbols
    )
    book = MarkBook(sample(("[instruments.BTC-USDT]", f"{listed}\n[instruments.BTC-USDT]")))
    book.accept(MarksRecord(tuple(Mark(it, D(100), 1, START_NS) for it in symbols)), START_NS)
    for n in range(1, 30):
        marks = tuple(
            Mark(it, D(100) * D("0.901") ** n // D("1e-9") * D("1e-9"), n + 1, START_NS + n) for it in symbols
        )
        book.accept(MarksRecord(marks), START_NS + n)
    assert {book.prices.marks[it].price for it in symbols} == {D("90.1")}


def test_jump_when_one_mark_is_dated_ahead_then_it_opens_no_way_for_the_next():
    feed = Feed(100)
    assert feed.send(109, 0, time_ns=START_NS + seconds(2)) is None  # within the tolerance
    assert feed.send(118, 1) is JUMP
    assert feed.send(105, 2) is None


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["0.85", "0.905", "0.97", "1", "1.04", "1.09", "1.2"]), st.integers(0, 60 * MS)
        ),
        max_size=60,
    )
)
def test_jump_when_anything_comes_then_unconfirmed_prices_change_by_little_within_half_a_moment(stream):
    feed = Feed(100)
    believed = [(0, D(100))]
    at_ns = 0
    for factor, later_ns in stream:
        at_ns += later_ns
        if feed.send((feed.price * D(factor)).quantize(D("1e-9")), at_ns) is None:
            if feed.book.take_notices():
                believed.clear()  # confirmed: it begins anew
            believed.append((at_ns, feed.price))
    for at, price in believed:
        for later, other in believed:
            if at <= later < at + 250 * MS:
                # both lie within a tenth of one price: at most 1.1 / 0.9 apart
                assert D("0.81") <= other / price <= D("1.23")


def test_jump_when_the_first_mark_is_far_from_the_symbols_reference_then_it_is_confirmed_too():
    policy = sample(("[instruments.BTC-PERP]", '[instruments.BTC-PERP]\nprice = { reference = "BTC-USD" }'))
    for order in (1, -1):
        book = MarkBook(policy)
        marks = (mark("BTC-USD", 50_000, 1), mark(SYMBOL, 500, 1))[::order]
        instant, refused = book.accept(MarksRecord(marks), 0)
        assert [it.symbol for it in instant.marks] == ["BTC-USD"]
        assert [(it.symbol, it.code) for it in refused] == [(SYMBOL, RejectionCode.REFERENCE_UNCONFIRMED)]
        assert offered(book, mark(SYMBOL, 49_000, 2, at=1), seconds(1)) == mark(SYMBOL, 49_000, 2, at=1)
    book = MarkBook(policy)
    assert offered(book, mark("BTC-USD", 50_000, 1), 0)
    codes = [offered(book, mark(SYMBOL, 500, n, at=n), seconds(n)) for n in (1, 2, 3)]
    assert [isinstance(it, Rejection) for it in codes] == [True, True, False]
    # without a price of the reference there is nothing to hold it against
    assert offered(MarkBook(policy), mark(SYMBOL, 500, 1), 0) == mark(SYMBOL, 500, 1)


class ExactOnly(Quote):
    """A quote that takes every mark by the exact checks."""

    __slots__ = ()

    def takes(self, *_):
        return False


moves = st.tuples(
    st.sampled_from(["0.85", "0.9", "0.905", "0.97", "1", "1", "1.04", "1.1", "1.2"]),
    st.integers(-1, 3),  # sequence
    st.sampled_from([0, 1, 40 * MS, 249 * MS, 250 * MS, 600 * MS]),
    st.fixed_dictionaries(
        {},
        optional={
            "volatility": st.sampled_from([D("0.4"), D("0.5"), D("0.75"), D("0.8"), D(80)]),
            "funding_rate": st.sampled_from([D("0.0001"), D("0.0101"), D("-0.02"), D(50)]),
            "average_price": st.sampled_from([D(0), D(90), D(100), D(105), D(700)]),
            "confidence": st.sampled_from([D("0.4"), D("0.99"), D(1), D("1.1")]),
        },
    ),
)


@given(st.lists(moves, max_size=40))
def test_book_when_marks_are_taken_by_float_bounds_then_it_says_what_the_exact_checks_alone_say(stream):
    books = MarkBook(sample()), MarkBook(sample())
    books[1]._quotes = {name: ExactOnly(name, check) for name, check in sample().price_symbols.items()}
    price, sequence, at_ns = D(100), 1, START_NS
    for factor, step, later_ns, facts in stream:
        sequence, at_ns = max(0, sequence + step), at_ns + later_ns
        price = (price * D(factor)).quantize(D("1e-9"))
        made = Mark(SYMBOL, price, sequence, at_ns, **facts)
        told = [book.accept(MarksRecord((made,)), at_ns) for book in books]
        assert told[0] == told[1]
        assert books[0].take_notices() == books[1].take_notices()
        assert books[0].prices == books[1].prices
        if told[0][0] is None:
            price = books[0].prices.marks[SYMBOL].price if books[0].prices.marks else D(100)
