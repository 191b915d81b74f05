"""Quantities in lots, and the search for the least that is enough."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.liquidation.lots import least, lot_of, lots_to_cover

D = Decimal


@pytest.mark.parametrize(
    ("amount", "lot", "count"), [("1.25", "0.1", 13), ("1.2", "0.1", 12), ("0.01", "0.1", 1), ("0", "0.1", 0)]
)
def test_lots_when_an_amount_does_not_divide_then_one_more_covers_it(amount, lot, count):
    assert lots_to_cover(D(amount), D(lot)) == count


def test_lots_when_none_are_known_then_of_the_finest_amount():
    assert lots_to_cover(D(2), lot_of(D(0))) == 2 * 10**18


class Curve:
    """Gap by count, linear between corners; it counts how often it is asked."""

    def __init__(self, corners):
        self.corners, self.asked = corners, 0

    def __call__(self, count):
        self.asked += 1
        for (x, y), (z, w) in zip(self.corners, self.corners[1:], strict=False):
            if count <= z:
                gap = D(y) + (D(w) - D(y)) * (count - x) / D(z - x)
                return gap, gap >= 0
        raise AssertionError(count)


def test_least_when_linear_then_two_questions_are_enough_however_fine_the_lots():
    whole = 4 * 10**18
    curve = Curve([(0, -3), (whole, 1)])
    # -3 + 4 * n / whole >= 0
    assert least(curve, 0, D(-3), whole, D(1)) == 3 * 10**18
    assert curve.asked == 2


@given(
    whole=st.integers(1, 10**6),
    bends=st.lists(st.tuples(st.integers(1, 10**6), st.integers(1, 10**6)), max_size=4),
    missing=st.integers(1, 10**6),
)
def test_least_when_the_gap_rises_then_the_first_count_that_reaches(whole, bends, missing):
    xs = sorted({0, whole, *(x % whole for x, _ in bends)})
    gap, corners = D(-missing), []
    for x, (_, rise) in zip(xs, [(0, 0), *bends, (0, missing), (0, missing)], strict=False):
        gap += rise
        corners.append((x, gap))
    corners[-1] = (corners[-1][0], max(gap, D(0)))
    curve = Curve(corners)
    if corners[0][1] >= 0:
        return
    with_digits = least(curve, 0, corners[0][1], whole, corners[-1][1])
    assert curve(with_digits)[1]
    assert with_digits == 1 or not curve(with_digits - 1)[1]


@given(reaching=st.sets(st.integers(1, 60)), whole=st.integers(61, 80))
def test_least_when_the_gap_jumps_up_and_down_then_a_count_that_reaches_above_one_that_does_not(
    reaching, whole
):
    def probe(count):
        reached = count in reaching or count == whole
        return D(1) if reached else D(-1), reached

    found = least(probe, 0, D(-1), whole, D(1))
    assert probe(found)[1]
    assert found == 1 or not probe(found - 1)[1]
