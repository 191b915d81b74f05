"""Packed parts of a book. That a book loaded from them decides as brute force does: `Twins.reload` in the tests of both books."""

from collections import deque
from decimal import Decimal

import pytest
from msgspec.structs import replace

from engine.book.columnar_book import ColumnarBook
from engine.book.packed_accounts import PACKED_TOGETHER
from engine.events.effects import AccountRisk, Stream
from engine.ladder import Band, LadderState
from engine.ledger.accounts import AccountState, Position, encode
from tests.engine.book.test_book_equivalence import POLICIES
from tests.support.builders import account

D = Decimal
POLICY = POLICIES[0]
COUNT = 2 * PACKED_TOGETHER + 1


def held(number: int) -> AccountState:
    """Accounts of different shapes: one contract in each of three, and a fourth with none."""
    state = account({"USD": 1000 + number}, name=f"a-{number:05}")
    if number % 4 == 3:
        return state
    symbol = ("A-PERP", "B-PERP", "C-PERP")[number % 3]
    return replace(state, positions={symbol: Position(D(number + 1), D(100))})


def loaded(parts, states=(), risks=(), outdated=()) -> ColumnarBook:
    book = ColumnarBook(POLICY)
    stored, told = [encode(it) for it in states], {it.account: it for it in risks}
    deque(book.load_in_parts(stored, told, [part.data for part in parts], frozenset(outdated)), maxlen=0)
    return book


@pytest.fixture(scope="module")
def states() -> list[AccountState]:
    return [held(number) for number in range(COUNT)]


@pytest.fixture
def book(states) -> ColumnarBook:
    return loaded((), states)


def test_packed_when_loaded_then_every_account_is_there_as_it_was(book, states):
    parts = list(book.packed_in_parts())
    again = loaded(parts)
    assert [part.left_out for part in parts] == [[], [], []]
    assert list(again.accounts()) == [it.account for it in states]
    assert all(again.state(it.account) == it for it in states)
    assert again.state("a-99999") is None
    assert all(again.concerned(it).accounts == book.concerned(it).accounts for it in ("A-PERP", "B-PERP"))


def test_packed_when_an_account_changes_between_two_parts_then_a_later_part_has_it_as_it_is(book, states):
    parts = book.packed_in_parts()
    first = next(parts)
    book.put_all([replace(states[0], balances={"USD": D(7)}), replace(states[-1], balances={"USD": D(8)})])
    book.put(account({"USD": 9}, name="new"))
    again = loaded([first, *parts])
    assert again.state("a-00000") == states[0]
    assert again.state(states[-1].account).balances == {"USD": D(8)}
    assert again.state("new").balances == {"USD": D(9)}


def test_packed_when_an_account_is_well_again_then_its_risk_record_comes_with_it(book, states):
    told = AccountRisk("a-00005", {}, {Stream.MARGIN_EVENTS: 3})
    book.put(states[5], told)
    parts = list(book.packed_in_parts())
    assert parts[0].left_out == []
    again = loaded(parts, risks=[told, AccountRisk("gone", {}, {Stream.MARGIN_EVENTS: 1})])
    assert again.state("a-00005") == states[5]
    assert again.risk("a-00005") == told
    assert again.state("gone") is None


def test_packed_when_an_account_is_not_well_then_it_is_left_out(book, states):
    called = AccountRisk("a-00005", {"": LadderState(Band.MARGIN_CALL)})
    book.put(states[5], called)
    parts = list(book.packed_in_parts())
    assert parts[0].left_out == ["a-00005"]
    assert loaded(parts).state("a-00005") is None
    again = loaded(parts, [states[5]], [called], ["a-00005"])
    assert again.state("a-00005") == states[5]
    assert again.risk("a-00005") == called


def test_packed_when_accounts_are_outdated_then_they_are_taken_from_what_is_stored_once(book, states):
    changed = [replace(it, balances={"USD": D(3)}) for it in (states[1], states[COUNT - 1])]
    again = loaded(book.packed_in_parts(), changed, outdated=[it.account for it in changed] + ["never seen"])
    assert len(list(again.accounts())) == COUNT
    assert all(again.state(it.account) == it for it in (*changed, states[2]))
    with pytest.raises(ValueError, match="'a-00001' is there already"):
        loaded(book.packed_in_parts(), [changed[0]])


def test_packed_when_the_book_is_empty_then_a_book_loaded_from_it_is_empty_too():
    assert list(loaded(loaded(()).packed_in_parts()).accounts()) == []


@pytest.mark.parametrize("data", [b"", b"\x90", b"no such thing"])
def test_packed_when_bytes_are_no_part_then_they_are_refused(data):
    book = ColumnarBook(POLICY)
    with pytest.raises(ValueError):  # noqa: PT011 - whatever the decoder says of them
        deque(book.load_in_parts([], {}, [data]), maxlen=0)


def test_edition_when_the_policy_differs_then_it_differs():
    one, same, other = (ColumnarBook(it).edition for it in (POLICY, POLICY, POLICIES[1]))
    assert one == same != other
