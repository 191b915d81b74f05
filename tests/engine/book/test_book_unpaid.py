"""What a book says its pools in liquidation leave unpaid, and that it is brought up to date a few accounts at a time."""

from collections import deque
from decimal import Decimal

import pytest

from engine.book.account_book import drained
from engine.book.columnar_book import ColumnarBook
from engine.book.plain_book import PlainBook
from engine.events.effects import AccountRisk
from engine.ladder import Band
from engine.liquidation.planner import liquidation_plan, takeover_plan
from engine.marks.mark_book import Prices
from tests.support.builders import account, mark, prices, sample, seconds
from tests.support.instants import at, together

D = Decimal
POLICY = sample()
QUOTES = {"BTC-PERP": 100, "ETH-PERP": 10, "BTC-USD": 100, "USDT-USD": 1, "ADA-PERP": 1, "USD-PERP": 1}
BOOKS = pytest.mark.parametrize("make", [PlainBook, ColumnarBook])
ALL = 1_000


def opened(make, *accounts):
    """A book of these accounts, judged at the quotes."""
    book = make(POLICY)
    book.put_all(accounts)
    book.prime([mark(symbol, price) for symbol, price in QUOTES.items()], at(0))
    drained(book.judge_all())
    return book


def fall(book, bitcoin, sequence=2, time=1):
    instant = together(mark("BTC-PERP", bitcoin, sequence, at=time))
    drained(book.on_instants([instant]))


def look(book, accounts_max=ALL):
    """How many accounts were looked at."""
    return len(deque(book.look_at_unpaid(accounts_max)))


def long(name, cash, bitcoin=10):
    return account({"USDT": cash}, {"BTC-PERP": (bitcoin, 100)}, name=name)


@BOOKS
def test_unpaid_when_pools_are_taken_over_then_the_expected_shortfall_by_contract(make):
    both = account({"USDT": 70}, {"BTC-PERP": (10, 100), "ETH-PERP": (-60, 10)}, name="both")
    ring = account({"USDT": 500}, isolated={"BTC-PERP": (10, 100, 80)}, name="ring")
    book = opened(make, long("one", 80), both, ring, long("well", 500))
    fall(book, 90)
    assert look(book) == 3
    # one and ring: 80 - 100 and 1.35 to close 900, 21.35 each; both: 70 - 100 and 2.25 for 1,500, three fifths of 32.25 bitcoin's
    assert book.unpaid == {"BTC-PERP": 2 * D("21.35") + D("19.35"), "ETH-PERP": D("12.9")}


@BOOKS
def test_unpaid_when_a_pool_can_pay_for_its_closing_then_nothing_of_it(make):
    book = opened(make, long("one", 120))
    fall(book, 90)
    # 20 left of a requirement of 45; closing costs 1.35
    assert book.risk("one").pools[""].band is Band.LIQUIDATION
    assert look(book) == 1
    assert book.unpaid == {}


@BOOKS
def test_unpaid_when_one_is_no_more_in_liquidation_then_it_counts_no_more(make):
    book = opened(make, long("one", 80), long("two", 70))
    fall(book, 90)
    assert look(book) == 2
    book.put(account({"USDT": 100}, name="one"))
    drained(book.judge(["one"]))
    drained(book.on_clock(at(seconds(7))))
    drained(book.judge(["one"]))
    assert book.risk("one").pools == {}
    # 70 - 100 - 1.35
    assert book.unpaid == {"BTC-PERP": D("31.35")}
    assert look(book) == 1


@BOOKS
def test_unpaid_when_an_isolated_position_is_gone_and_its_pool_held_still_then_nothing_of_it(make):
    book = opened(make, account({"USDT": 500}, isolated={"BTC-PERP": (10, 100, 80)}, name="ring"))
    fall(book, 90)
    assert look(book) == 1
    assert book.unpaid == {"BTC-PERP": D("21.35")}
    book.put(account({"USDT": 400}, name="ring"))
    drained(book.judge(["ring"]))
    assert book.risk("ring").pools["BTC-PERP"].band is Band.BANKRUPT
    assert look(book) == 1
    assert book.unpaid == {}


@BOOKS
def test_unpaid_when_prices_move_then_those_who_waited_longest_are_brought_up_to_date_and_new_ones_at_once(
    make,
):
    names = ["a", "b", "c"]
    book = opened(make, *(long(name, 80) for name in names), long("new", 180))
    fall(book, 90)
    look(book)
    assert book.unpaid == {"BTC-PERP": 3 * D("21.35")}
    fall(book, "81.5", sequence=3, time=2)
    # the new one, 180 - 185 and 1.2225; and one of the three, 80 - 185 and as much
    assert look(book, 1) == 2
    assert book.unpaid == {"BTC-PERP": 2 * D("21.35") + D("6.2225") + D("106.2225")}
    assert look(book, 1) == look(book, 1) == 1
    assert book.unpaid == {"BTC-PERP": D("6.2225") + 3 * D("106.2225")}


@BOOKS
def test_unpaid_when_loaded_from_the_store_then_whoever_is_in_liquidation_is_new(make):
    before = opened(make, long("one", 80))
    fall(before, 90)
    risk = before.risk("one")
    book = make(POLICY)
    book.put(long("one", 80), risk)
    book.prime([mark(symbol, price, 2, at=1) for symbol, price in {**QUOTES, "BTC-PERP": 90}.items()], at(1))
    assert look(book, 0) == 1
    assert book.unpaid == {"BTC-PERP": D("21.35")}


@BOOKS
def test_unpaid_when_one_leaves_while_the_others_are_looked_at_then_it_is_passed_over(make):
    book = opened(make, long("one", 80), long("two", 80))
    fall(book, 90)
    looking = book.look_at_unpaid(ALL)
    next(looking)
    for name in ("one", "two"):
        book.put(account({"USDT": 100}, name=name), AccountRisk(name))
    assert list(looking) == []
    assert book.unpaid == {}


def test_takeover_when_the_pool_is_bankrupt_then_it_is_its_plan():
    state = account({"USDT": -30, "BTC": 1}, {"BTC-PERP": (10, 110), "ETH-PERP": (-50, 10)})
    view: Prices = prices(QUOTES)
    plan = liquidation_plan(state, "", view, POLICY)
    assert plan.outcome == "takeover"
    assert takeover_plan(state, "", view, POLICY) == plan


@BOOKS
def test_unpaid_when_a_pool_owes_more_than_it_holds_without_a_position_then_of_no_contract(make):
    debt = account({"USDT": -50, "BTC": "0.6"}, name="debt")
    book = opened(make, debt)
    drained(book.on_instants([together(mark("BTC-USD", 40, 2, at=1))]))
    assert book.risk("debt").pools[""].band is Band.BANKRUPT
    assert look(book) == 1
    # 24 of 50
    assert book.unpaid == {"": D(26)}
