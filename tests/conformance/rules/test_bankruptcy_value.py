from decimal import Decimal, InvalidOperation

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.ledger.accounts import Position
from engine.margin.cross.cross_pool import cross_figures
from tests.conformance.rules.bankruptcy_value import ClosingChange, closing_change, closing_value
from tests.support.builders import account, prices, sample

D = Decimal

CENT = D("0.01")
POLICY = sample()


def test_closing_value_when_the_only_position_is_closed_then_the_pool_ends_at_zero():
    # long worth 5,000 against a debt of 4,600: collateral 400, whatever the requirement
    assert closing_value(D(400), D(250), ClosingChange(D(-5000), D(-250)), CENT) == 4600
    # short worth -5,000 with 5,400 in the wallet
    assert closing_value(D(400), D(250), ClosingChange(D(5000), D(-250)), CENT) == -5400


def test_closing_value_when_half_the_requirement_goes_then_so_does_half_the_collateral():
    # 2,500 - 400 * 125 / 250
    assert closing_value(D(400), D(250), ClosingChange(D(-2500), D(-125)), CENT) == 2500 - 200


def test_closing_value_when_the_pool_owes_then_the_buyer_must_pay_above_the_mark():
    # 2,500 + 400 * 125 / 250
    assert closing_value(D(-400), D(250), ClosingChange(D(-2500), D(-125)), CENT) == 2700


@pytest.mark.parametrize(("value", "least"), [("-10", "9.67"), ("10", "-10.33")])
def test_closing_value_when_it_does_not_divide_then_it_is_rounded_up_on_both_sides(value, least):
    # -value - 1 * 1 / 3 = 9.6666.. and -10.3333..
    assert closing_value(D(1), D(3), ClosingChange(D(value), D(-1)), CENT) == D(least)


def test_closing_value_when_nothing_is_required_then_there_is_no_share_to_take():
    with pytest.raises(InvalidOperation):
        closing_value(D(1), D(0), ClosingChange(D(0), D(0)), CENT)


def test_closing_change_when_a_tier_edge_is_crossed_then_each_part_is_margined_in_its_tier():
    # 30 BTC at 50,000: 0.1 * 1,500,000 - 50,000 = 100,000; 10 BTC: 0.05 * 500,000 = 25,000
    change = closing_change("BTC-PERP", Position(D(30), D(0)), D(-20), D(50_000), D(10), POLICY)
    assert change == ClosingChange(D(-20 * 50_000), D(25_000 - 100_000))


def test_closing_change_when_all_is_closed_then_the_whole_requirement_goes():
    change = closing_change("BTC-PERP", Position(D(-10), D(0)), D(10), D(50_000), D(10), POLICY)
    assert change == ClosingChange(D(500_000), D(-25_000))


@pytest.mark.parametrize("signed", ["-11", "1", "0"])
def test_closing_change_when_it_does_not_reduce_then_it_is_refused(signed):
    with pytest.raises(ValueError, match="do not reduce"):
        closing_change("BTC-PERP", Position(D(10), D(0)), D(signed), D(50_000), D(10), POLICY)


@given(
    wallet=st.integers(-9_000, 9_000),
    held=st.integers(-20, 20).filter(bool),
    other=st.integers(-20, 20),
    share=st.integers(1, 20),
)
def test_closing_value_when_a_part_is_closed_at_it_then_the_ratio_stays(wallet, held, other, share):
    part = (1 if held < 0 else -1) * min(share, abs(held))
    if part == -held and not other:
        return  # nothing is left that could have a ratio
    marks = prices({"BTC-PERP": 1000, "ETH-PERP": 100, "USDT-USD": 1})
    legs = {"BTC-PERP": (held, 900), "ETH-PERP": (other, 110)}
    legs = {symbol: leg for symbol, leg in legs.items() if leg[0]}
    before = cross_figures(account({"USDT": wallet}, legs), marks, POLICY)
    position = account(positions=legs).positions["BTC-PERP"]
    change = closing_change("BTC-PERP", position, D(part), D(1000), D(10), POLICY)
    received = closing_value(before.equity, before.maintenance_margin, change, D("1e-9"))
    # equity after = equity + change of value + received
    equity = before.equity + change.value + received
    requirement = before.maintenance_margin + change.maintenance_margin
    rounding_max = D("1e-9") * before.maintenance_margin
    assert abs(equity * before.maintenance_margin - before.equity * requirement) <= rounding_max
