"""A mark book that goes on under another policy."""

from engine.marks.instants import MarksRecord
from engine.marks.mark_book import MarkBook
from engine.rejections import RejectionCode
from tests.support.builders import mark, sample, seconds

POLICY = sample()
LISTED = sample(("[instruments.ETH-PERP]", "[instruments.SOL-PERP]"))
QUICKER = sample(("stale_after_seconds = 10", "stale_after_seconds = 5"))


def offer(book: MarkBook, *marks, at: float) -> list[RejectionCode]:
    _, refused = book.accept(MarksRecord(marks), seconds(at))
    return [it.code for it in refused]


def test_marks_when_another_policy_lists_a_symbol_then_it_is_believed_from_then_on_and_the_others_go_on():
    book = MarkBook(POLICY)
    assert offer(book, mark("BTC-PERP", 50000), mark("ETH-PERP", 3000), mark("SOL-PERP", 150), at=0) == [
        RejectionCode.UNKNOWN_SYMBOL
    ]
    book.rule_by(LISTED)
    assert book.prices.marks.keys() == {"BTC-PERP"}
    assert "SOL-PERP" in book.prices.stale
    assert offer(book, mark("SOL-PERP", 150, 2, 1), at=1) == []
    assert offer(book, mark("ETH-PERP", 3000, 2, 1), at=1) == [RejectionCode.UNKNOWN_SYMBOL]
    assert offer(book, mark("BTC-PERP", 50010, 1, 1), at=1) == [RejectionCode.OLD_SEQUENCE]
    assert book.prices.marks.keys() == {"BTC-PERP", "SOL-PERP"}


def test_marks_when_a_jump_waits_for_confirmation_then_what_was_seen_of_it_still_counts():
    book, jumped = MarkBook(POLICY), []
    offer(book, mark("BTC-PERP", 50000), at=0)
    for number in range(2, 4):
        jumped += offer(book, mark("BTC-PERP", 60000, number, number), at=number)
    book.rule_by(LISTED)
    jumped += offer(book, mark("BTC-PERP", 60000, 4, 4), at=4)
    assert jumped == [RejectionCode.JUMP_UNCONFIRMED] * 2
    assert book.prices.marks["BTC-PERP"].price == 60000


def test_marks_when_the_rules_of_prices_change_then_as_old_as_they_are_by_the_new_ones():
    book = MarkBook(POLICY)
    offer(book, mark("BTC-PERP", 50000), at=0)
    offer(book, mark("BTC-USD", 50000, at=7), at=7)
    assert "BTC-PERP" not in book.prices.aged
    book.rule_by(QUICKER)
    assert "BTC-PERP" in book.prices.aged
    assert "BTC-USD" not in book.prices.aged
    assert (book.time_ns, book.prices.marks["BTC-PERP"].price) == (seconds(7), 50000)
