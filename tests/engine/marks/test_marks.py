from decimal import Decimal, localcontext

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.inputs import Mark
from engine.marks.fact_checks import FACTS
from engine.marks.instants import MarksRecord
from engine.marks.mark_book import MarkBook
from engine.marks.notices import NoticeKind
from engine.rejections import Rejection, RejectionCode
from tests.support.builders import mark, sample, seconds
from tests.support.instants import offered as accepted_one

D = Decimal
SYMBOL = "BTC-PERP"


def book_at(price=100, sequence=10, at=0):
    """A mark book that has believed one mark of BTC-PERP."""
    book = MarkBook(sample())
    assert not isinstance(offer(book, price, sequence, at), Rejection)
    return book


def offer(book, price, sequence, at=0, received=None, symbol=SYMBOL):
    """Offer a mark; it is received when it is dated unless said otherwise."""
    offered = mark(symbol, price, sequence, at)
    return accepted_one(book, offered, seconds(at if received is None else received))


def code_of(verdict):
    return verdict.code if isinstance(verdict, Rejection) else None


def test_accept_when_the_first_mark_is_usable_then_it_is_believed():
    book = MarkBook(sample())
    first = mark(SYMBOL, "0.000000000000000001", 0)
    assert accepted_one(book, first, 0) == first
    assert book.prices.marks == {SYMBOL: first}


def test_accept_when_its_amounts_are_padded_with_zeros_then_they_are_taken_by_value():
    book = book_at(price=100)
    padded = msgspec.structs.replace(
        mark(SYMBOL, "101.00000000000000000000", 11), funding_rate=D("0E-20"), average_price=D("101")
    )
    believed = accepted_one(book, padded, 0)
    assert (believed.price, believed.funding_rate) == (101, 0)
    assert believed.price.as_tuple().exponent >= -18
    assert book.prices.marks[SYMBOL] == believed
    assert code_of(accepted_one(book, mark(SYMBOL, "0E-20", 12), 0)) is RejectionCode.NOT_POSITIVE


@pytest.mark.parametrize(
    ("offered", "received", "code"),
    [
        (mark("DOGE", 1), 0, RejectionCode.UNKNOWN_SYMBOL),
        (mark("BTC-USDT", 1), 0, RejectionCode.UNKNOWN_SYMBOL),  # a spot pair has no price of its own
        (mark(SYMBOL, "NaN", 11), 0, RejectionCode.NOT_FINITE),
        (mark(SYMBOL, "Infinity", 11), 0, RejectionCode.NOT_FINITE),
        (mark(SYMBOL, "1E+24", 11), 0, RejectionCode.NOT_FINITE),
        (mark(SYMBOL, "1E-19", 11), 0, RejectionCode.NOT_FINITE),
        (mark(SYMBOL, 0, 11), 0, RejectionCode.NOT_POSITIVE),
        (mark(SYMBOL, "-0", 11), 0, RejectionCode.NOT_POSITIVE),
        (mark(SYMBOL, -100, 11), 0, RejectionCode.NOT_POSITIVE),
        (mark(SYMBOL, 100, 10), 0, RejectionCode.OLD_SEQUENCE),
        (mark(SYMBOL, 100, 9), 0, RejectionCode.OLD_SEQUENCE),
        (mark(SYMBOL, 100, 11, at="2.000000001"), 0, RejectionCode.FUTURE_DATED),
        (mark(SYMBOL, 111, 11), 0, RejectionCode.JUMP_UNCONFIRMED),
        (mark(SYMBOL, 89, 11), 0, RejectionCode.JUMP_UNCONFIRMED),
    ],
)
def test_accept_when_a_check_fails_then_refused_by_its_code_and_no_price_moves(offered, received, code):
    book = book_at()
    before = msgspec.structs.replace(book.prices, marks=dict(book.prices.marks))
    assert code_of(accepted_one(book, offered, seconds(received))) is code
    assert msgspec.structs.replace(book.prices, waiting={}) == before


