"""The totals of a book in parts: what a caller adds up, giving way between two parts."""

from decimal import Decimal

import pytest

from engine.book import columnar_book
from engine.book.account_book import drained
from engine.book.columnar_book import ColumnarBook
from engine.book.plain_book import PlainBook
from tests.support.builders import account, mark, sample
from tests.support.instants import at as moment

EDGES = [Decimal("1.05"), Decimal(5)]


def filled(book, accounts):
    book.prime([mark("USDT-USD", 1), mark("BTC-PERP", 100)], moment(0, frozenset()))
    for number in range(accounts):
        held = {"BTC-PERP": (number % 3, 100)} if number % 3 else {}
        book.put(account({"USDT": 10 * number + 1}, held, name=f"a-{number}"))
    drained(book.judge(list(book.accounts())))
    return book


@pytest.mark.parametrize("accounts", [0, 1, 6, 7, 20])
def test_totals_in_parts_when_added_up_then_they_are_the_totals(accounts, monkeypatch):
    monkeypatch.setattr(columnar_book, "PART_ACCOUNTS", 7)
    book = filled(ColumnarBook(sample()), accounts)
    parts, whole = list(book.totals_in_parts(EDGES)), book.totals(EDGES)
    assert len(parts) == max(1, -(-accounts // 7))
    assert sum(it.equity for it in parts) == pytest.approx(whole.equity)
    assert sum(it.maintenance_margin for it in parts) == pytest.approx(whole.maintenance_margin)
    for edge in EDGES:
        assert sum(it.accounts_below_ratio[edge] for it in parts) == whole.accounts_below_ratio[edge]
    bands = {band for it in parts for band in it.accounts_by_band}
    added = {band: sum(it.accounts_by_band.get(band, 0) for it in parts) for band in bands}
    assert added == whole.accounts_by_band
    plain = filled(PlainBook(sample()), accounts)
    assert added == plain.totals(EDGES).accounts_by_band


def test_totals_in_parts_when_accounts_come_between_two_parts_then_the_rest_is_still_summed(monkeypatch):
    monkeypatch.setattr(columnar_book, "PART_ACCOUNTS", 7)
    book = filled(ColumnarBook(sample()), 14)
    parts = book.totals_in_parts([])
    first = next(parts)
    for number in range(200):  # enough for the columns to grow
        book.put(account({"USDT": 1}, name=f"late-{number}"))
    counted = sum(first.accounts_by_band.values()) + sum(sum(it.accounts_by_band.values()) for it in parts)
    assert counted >= 14
