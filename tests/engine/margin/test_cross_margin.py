from decimal import Decimal

import pytest

from engine.ladder import Band, band_at
from engine.margin.cross.cross_pool import cross_figures
from engine.margin.figures import Figures
from tests.support.builders import account, prices, sample

D = Decimal
INDEX = {"USDT-USD": 1, "BTC-USD": 30_000}
AT = prices({**INDEX, "BTC-PERP": 100, "ETH-PERP": 10})


def figures(state, at=AT, policy=None):
    return cross_figures(state, at, policy or sample())


# 95 % up to 100 coins, 90 % up to 500, 80 % above
@pytest.mark.parametrize(
    ("coins", "value_in_coins"),
    [
        (D("99.9"), D("99.9") * D("0.95")),
        (D(100), 100 * D("0.95")),
        (D(101), 100 * D("0.95") + 1 * D("0.9")),
        (D(500), 100 * D("0.95") + 400 * D("0.9")),
        (D(510), 100 * D("0.95") + 400 * D("0.9") + 10 * D("0.8")),
    ],
)
def test_collateral_when_the_amount_spans_tiers_then_each_part_counts_at_its_own_ratio(coins, value_in_coins):
    assert figures(account({"BTC": coins})).collateral_value == value_in_coins * 30_000
    assert figures(account({"BTC": coins})).equity == coins * 30_000


def test_collateral_when_an_asset_is_negative_then_it_counts_in_full_times_the_liability_factor():
    liable = figures(account({"BTC": -2, "USD": 100_000}))
    assert liable.collateral_value == D(100_000) - 2 * 30_000 * D("1.05")
    assert liable.equity == D(100_000) - 2 * 30_000


def test_collateral_when_one_coin_is_negative_then_another_coins_surplus_is_reduced_by_it():
    # never clamped to zero: 60,000 * 0.95 - 70,000
    assert figures(account({"BTC": 2, "USD": -70_000})).collateral_value == 2 * D("0.95") * 30_000 - 70_000


def test_haircut_when_profit_settles_in_the_same_asset_then_it_applies_to_wallet_plus_profit():
    policy = sample(('index = "USDT-USD"', 'index = "USDT-USD"\ntiers = [{ floor = 0, ratio = 0.9 }]'))
    state = account({"USDT": 1_000}, {"BTC-PERP": (1, 90)})
    # haircut after uPnL: (1,000 + 1 * (100 - 90)) * 0.9
    assert figures(state, policy=policy).collateral_value == (D(1_000) + 10) * D("0.9")


def test_haircut_when_a_loss_is_netted_first_then_only_the_rest_is_cut():
    policy = sample(('index = "USDT-USD"', 'index = "USDT-USD"\ntiers = [{ floor = 0, ratio = 0.9 }]'))
    state = account({"USDT": 1_000}, {"BTC-PERP": (1, 300)})
    assert figures(state, policy=policy).collateral_value == (D(1_000) - 200) * D("0.9")


def test_tiers_when_profit_lifts_the_asset_over_an_edge_then_they_apply_to_the_sum():
    policy = sample(
        (
            'index = "USDT-USD"',
            'index = "USDT-USD"\ntiers = [{ floor = 0, ratio = 1 }, { floor = 1000, ratio = 0.5 }]',
        )
    )
    state = account({"USDT": 990}, {"BTC-PERP": (1, 70)})
    # 990 + 30 = 1,020: 1,000 in full, 20 at half
    assert figures(state, policy=policy).collateral_value == D(1_000) + 20 * D("0.5")


def test_settle_asset_when_it_is_worth_less_than_one_then_pnl_and_requirement_shrink_with_it():
    state = account({"USD": 1_000}, {"BTC-PERP": (10, 90)}, leverage={"BTC-PERP": 5})
    figures_ = figures(state, prices({"USDT-USD": "0.98", "BTC-PERP": 100}))
    assert figures_.equity == D(1_000) + 10 * (100 - 90) * D("0.98")
    assert figures_.maintenance_margin == D("0.05") * 1_000 * D("0.98")
    assert figures_.initial_margin == D(1_000) / 5 * D("0.98")


def test_requirements_when_several_positions_then_they_add_up_and_never_offset():
    state = account({"USDT": 1_000}, {"BTC-PERP": (10, 100), "ETH-PERP": (-50, 10)})
    assert figures(state).maintenance_margin == D("0.05") * 10 * 100 + D("0.05") * 50 * 10
    assert figures(state).initial_margin == D("0.1") * 10 * 100 + D("0.1") * 50 * 10


def test_isolated_when_beside_cross_then_the_pool_does_not_see_it():
    pool = account({"USDT": 1_000}, {"BTC-PERP": (1, 90)})
    both = account({"USDT": 1_000}, {"BTC-PERP": (1, 90)}, {"ETH-PERP": (100, 50, 1)})
    assert figures(both) == figures(pool)


def test_ratio_when_nothing_is_required_then_there_is_none():
    assert figures(account({"USD": 5})).ratio is None
    assert figures(account({"USD": 5})).initial_ratio is None
    assert figures(account({"USD": -5})).ratio is None  # and never "safe because negative"
    assert band_at(figures(account({"USD": -5})), sample().ladder) is Band.BANKRUPT


def test_ratio_when_equity_is_negative_then_it_is_below_every_line_and_the_band_is_bankrupt():
    under = figures(account({"USDT": -500}, {"BTC-PERP": (1, 100)}))
    assert under.ratio == D(-500) / (D("0.05") * 100)
    assert band_at(under, sample().ladder) is Band.BANKRUPT


def test_ratio_when_it_has_endless_digits_then_18_places():
    assert figures(account({"USDT": 10}, {"BTC-PERP": ("0.6", 100)})).ratio == D(
        "3.333333333333333333"
    )  # 10 / 3


def test_available_margin_when_collateral_is_short_of_the_initial_margin_then_zero():
    state = account({"USDT": 5}, {"BTC-PERP": (1, 100)})
    assert figures(state).initial_margin == D("0.1") * 100
    assert figures(state).available_margin == D(0)
    assert figures(state).initial_ratio == D(5) / 10


def test_shown_amounts_when_longer_than_the_default_context_then_nothing_is_rounded():
    # 28 digits is what Decimal keeps by default; these differ in the thirtieth
    long = Figures(
        equity=D(0),
        collateral_value=D("123456789012.000000000000000003"),
        initial_margin=D("0.000000000000000001"),
        maintenance_margin=D("123456789012.000000000000000005"),
        degraded=False,
    )
    assert long.available_margin == D("123456789012.000000000000000002")
    assert long.shortfall(D(1)) == D("0.000000000000000002")
