from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.liquidation.priority import PoolRisk, compare_risk, worst_first

D = Decimal

amounts = st.integers(-3, 3).map(D)
requirements = st.integers(0, 3).map(D)
pools = st.builds(PoolRisk, amounts, requirements)


def risk(collateral, requirement):
    return PoolRisk(D(collateral), D(requirement))


@pytest.mark.parametrize(
    ("riskier", "safer"),
    [
        (risk(100, 100), risk(200, 100)),
        (risk(100, 100), risk(100, 50)),  # ratio 1 against 2
        (risk(-100, 50), risk(-100, 100)),  # -2 against -1
        (risk(200, 200), risk(100, 100)),  # equal ratios: the larger requirement
        (risk(-5, 0), risk(-100, 100)),  # nothing required, yet owing: no ratio is worse
        (risk(-100, 100), risk(5, 0)),
        (risk(-6, 0), risk(-5, 0)),
    ],
)
def test_risk_when_two_pools_differ_then_the_order_is_strict_both_ways(riskier, safer):
    assert compare_risk(riskier, safer) == 1
    assert compare_risk(safer, riskier) == -1


def test_risk_when_ratios_differ_beyond_a_quotients_digits_then_they_are_still_told_apart():
    a, b = risk(1, 3), PoolRisk(D("0.3333333333333333333"), D(1))
    # 1 * 1 > 0.3333333333333333333 * 3 = 0.9999999999999999999, though both quotients round to the same 18 digits
    assert compare_risk(a, b) == -1


@given(pools, pools, pools)
def test_risk_when_any_three_pools_are_compared_then_it_is_a_total_order(a, b, c):
    assert compare_risk(a, b) == -compare_risk(b, a)
    assert (compare_risk(a, b) == 0) == (a == b)
    if compare_risk(a, b) >= 0 and compare_risk(b, c) >= 0:
        assert compare_risk(a, c) >= 0


def test_worst_first_when_pools_are_equal_then_they_keep_their_order():
    queue = [("a", risk(2, 1)), ("b", risk(1, 1)), ("c", risk(2, 1)), ("d", risk(-1, 1))]
    assert [name for name, _ in worst_first(queue, lambda pool: pool[1])] == ["d", "b", "a", "c"]
