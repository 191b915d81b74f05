"""Marks encoded once for all books: which of them repeat, and that every book decides as if it had encoded them itself."""

from decimal import Decimal
from random import Random

import pytest

from engine.book.account_book import drained
from engine.book.columnar_book import ColumnarBook
from engine.book.instant_batch import InstantEncoder
from engine.book.plain_book import PlainBook
from engine.marks.fact_checks import FACTS
from tests.support.builders import account, mark, sample, seconds
from tests.support.instants import at as moment
from tests.support.instants import grouped, singly, together

D = Decimal
POLICY = sample()
SYMBOLS = ("BTC-PERP", "ETH-PERP", "USDT-USD")
START = [mark("BTC-PERP", 100, 1), mark("ETH-PERP", 100, 1), mark("USDT-USD", 1, 1)]


def repeated(batch, state=None, held=()):
    return batch.records_after(state, {it.symbol: it for it in held})["same"].tolist()


def test_encode_when_only_the_sequence_and_time_differ_then_the_mark_repeats_the_one_before():
    encoder = InstantEncoder(POLICY)
    first = encoder.encode(singly([mark("BTC-PERP", 100, 1), mark("BTC-PERP", "100.0", 2, at=1)]))
    assert repeated(first) == [0, 1]
    assert repeated(encoder.encode(singly([mark("BTC-PERP", 100, 3)])), first.leads_to) == [1]


@pytest.mark.parametrize("fact", FACTS)
def test_encode_when_a_fact_differs_at_the_same_price_then_the_mark_repeats_nothing(fact):
    marks = [mark("BTC-PERP", 100, 1), mark("BTC-PERP", 100, 2, **{fact: "0.5"})]
    marks += [mark("BTC-PERP", 100, 3, **{fact: "0.50"}), mark("BTC-PERP", 100, 4)]
    assert repeated(InstantEncoder(POLICY).encode(singly(marks))) == [0, 0, 1, 0]


def test_records_when_the_book_missed_the_batch_before_then_its_own_last_mark_decides():
    encoder = InstantEncoder(POLICY)
    encoder.encode(singly([mark("BTC-PERP", 100, 1)]))
    missed = encoder.encode([together(mark("BTC-PERP", 90, 2), mark("ETH-PERP", 50, 1))])
    batch = encoder.encode(
        singly([mark("BTC-PERP", 90, 3), mark("BTC-PERP", 90, 4), mark("ETH-PERP", 50, 2)])
    )
    assert repeated(batch, missed.leads_to) == [1, 1, 1]
    assert repeated(batch, None, [mark("BTC-PERP", 100, 1), mark("ETH-PERP", 50, 1)]) == [0, 1, 1]
    assert repeated(batch) == [0, 1, 0]
    assert repeated(batch, missed.leads_to) == [1, 1, 1]  # what one book reads changes nothing for the others


def test_books_when_they_share_batches_and_join_late_then_each_decides_as_the_plain_book():
    rng, encoder = Random(7), InstantEncoder(POLICY)
    prices = dict.fromkeys(SYMBOLS, D(100)) | {"USDT-USD": D(1)}
    last = {it.symbol: it for it in START}
    books: list[tuple[ColumnarBook, PlainBook]] = []
    judged = 0
    for tick in range(400):
        if tick % 100 == 0:  # a shard that this worker takes over
            joined = ColumnarBook(POLICY), PlainBook(POLICY)
            for number in range(20):
                held = rng.choice((-1, 1)) * rng.randint(1, 9), 100
                state = account({"USDT": rng.randint(50, 200)}, {"BTC-PERP": held}, name=f"a-{number}")
                for book in joined:
                    book.put(state)
            for book in joined:
                book.prime(list(last.values()), moment(seconds(tick), frozenset()))
            accounts = list(joined[1].accounts())
            assert drained(joined[0].judge(accounts)) == drained(joined[1].judge(accounts))
            books.append(joined)
        marks = []
        for _ in range(rng.randint(1, 5)):
            symbol = rng.choice(SYMBOLS)
            prices[symbol] *= rng.choice((D("0.97"), D(1), D(1), D("1.03")))
            # some marks come so late that they are stale at once
            at = tick - rng.choice((0, 0, 0, 30))
            made = mark(symbol, prices[symbol].quantize(D("0.0001")), tick, at=max(0, at))
            last[symbol] = made
            marks.append(made)
        instants = grouped(marks, rng.randint(1, 3))
        batch = encoder.encode(instants)
        for fast, plain in books:
            exactly = drained(plain.on_instants(instants))
            assert drained(fast.on_instants(batch)) == exactly
            judged += len(exactly)
    assert judged > 50
