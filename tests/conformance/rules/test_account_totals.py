"""Accounts known by their totals: figures, available and withdrawable amounts."""

from decimal import Decimal

from engine.policy import Asset, Policy, PoolRules
from tests.conformance.build import buffered_asset
from tests.conformance.rules.account_totals import (
    AccountTotals,
    account_leverage,
    figures_in,
    totals_figures,
    withdrawable,
)
from tests.support.builders import prices

D = Decimal


def test_totals_when_all_parts_are_given_then_option_value_is_equity_and_no_margin_balance():
    totals = AccountTotals(
        balance=D(1000),
        borrowed=D(200),
        interest=D(1),
        realised_pnl=D(-30),
        unrealised_pnl=D(50),
        option_value=D(-7),
        initial_margin=D(100),
        maintenance_margin=D(60),
    )
    figures = totals_figures(totals)
    # 1000 - 200 - 1 - 30 + 50
    assert figures.collateral_value == 819
    # 819 - 7
    assert figures.equity == 812
    # 819 - 100
    assert figures.available_margin == 719
    assert figures.maintenance_margin == 60


def test_withdrawable_when_the_session_gained_then_without_the_gain():
    totals = AccountTotals(balance=D(1000), unrealised_pnl=D(50), realised_pnl=D(-30), initial_margin=D(100))
    # 1000 + 20 - 100, less the 20 that are not settled
    assert withdrawable(totals_figures(totals), totals.unsettled_profit) == 900


def test_withdrawable_when_the_session_lost_then_what_is_available():
    totals = AccountTotals(balance=D(1000), unrealised_pnl=D(-50), initial_margin=D(100))
    assert withdrawable(totals_figures(totals), totals.unsettled_profit) == 850
    assert withdrawable(totals_figures(totals)) == 850


def test_withdrawable_when_only_unsettled_profit_covers_the_margin_then_nothing():
    totals = AccountTotals(balance=D(100), unrealised_pnl=D(500), initial_margin=D(150))
    assert withdrawable(totals_figures(totals), totals.unsettled_profit) == 0


def test_figures_in_when_requirements_count_at_the_ask_then_at_the_ask():
    policy = Policy(
        name="test",
        account_currency="USD",
        assets={"USD": Asset(), "USDT": buffered_asset("USDT-USD", D("0.01"), D("0.005"))},
        instruments={},
        pool=PoolRules(requirement_rate="liability"),
    )
    totals = AccountTotals(
        balance=D("994.95"),
        initial_margin=D("198.99"),
        maintenance_margin=D("99.495"),
        option_value=D("9.9495"),
    )
    in_coins = figures_in("USDT", totals_figures(totals), prices({"USDT-USD": "0.99"}), policy)
    # 994.95 / (0.99 * 1.005), and the others alike
    assert (in_coins.collateral_value, in_coins.equity) == (1000, 1010)
    assert (in_coins.initial_margin, in_coins.maintenance_margin) == (200, 100)
    assert in_coins.available_margin == 800
    assert policy.assets["USDT"].tiers[0].ratio == D("0.99")


def test_account_leverage_when_equity_is_negative_then_negative():
    assert account_leverage([D(300), D(-100)], D(-200)) == -2
