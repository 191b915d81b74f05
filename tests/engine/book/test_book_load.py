"""Filling a book with what is stored. That it then decides as brute force does: `Twins.reload` in the tests of both books."""

from decimal import Decimal

import pytest
from msgspec.structs import replace

from engine.book.account_book import drained
from engine.book.columnar_book import LOADED_TOGETHER, ColumnarBook
from engine.inputs import Mark
from engine.ledger.accounts import AccountState, Position, encode
from tests.engine.book.test_book_equivalence import POLICIES
from tests.support.builders import account
from tests.support.instants import singly

D = Decimal
POLICY = POLICIES[0]
HELD = Position(D(1), D(100))


def test_load_when_an_account_is_there_already_then_it_refuses():
    book = ColumnarBook(POLICY)
    stored = [encode(account({"USD": 1}, name="alice"))]
    book.load(stored, {})
    with pytest.raises(ValueError, match="'alice' is there already"):
        book.load(stored, {})


def test_load_when_there_are_more_accounts_than_are_gathered_then_each_is_there_and_concerned_by_its_marks():
    def held(symbol: str, name: str) -> AccountState:
        return replace(account({"USD": 1000}, name=name), positions={symbol: HELD})

    book, count = ColumnarBook(POLICY), 2 * LOADED_TOGETHER + 1
    symbols = ["A-PERP", "B-PERP", "C-PERP"]
    states = [held(symbols[number % 3], f"a-{number:05}") for number in range(count)]
    book.load([], {})
    book.load(map(encode, states[:10]), {})  # of unknown length
    book.load(list(map(encode, states[10:])), {})
    assert list(book.accounts()) == [state.account for state in states]
    assert all(book.state(state.account) == state for state in states)
    for number, symbol in enumerate(symbols):
        before = book.screened
        drained(book.on_instants(singly([Mark(symbol, D(100), number, 0)])))
        assert book.screened - before == len(states[number::3])
