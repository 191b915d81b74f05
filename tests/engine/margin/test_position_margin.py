from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.margin.position_margin import position_margin
from engine.numbers import exact
from tests.support.builders import position, sample

D = Decimal
POLICY = sample()
MARK = D(100)
TEN = D(10)


def margin_at(notional, *, mark=MARK, leverage=TEN, sign=1):
    """A long (or short) BTC-PERP of this notional at `mark`."""
    with exact():
        held = position(sign * Decimal(notional) / mark, mark)
        return position_margin("BTC-PERP", held, mark, leverage, POLICY)


# tiers: 5 % below 1,000,000; 10 % below 5,000,000; 25 % above; deductions 0, 50,000, 800,000
@pytest.mark.parametrize(
    ("notional", "maintenance"),
    [
        (D("999999.99"), D("0.05") * D("999999.99")),
        (D(1_000_000), D("0.05") * 1_000_000),
        (D("1000000.01"), D("0.10") * D("1000000.01") - 50_000),
        (D("4999999.99"), D("0.10") * D("4999999.99") - 50_000),
        (D(5_000_000), D("0.10") * 5_000_000 - 50_000),
        (D("5000000.01"), D("0.25") * D("5000000.01") - 800_000),
        (D(8_000_000), D("0.05") * 1_000_000 + D("0.10") * 4_000_000 + D("0.25") * 3_000_000),  # marginal
    ],
)
@pytest.mark.parametrize("sign", [1, -1])
def test_maintenance_when_around_a_tier_edge_then_continuous(notional, maintenance, sign):
    assert margin_at(notional, sign=sign).maintenance_margin == maintenance


def test_tier_when_the_notional_is_on_an_edge_then_it_is_the_tier_above(default_policy):
    assert margin_at(1_000_000).maintenance_rate == D("0.1")
    assert margin_at(1_000_000).deduction == D(50_000)
    assert default_policy.deductions["major"][1] == D(300_000) * (D("0.005") - D("0.004"))


@pytest.mark.parametrize(
    ("notional", "leverage", "initial"),
    [
        (50_000, 2, D(50_000) / 2),  # 25,000 > 10 % of 50,000
        (50_000, 10, D("0.1") * 50_000),  # equal
        (50_000, 50, D("0.1") * 50_000),  # 1,000 < 5,000: the tier's rate stands
        (2_000_000, 10, D("0.2") * 2_000_000),  # the higher tier outweighs the leverage
        (2_000_000, 4, D(2_000_000) / 4),
    ],
)
def test_initial_margin_when_by_leverage_or_tier_then_the_larger(notional, leverage, initial):
    assert margin_at(notional, leverage=D(leverage)).initial_margin == initial


def test_initial_margin_when_the_leverage_does_not_divide_evenly_then_18_places_half_even():
    assert margin_at(100, leverage=D(3)).initial_margin == D("33.333333333333333333")


@pytest.mark.parametrize(("quantity", "pnl"), [(2, D(2) * 10 * (7 - 5)), (-2, D(-2) * 10 * (7 - 5))])
def test_unrealised_when_there_is_a_multiplier_then_quantity_times_multiplier_times_the_move(quantity, pnl):
    with exact():
        margin = position_margin("ADA-PERP", position(quantity, 5, 10), D(7), D(10), POLICY)
    assert margin.unrealised_pnl == pnl
    assert margin.notional == D(2) * 10 * 7


notionals = st.decimals(min_value="0.01", max_value=20_000_000, places=2)


@given(notionals, notionals)
def test_maintenance_when_the_notional_grows_then_it_never_falls_and_never_jumps(one, other):
    low, high = sorted((one, other))
    with exact():
        rise = margin_at(high).maintenance_margin - margin_at(low).maintenance_margin
        # between the lowest and the highest marginal rate times the growth: no jump at any edge
        assert D("0.05") * (high - low) <= rise <= D("0.25") * (high - low)


@given(notionals, st.decimals(min_value=1, max_value=125, places=2))
def test_initial_margin_when_at_any_size_and_leverage_then_it_covers_the_maintenance(notional, leverage):
    margin = margin_at(notional, leverage=leverage)
    assert margin.initial_margin >= margin.maintenance_margin > 0
