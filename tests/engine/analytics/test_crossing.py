"""The search for the price at which a pool is on its line."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.analytics.crossing import PRICE_GRID, crossing
from engine.numbers import divide, exact

D = Decimal


def counted(gap):
    seen = []

    def counting(price):
        seen.append(price)
        return gap(price)

    return counting, seen


def test_crossing_when_the_gap_is_linear_then_exact():
    # 3 * p - 250 = 0 has no end: the first grid price below the line, coming from above
    assert crossing(lambda p: 3 * p - 250, D(100)) == D("83.333333333333333333")
    assert crossing(lambda p: 4 * p - 250, D(100)) == D("62.5")


def test_crossing_when_the_gap_is_linear_then_few_evaluations():
    gap, seen = counted(lambda p: 3 * p - 250)
    crossing(gap, D(100))
    # start, two probes, scan 93.75 87.5 81.25, and a handful to narrow
    assert len(seen) <= 12


def test_crossing_when_the_start_is_on_the_line_then_the_start():
    assert crossing(lambda p: p - 100, D(100)) == 100


def test_crossing_when_the_gap_jumps_then_the_first_price_behind_the_jump():
    def gap(price):
        return D(50) if price < D("123.456") else D(-1000)

    assert crossing(gap, D(100)) == D("123.456")


def test_crossing_when_the_jump_is_below_then_the_first_price_behind_it():
    def gap(price):
        return D(50) if price > D("33.3") else D(-1)

    assert crossing(gap, D(100)) == D("33.3")


def test_crossing_when_the_gap_is_curved_then_the_root():
    # 100000 / p - 1.5 = 0 at 66666.666...
    found = crossing(lambda p: divide(D(100_000), p) - D("1.5"), D(50_000))
    # values are rounded to 18 digits: one of them spans 1e-18 * p * p / 100000 of price
    assert abs(found - divide(D(200_000), D(3))) < D("1e-13")


def test_crossing_when_both_directions_lose_then_the_nearer():
    # a tent: 40 at 100, 0 at 60 and at 120
    assert crossing(lambda p: min(p - 60, 2 * (120 - p)), D(100)) == 120
    assert crossing(lambda p: min(4 * (p - 90), 2 * (120 - p)), D(100)) == 90


def test_crossing_when_only_the_direction_that_gains_ever_loses_then_found_there():
    # gains until 150, then falls to 0 at 250
    assert crossing(lambda p: p - 50 if p <= 150 else 250 - p, D(140)) == 50
    assert crossing(lambda p: p + 50 if p <= 150 else 350 - p, D(140)) == 350


def test_crossing_when_below_the_line_then_the_way_back():
    # the last price that is not above the line
    assert crossing(lambda p: 3 * p - 400, D(100)) == D("133.333333333333333333")
    assert crossing(lambda p: 400 - 3 * p, D(150)) == D("133.333333333333333334")


@pytest.mark.parametrize("constant", [D(5), D(-5)])
def test_crossing_when_the_price_changes_nothing_then_none(constant):
    assert crossing(lambda _: constant, D(100)) is None


def test_crossing_when_only_below_every_price_then_none():
    assert crossing(lambda p: p + 1, D(100)) is None


def test_crossing_when_very_far_away_then_found():
    assert crossing(lambda p: 20_000 - p, D("0.02")) == 20_000  # a million times
    assert crossing(lambda p: 10_000_000_000 - p, D("0.02")) is None  # nobody waits for that
    assert crossing(lambda p: p - D("0.000001"), D(60_000)) == D("0.000001")


def test_crossing_when_the_start_is_the_smallest_price_then_never_asked_at_zero():
    # a coin of an inverse contract divides by the price
    assert crossing(lambda price: D(1) - divide(D("1e-30"), price), PRICE_GRID) is None


def test_crossing_when_the_price_is_zero_then_looked_for_above():
    assert crossing(lambda p: D("0.7") - p, D(0)) == D("0.7")


prices = st.decimals("1", "100000", places=6)  # within the range that is scanned


@given(start=prices, edge=prices, high=prices, low=prices)
def test_crossing_when_there_is_one_then_between_its_neighbours_on_the_grid(start, edge, high, low):
    def gap(price):
        return high * (edge - price) + (high if price < edge else -low)

    found = crossing(gap, start)
    with exact():
        assert gap(found) <= 0 < gap(found - PRICE_GRID)
