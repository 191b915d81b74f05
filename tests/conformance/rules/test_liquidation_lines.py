from decimal import Decimal

import pytest

from tests.conformance.rules.collateral_levels import collateral_levels, margin_call
from tests.conformance.rules.liquidation_lines import asset_rate, early_price, exit_test, reached

D = Decimal


@pytest.mark.parametrize(
    ("collateral", "below", "at_or_below"),
    [("1199", True, True), ("1200", False, True), ("1201", False, False)],
)
def test_line_when_collateral_passes_it_then_only_the_rule_decides_the_line_itself(
    collateral, below, at_or_below
):
    # 1.2 * 1,000 = 1,200
    assert reached(D(collateral), D(1000), D("1.2")) is below
    assert reached(D(collateral), D(1000), D("1.2"), "at_or_below") is at_or_below


def test_exit_when_perpetuals_lose_then_the_loss_and_the_liabilities_count_more():
    test = exit_test(
        deposits=D(1500),
        perpetual_pnl=D(-400),
        requirement=D(1000),
        liability_value=D(10_000),
        buffer=D("0.02"),
    )
    assert test.collateral == 1500 - 400
    assert test.collateral_with_buffer == 1100 - D("0.02") * 400
    assert test.requirement_with_buffer == 1000 + D("0.02") * 10_000
    # 1,100 >= 1,000, but 1,092 < 1,200
    assert (test.meets, test.may_leave) == (True, False)


def test_exit_when_perpetuals_gain_then_the_gain_counts_as_it_is():
    test = exit_test(D(1000), D(400), D(1000), D(10_000), D("0.02"))
    assert test.collateral_with_buffer == 1000 + 400
    # 1,400 >= 1,000 + 0.02 * 10,000
    assert test.may_leave


def test_exit_when_collateral_is_exactly_the_requirement_then_it_is_met():
    test = exit_test(D(1000), D(0), D(1000), D(0), D("0.02"))
    assert (test.meets, test.may_leave) == (True, True)


def test_asset_rate_when_interest_is_due_then_it_is_owed_like_the_loan():
    rate = asset_rate(
        owned=[(D(500), D(1)), (D("0.1"), D(60_000))], owed=[(D("0.1"), D(50_000)), (D(40), D(1))]
    )
    assert rate.assets == 500 + 6000
    assert rate.liabilities == 5000 + 40
    assert rate.rate == D("1.289682539682539683")  # 6,500 / 5,040


def test_asset_rate_when_nothing_is_owed_then_there_is_none():
    assert asset_rate([(D(500), D(1))], []).rate is None


@pytest.mark.parametrize(
    ("entry", "liquidation", "side", "early"),
    [("100", "80", 1, "81"), ("100", "120", -1, "119")],  # 80 + 0.05 * 20;  120 - 0.05 * 20
)
def test_early_price_when_a_buffer_is_kept_then_it_lies_towards_the_entry(entry, liquidation, side, early):
    assert early_price(D(liquidation), D(entry), D("0.05"), side) == D(early)


def test_levels_when_factors_do_not_divide_then_they_are_floored_to_the_step():
    levels = collateral_levels(D(333), D("1.1"), D("1.25"), D("1.5"))
    # 366.3, 416.25, 499.5
    assert (levels.search, levels.initial, levels.release) == (366, 416, 499)
    cents = collateral_levels(D("333.33"), D("1.1"), D("1.25"), D("1.5"), step=D("0.01"))
    # 366.663, 416.6625, 499.995
    assert (cents.search, cents.initial, cents.release) == (D("366.66"), D("416.66"), D("499.99"))


@pytest.mark.parametrize(
    ("balance", "top_up", "excess", "closes_out"),
    [
        (299, 200 * 2 - 299, 0, False),
        (300, 0, 0, False),
        (600, 0, 0, False),
        (601, 0, 601 - 400, False),
        (199, 400 - 199, 0, True),
    ],
)
def test_levels_when_the_balance_leaves_them_then_it_returns_to_the_initial_level(
    balance, top_up, excess, closes_out
):
    levels = collateral_levels(D(200), D("1.5"), D(2), D(3))
    assert levels.top_up(D(balance)) == top_up
    assert levels.excess(D(balance)) == excess
    assert levels.closes_out(D(balance)) is closes_out


@pytest.mark.parametrize(
    ("total", "used", "warning", "call"),
    [
        (1000, 949, False, False),  # 51 > 5 % of 1,000
        (1000, 950, True, False),  # 50 <= 50
        (1000, 1000, False, False),  # nothing remains, but 1,000 <= 1,100: no call, so no warning
        (1000, 1100, False, False),  # 1,100 <= 1,100
        (1000, 1101, True, True),  # 1,101 > 1,100
        (-10, 0, False, False),  # no position, nothing to close
    ],
)
def test_margin_call_when_margin_runs_out_then_it_warns_before_it_calls(total, used, warning, call):
    verdict = margin_call(D(total), D(used), warning_fraction=D("0.05"), buffer=D("0.1"))
    assert (verdict.warning, verdict.call) == (warning, call)
    assert verdict.remaining == total - used
    assert verdict.to_free == (used - total if call else 0)
