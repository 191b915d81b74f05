from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.book.conflation import conflate
from engine.book.plain import PlainBook
from engine.ladder import SEVERITY
from tests.support.builders import account, mark, sample

D = Decimal


def kept(*marks):
    return [(it.symbol, it.sequence) for it in conflate(marks)]


def path(symbol, *prices):
    return [mark(symbol, price, number) for number, price in enumerate(prices, 1)]


def test_conflate_when_prices_swing_then_lowest_highest_and_last_remain_in_order():
    # highest 120 at 2, lowest 70 at 4, last 100 at 6
    assert kept(*path("A", 100, 120, 110, 70, 90, 100)) == [("A", 2), ("A", 4), ("A", 6)]


def test_conflate_when_symbols_mix_then_each_keeps_its_own_and_the_order_between_them_stays():
    a, b = path("A", 3, 1, 2), path("B", 5, 9, 7)
    mixed = [a[0], b[0], a[1], b[1], b[2], a[2]]
    assert kept(*mixed) == [("A", 1), ("B", 1), ("A", 2), ("B", 2), ("B", 3), ("A", 3)]


def test_conflate_when_there_is_nothing_between_then_every_mark_remains():
    marks = path("A", 1, 2)
    assert conflate(marks) == marks
    assert conflate([]) == []


@pytest.mark.parametrize("fact", ["volatility", "funding_rate", "average_price", "confidence"])
def test_conflate_when_another_fact_swings_then_its_extremes_remain_too(fact):
    facts = [{}, {fact: 5}, {fact: 9}, {fact: 2}, {fact: 4}, {}]
    marks = [mark("A", 100, number, **it) for number, it in enumerate(facts, 1)]
    # price: lowest and highest at 1, last at 6; the fact: highest at 3, lowest at 4
    assert kept(*marks) == [("A", 1), ("A", 3), ("A", 4), ("A", 6)]


@given(st.lists(st.tuples(st.sampled_from("ABC"), st.integers(1, 9)), max_size=60))
def test_conflate_when_anything_comes_then_extremes_and_last_are_kept_and_at_most_three_a_symbol(ticks):
    marks = [mark(symbol, price, number) for number, (symbol, price) in enumerate(ticks)]
    result = conflate(marks)
    assert [it.sequence for it in result] == sorted({it.sequence for it in result})
    for symbol in "ABC":
        before = [it for it in marks if it.symbol == symbol]
        after = [it for it in result if it.symbol == symbol]
        assert len(after) <= 3
        if before:
            assert after[-1] == before[-1]
            assert min(it.price for it in after) == min(it.price for it in before)
            assert max(it.price for it in after) == max(it.price for it in before)


@given(st.lists(st.integers(40, 160), min_size=1, max_size=30), st.sampled_from([-9, -5, -1, 1, 5, 9]))
def test_conflate_when_an_account_holds_one_symbol_then_it_reaches_the_worst_band_it_would_have_reached(
    prices, quantity
):
    ticks = [mark("BTC-PERP", price, number) for number, price in enumerate(prices, 2)]
    assert worst(quantity, conflate(ticks)) == worst(quantity, ticks)


def worst(quantity, ticks):
    """The most severe band that a pool of 200 USDT with contracts entered at 100 is said to be in."""
    book = PlainBook(sample())
    book.put(account({"USDT": 200}, {"BTC-PERP": (quantity, 100)}))
    book.on_marks([mark("USDT-USD", 1), mark("BTC-PERP", 100)])
    events = [event for judgement in book.on_marks(ticks) for event in judgement.events]
    return max((SEVERITY[event.band] for event in events), default=0)
