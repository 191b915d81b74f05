"""The margin ratio as a venue shows it."""

from decimal import Decimal

import pytest

from engine.analytics.display import WORST, shown_initial_ratio, shown_ratio
from engine.margin.figures import Figures
from engine.policy import RatioDisplay

D = Decimal
INVERTED = "maintenance_over_collateral"


def figures(collateral, maintenance, initial=0, fee=0):
    return Figures(D(0), D(collateral), D(initial), D(maintenance), degraded=False, liquidation_fee=D(fee))


def test_shown_ratio_when_the_policy_says_nothing_then_collateral_over_requirement_in_full():
    assert shown_ratio(figures(1000, 300), RatioDisplay()) == D("3.333333333333333333")
    # 1000 / (300 + 100)
    assert shown_ratio(figures(1000, 300, fee=100), RatioDisplay()) == D("2.5")


def test_shown_ratio_when_inverted_then_requirement_over_collateral():
    assert shown_ratio(figures(1000, 300), RatioDisplay(direction=INVERTED)) == D("0.3")
    assert shown_initial_ratio(figures(1000, 300, 450), RatioDisplay(direction=INVERTED)) == D("0.45")


@pytest.mark.parametrize(
    ("rounding", "shown"), [("down", "0.0204"), ("up", "0.0205"), ("half_even", "0.0205")]
)
def test_shown_ratio_when_digits_are_cut_then_as_the_policy_rounds(rounding, shown):
    # 1069.93399838 / 52197.86892104 = 0.020497...
    display = RatioDisplay(direction=INVERTED, digits=4, rounding=rounding)
    assert shown_ratio(figures("52197.86892104", "1069.93399838"), display) == D(shown)


def test_shown_ratio_when_a_hair_below_a_digit_then_rounded_once():
    # (1 - 1e-30) is below 1 however many digits are cut: rounding to 18 first would show 1
    display = RatioDisplay(digits=2, rounding="down")
    almost = D("0." + "9" * 30)
    assert shown_ratio(figures(almost, 1), display) == D("0.99")


def test_shown_ratio_when_nothing_is_required_then_none_in_either_direction():
    for display in (RatioDisplay(), RatioDisplay(direction=INVERTED)):
        assert shown_ratio(figures(1000, 0), display) is None
        assert shown_ratio(figures(-1000, 0), display) is None
        assert shown_initial_ratio(figures(1000, 300, 0), display) is None


def test_shown_ratio_when_the_collateral_is_gone_then_never_a_safe_number():
    assert shown_ratio(figures(-100, 50), RatioDisplay()) == -2
    assert shown_ratio(figures(-100, 50), RatioDisplay(direction=INVERTED)) == WORST
    assert shown_ratio(figures(0, 50), RatioDisplay(direction=INVERTED)) > 1
