from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.book.account_book import drained
from engine.book.conflation import conflate
from engine.book.plain_book import PlainBook
from engine.ladder import SEVERITY
from engine.marks.fact_checks import FACTS
from tests.support.builders import account, mark, sample
from tests.support.instants import grouped, singly, together

D = Decimal


def kept(*marks):
    """Which marks each judged instant brings, of marks that came one by one."""
    return [[(it.symbol, it.sequence) for it in instant.marks] for instant in conflate(singly(marks))]


def path(symbol, *prices):
    return [mark(symbol, price, number) for number, price in enumerate(prices, 1)]


def test_conflate_when_prices_swing_then_lowest_highest_and_last_remain_in_order():
    # highest 120 at 2, lowest 70 at 4, last 100 at 6
    assert kept(*path("A", 100, 120, 110, 70, 90, 100)) == [[("A", 2)], [("A", 4)], [("A", 6)]]


def test_conflate_when_symbols_mix_then_each_keeps_its_own_and_the_order_between_them_stays():
    a, b = path("A", 3, 1, 2), path("B", 5, 9, 7)
    mixed = [a[0], b[0], a[1], b[1], b[2], a[2]]
    # A: highest at its 1st, lowest at its 2nd; B: lowest at its 1st, highest at its 2nd; then the last of all, with B's 3rd
    assert kept(*mixed) == [[("A", 1)], [("B", 1)], [("A", 2)], [("B", 2)], [("B", 3), ("A", 3)]]


def test_conflate_when_there_is_nothing_between_then_every_mark_remains():
    instants = singly(path("A", 1, 2))
    assert conflate(instants) == instants
    assert conflate([]) == []


@pytest.mark.parametrize("fact", FACTS)
def test_conflate_when_another_fact_swings_then_its_extremes_remain_too(fact):
    facts = [{}, {fact: 5}, {fact: 9}, {fact: 2}, {fact: 4}, {}]
    marks = [mark("A", 100, number, **it) for number, it in enumerate(facts, 1)]
    # price: lowest and highest at 1, last at 6; the fact: highest at 3, lowest at 4
    assert kept(*marks) == [[("A", 1)], [("A", 3)], [("A", 4)], [("A", 6)]]


@given(st.lists(st.tuples(st.sampled_from("ABC"), st.integers(1, 9)), max_size=60), st.integers(1, 4))
def test_conflate_when_anything_comes_then_only_prices_that_stood_together_are_judged_extremes_among_them(
    ticks, size
):
    instants = grouped([mark(symbol, price, number) for number, (symbol, price) in enumerate(ticks)], size)
    stood, judged = standing(instants), standing(conflate(instants))
    assert all(prices in stood for prices in judged)
    assert judged[-1:] == stood[-1:]
    for symbol in "ABC":
        before = [prices[symbol] for prices in stood if symbol in prices]
        after = [prices[symbol] for prices in judged if symbol in prices]
        assert (min(before, default=0), max(before, default=0)) == (
            min(after, default=0),
            max(after, default=0),
        )


def standing(instants):
    """All prices after each instant."""
    prices, found = {}, []
    for instant in instants:
        prices |= {it.symbol: it.price for it in instant.marks}
        found.append(dict(prices))
    return found


@given(st.lists(st.integers(40, 160), min_size=1, max_size=30), st.sampled_from([-9, -5, -1, 1, 5, 9]))
def test_conflate_when_an_account_holds_one_symbol_then_it_reaches_the_worst_band_it_would_have_reached(
    prices, quantity
):
    ticks = [mark("BTC-PERP", price, number) for number, price in enumerate(prices, 2)]
    instants = singly(ticks)
    assert worst(quantity, conflate(instants)) == worst(quantity, instants)


def worst(quantity, instants):
    """The most severe band that a pool of 200 USDT with contracts entered at 100 is said to be in."""
    book = PlainBook(sample())
    book.put(account({"USDT": 200}, {"BTC-PERP": (quantity, 100)}))
    drained(book.on_instants([together(mark("USDT-USD", 1), mark("BTC-PERP", 100))]))
    events = [event for judgement in drained(book.on_instants(instants)) for event in judgement.events]
    return max((SEVERITY[event.band] for event in events), default=0)