# every fault of a row is also in the rows above it: the first in the order of the rules is named
@pytest.mark.parametrize(
    ("offered", "code"),
    [
        (mark("DOGE", "NaN", 9, at=100), RejectionCode.UNKNOWN_SYMBOL),
        (mark(SYMBOL, "-Infinity", 9, at=100), RejectionCode.NOT_FINITE),
        (mark(SYMBOL, -500, 9, at=100), RejectionCode.NOT_POSITIVE),
        (mark(SYMBOL, 500, 9, at=100), RejectionCode.OLD_SEQUENCE),
        (mark(SYMBOL, 500, 11, at=100), RejectionCode.FUTURE_DATED),
        (mark(SYMBOL, 500, 11), RejectionCode.JUMP_UNCONFIRMED),
    ],
)
def test_accept_when_several_checks_fail_then_the_first_in_order_is_named(offered, code):
    assert code_of(accepted_one(book_at(), offered, 0)) is code


@pytest.mark.parametrize("price", [110, 90])
def test_jump_when_exactly_at_the_fraction_then_no_jump(price):
    assert code_of(offer(book_at(), price, 11)) is None


def test_jump_when_confirmed_three_times_near_the_first_then_believed():
    book = book_at()
    codes = [code_of(offer(book, price, 11 + i, at=i)) for i, price in enumerate((200, 219, 181))]
    assert codes == [RejectionCode.JUMP_UNCONFIRMED, RejectionCode.JUMP_UNCONFIRMED, None]
    assert book.prices.marks[SYMBOL].price == D(181)


def test_jump_when_a_far_mark_is_not_near_the_first_then_counting_starts_with_it():
    book = book_at()
    codes = [code_of(offer(book, price, 11 + i, at=i)) for i, price in enumerate((200, 50, 51, 52))]
    assert codes == [RejectionCode.JUMP_UNCONFIRMED] * 3 + [None]


def test_jump_when_a_normal_mark_comes_between_then_counting_starts_again():
    book = book_at()
    prices = (200, 200, 101, 200, 200, 200)
    codes = [code_of(offer(book, price, 11 + i, at=i)) for i, price in enumerate(prices)]
    jump = RejectionCode.JUMP_UNCONFIRMED
    assert codes == [jump, jump, None, jump, jump, None]


def test_jump_when_one_far_mark_is_delivered_again_and_again_then_it_confirms_nothing():
    book = book_at()
    codes = {code_of(offer(book, 200, 11, at=i)) for i in range(10)}
    assert codes == {RejectionCode.JUMP_UNCONFIRMED}
    again = [code_of(offer(book, 200, seq, at=seq)) for seq in (12, 13)]
    assert again == [RejectionCode.JUMP_UNCONFIRMED, None]


def test_jump_when_refused_for_another_reason_in_between_then_the_count_stays():
    book = book_at()
    verdicts = [offer(book, price, 11 + i, at=i) for i, price in enumerate((200, 200, -1, 200))]
    assert code_of(verdicts[2]) is RejectionCode.NOT_POSITIVE
    assert code_of(verdicts[3]) is None


def test_stale_when_nothing_was_seen_then_every_price_symbol():
    policy = sample()
    assert MarkBook(policy).prices.stale == frozenset(policy.price_symbols)


def test_stale_when_exactly_at_the_limit_then_fresh_and_just_beyond_it_stale():
    book = book_at(at=100)
    assert SYMBOL not in book.advance(seconds(110)).stale
    assert SYMBOL in book.advance(seconds(110) + 1).stale


def test_stale_when_a_new_mark_comes_then_fresh_again():
    book = book_at(at=100)
    book.advance(seconds(200))
    offer(book, 101, 11, at=200)
    assert SYMBOL not in book.prices.stale


def test_stale_when_only_refused_marks_come_then_it_stays_stale():
    book = book_at(at=0)
    book.advance(seconds(100))
    offer(book, 500, 11, at=100)
    assert SYMBOL in book.prices.stale


