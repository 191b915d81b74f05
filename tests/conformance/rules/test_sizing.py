from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from tests.conformance.rules.sizing import freed_per_unit, quantity_above, quantity_to_cover, value_to_sell

D = Decimal

STEP = D("0.001")


def test_freed_per_unit_when_fees_are_charged_then_they_reduce_what_closing_frees():
    # 200 * 0.5 * (0.1 - 0.02) - 200 * 0.01
    assert freed_per_unit(D(200), D("0.5"), D("0.1"), D("0.02"), D("0.01")) == 8 - 2


def test_quantity_to_cover_when_it_does_not_divide_then_it_is_truncated_to_the_step():
    assert quantity_to_cover(D(10), D(3), STEP) == D("3.333")
    assert quantity_to_cover(D(9), D(3), STEP) == D(3)


def test_quantity_to_cover_when_closing_frees_nothing_then_only_the_whole_position_helps():
    assert quantity_to_cover(D(10), D(0), STEP) is None
    assert quantity_to_cover(D(10), D(-1), STEP) is None


def test_quantity_to_cover_when_nothing_is_short_then_nothing_is_closed():
    assert quantity_to_cover(D(-10), D(3), STEP) == 0


@given(st.decimals("0.01", "1e9", places=2), st.decimals("0.01", "1e6", places=2))
def test_quantity_to_cover_when_any_shortage_is_sized_then_one_step_more_covers_it(shortage, freed):
    quantity = quantity_to_cover(shortage, freed, STEP)
    assert quantity * freed <= shortage < (quantity + STEP) * freed


def test_quantity_above_when_either_side_is_too_large_then_the_rest_is_cut_at_once():
    assert quantity_above(D(9000), D(5000)) == 4000
    assert quantity_above(D(-9000), D(5000)) == 4000
    assert quantity_above(D(5000), D(5000)) == 0


def test_value_to_sell_when_the_sale_credits_a_share_then_more_than_the_deficit_is_sold():
    assert value_to_sell(D(9500), D("0.95")) == 10_000