def test_stale_when_event_time_comes_from_another_symbols_marks_then_by_the_next_advance():
    book = book_at(at=0)
    offer(book, 1, 1, at=60, symbol="USDT-USD")
    assert book.time_ns == seconds(60)
    assert SYMBOL in book.advance(0).stale  # time never goes back


def test_stale_when_an_accepted_mark_is_dated_long_ago_then_believed_but_stale():
    book = book_at(at=100)
    assert code_of(offer(book, 101, 11, at=80, received=100)) is None  # a newer sequence, 20 s old
    assert SYMBOL in book.prices.stale


@pytest.mark.parametrize(("after", "stale"), [(30, False), (31, True)])
def test_stale_when_the_instrument_has_its_own_limit_then_that_one_counts(after, stale):
    policy = sample(
        (
            "[instruments.BTC-PERP]",
            "[instruments.BTC-PERP]\nprice = { stale_after_seconds = 30, stale_grace_seconds = 0 }",
        )
    )
    book = MarkBook(policy)
    offer(book, 100, 1, at=0)
    assert (SYMBOL in book.advance(seconds(after)).stale) is stale


def test_prime_when_older_than_what_the_book_has_then_nothing_changes():
    book = book_at(price=100, sequence=10)
    book.prime(mark(SYMBOL, 50, 10))
    book.prime(mark("DOGE", 50, 99))
    assert book.prices.marks == {SYMBOL: mark(SYMBOL, 100, 10)}


def test_prime_when_newer_then_it_is_what_later_marks_are_checked_against():
    book = MarkBook(sample())
    book.prime(mark(SYMBOL, 100, 10))
    assert book.prices.marks[SYMBOL].price == D(100)
    assert code_of(offer(book, 100, 10)) is RejectionCode.OLD_SEQUENCE
    assert code_of(offer(book, 200, 11)) is RejectionCode.JUMP_UNCONFIRMED


def test_prime_when_the_mark_is_recent_then_fresh_after_the_next_advance():
    book = MarkBook(sample())
    book.prime(mark(SYMBOL, 100, 10, at=95))
    book.prime(mark("ETH-PERP", 100, 10, at=80))
    assert {SYMBOL, "ETH-PERP"} - book.advance(seconds(100)).stale == {SYMBOL}


def test_prime_when_the_mark_is_fresh_at_the_books_time_then_not_stale_until_it_is():
    """A worker that takes a shard over judges at once, and symbols that are quoted rarely have no newer mark yet."""
    book = MarkBook(sample())
    offer(book, 100, 10, symbol="ETH-PERP", at=100)
    book.prime(mark(SYMBOL, 100, 10, at=99))
    book.prime(mark("BTC-USD", 100, 10, at=50))
    prices = book.prices
    assert SYMBOL not in prices.stale | prices.aged.keys()
    assert "BTC-USD" in prices.stale | prices.aged.keys()
    assert SYMBOL in book.advance(seconds(130)).aged


offers = st.lists(
    st.tuples(st.sampled_from([80, 95, 100, 105, 120, 300]), st.integers(0, 30), st.integers(0, 60)),
    max_size=30,
)


@given(offers)
def test_book_when_offered_anything_then_sequences_only_rise_or_the_feed_restarted_and_refusals_change_nothing(
    stream,
):
    book = MarkBook(sample())
    for price, sequence, at in stream:
        before = book.prices.marks.get(SYMBOL)
        verdict = offer(book, price, sequence, at)
        after = book.prices.marks.get(SYMBOL)
        if isinstance(verdict, Rejection):
            assert after == before
        else:
            assert after == verdict
            restarted = {NoticeKind.FEED_RESTARTED} & {it.kind for it in book.take_notices()}
            assert before is None or (after.sequence > before.sequence) is not bool(restarted)
        assert book.prices.stale == book.advance(0).stale


# Prices at both jump bounds of 100, hair's breadths inside and outside, with more digits than floats have; and odd ones.
near_bounds = st.builds(
    lambda bound, off, exponent: bound + off * D(10) ** -exponent,
    st.sampled_from([D(90), D(100), D(110)]),
    st.integers(-3, 3),
    st.integers(9, 20),
)
odd_prices = st.sampled_from(
    list(
        map(
            D,
            ("NaN", "sNaN", "-Infinity", "Infinity", "0", "-0", "-100", "1E+400", "1E-400", "1E+2", "1E-19"),
        )
    )
)
odd_facts = st.sampled_from(
    [
        {},
        {},
        {},
        {"volatility": D("-1")},
        {"funding_rate": D("-1")},
        {"funding_rate": D("-0.1")},
        {"confidence": D("NaN")},
        {"average_price": D(0)},
        {"volatility": D("10.1")},
        {"confidence": D("1.1")},
        {"open_interest": D("-1")},
        {"open_interest": D("1E+16")},
        {"deposits": D("Infinity")},
        {"borrows": D("1E+19")},
        {"potential_deposits": D(0)},
        {"realisable_share": D("1.01")},
        {"realisable_share": D("0.2")},
    ]
)


@given(st.one_of(near_bounds, odd_prices), odd_facts, st.integers(9, 12), st.integers(-1, 3))
def test_accept_when_a_price_is_near_a_bound_or_odd_then_the_exact_rules_decide(
    price, facts, sequence, ahead
):
    book = book_at(price=100, sequence=10)
    offered = Mark(SYMBOL, price, sequence, seconds(10 + ahead), **facts)
    verdict = accepted_one(book, offered, seconds(10))
    assert code_of(verdict) == rules(offered, D(100), 10, seconds(10))
    assert book.prices.marks[SYMBOL] == (mark(SYMBOL, 100, 10) if code_of(verdict) else offered)


def rules(offered, last_price, last_sequence, received_ns):
    """The rules of the module in their order, exactly, for a symbol whose last mark was at `last_price`."""
    for name in ("price", *FACTS):
        amount = getattr(offered, name)
        if amount is None:
            continue
        if amount.is_finite():
            with localcontext(prec=400):
                # zeros that languages print behind a number say nothing
                amount = amount.normalize() if amount else D(0)
        if not amount.is_finite() or amount.adjusted() >= 24 or amount.as_tuple().exponent < -18:
            return RejectionCode.NOT_FINITE
        if (amount < 0 and name != "funding_rate") or (not amount and name == "price"):
            return RejectionCode.NOT_POSITIVE
    if offered.sequence <= last_sequence:
        return RejectionCode.OLD_SEQUENCE
    if offered.time_ns - received_ns > seconds(2):
        return RejectionCode.FUTURE_DATED
    if (
        offered.volatility
        or offered.confidence
        or offered.average_price is not None
        or offered.funding_rate == -1
        or offered.open_interest
        or offered.borrows
        or (offered.realisable_share or 0) > 1
    ):
        return RejectionCode.FACT_OUT_OF_RANGE
    with localcontext(prec=400):
        far = abs(offered.price - last_price) > D("0.1") * last_price
    return RejectionCode.JUMP_UNCONFIRMED if far else None


def test_accept_when_a_record_has_several_marks_of_a_symbol_then_by_sequence_whatever_their_order():
    book, apart = book_at(), book_at()
    marks = [mark(SYMBOL, price, 11 + number) for number, price in enumerate((105, 105, 108, 130, 110, 109))]
    marks += [mark("DOGE", 1)]
    instant, refused = book.accept(MarksRecord(tuple(reversed(marks))), 0)
    one_by_one = [accepted_one(apart, it, 0) for it in marks]
    # 130 is more than a tenth above 108; what follows is near 108 again, and the last stands
    assert [it.sequence for it in one_by_one if not isinstance(it, Rejection)] == [11, 12, 13, 15, 16]
    assert instant.marks == (one_by_one[-2],)
    assert sorted(it.code for it in refused) == sorted(
        it.code for it in one_by_one if isinstance(it, Rejection)
    )
    assert book.prices.marks == apart.prices.marks
