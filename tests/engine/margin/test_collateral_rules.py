"""What coins are worth as collateral under every rule of `Asset` and `PoolRules`, and what owing them costs."""

from decimal import Decimal

import msgspec
import pytest

from engine.margin.cross.cross_pool import cross_figures
from engine.numbers import divide
from engine.policy import BorrowTier, CollateralTier
from tests.support.builders import mark, prices
from tests.support.wide import holding, wide, with_pool

D = Decimal
POLICY = wide()
QUOTES = {"USDT-USD": 1, "BTC-USD": 50_000}


def ruled(policy=POLICY, asset="BTC", **rules):
    """The same policy with rules of one asset set."""
    changed = msgspec.structs.replace(policy.assets[asset], **rules)
    return msgspec.structs.replace(policy, assets={**policy.assets, asset: changed})


def steps(*pairs):
    return tuple(CollateralTier(floor=D(floor), ratio=D(ratio)) for floor, ratio in pairs)


def figures(policy, balances, positions=None, quotes=QUOTES, **fields):
    return cross_figures(holding(policy, balances, positions, **fields), prices(quotes), policy)


def value(policy, balances, **others):
    return figures(policy, balances, **others).collateral_value


# tiers, caps, switches


@pytest.mark.parametrize(
    ("coins", "expected"),
    [
        (2, D("0.95") * 100_000),
        (3, D("0.95") * 100_000 + D("0.5") * 50_000),
        (6, D("0.95") * 100_000 + D("0.5") * 100_000 + D(0) * 100_000),
    ],
)
def test_tiers_when_by_value_then_floors_count_account_currency(coins, expected):
    policy = ruled(tiers=steps((0, "0.95"), (100_000, "0.5"), (200_000, 0)), tiers_by="value")
    assert value(policy, {"BTC": coins}) == expected


def test_tiers_when_by_value_then_the_same_coins_reach_higher_tiers_as_the_price_rises():
    policy = ruled(tiers=steps((0, 1), (100_000, "0.5")), tiers_by="value")
    assert value(policy, {"BTC": 2}, quotes={"BTC-USD": 50_000}) == D(100_000)
    assert value(policy, {"BTC": 2}, quotes={"BTC-USD": 80_000}) == D(100_000) + D("0.5") * 60_000


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        ({"cap": D(2)}, D(2) * 50_000 * D("0.95")),
        ({"cap": D(0)}, D(0)),
        ({"cap": D(60_000), "tiers_by": "value"}, D(100) * D("0.95") + (D(60_000) - 100) * D("0.8")),
    ],
)
def test_cap_when_reached_then_what_is_above_counts_nothing(rules, expected):
    tiers = steps((0, "0.95"), (100, "0.8")) if "tiers_by" in rules else POLICY.assets["BTC"].tiers
    assert value(ruled(tiers=tiers, **rules), {"BTC": 3}) == expected


def test_cap_when_the_coin_is_owed_then_all_of_it_counts():
    assert value(ruled(cap=D(1)), {"BTC": -3, "USD": 200_000}) == D(200_000) - 3 * 50_000 * D("1.05")


def test_collateral_when_the_policy_switches_an_asset_off_then_it_counts_only_as_equity_and_as_a_liability():
    policy = ruled(collateral=False)
    assert value(policy, {"BTC": 3, "USD": 7}) == D(7)
    assert figures(policy, {"BTC": 3, "USD": 7}).equity == D(3) * 50_000 + 7
    assert value(policy, {"BTC": -1, "USD": 60_000}) == D(60_000) - 50_000 * D("1.05")


def test_collateral_when_the_account_switches_an_asset_off_then_the_same_for_it_alone():
    assert value(POLICY, {"BTC": 3, "USD": 7}, collateral_off=("BTC",)) == D(7)
    assert value(POLICY, {"BTC": 3, "USD": 7}, collateral_off=("USDT",)) == D(3) * 50_000 * D("0.95") + 7
    owed = value(POLICY, {"BTC": -1, "USD": 60_000}, collateral_off=("BTC",))
    assert owed == D(60_000) - 50_000 * D("1.05")


# liabilities


BORROW = (
    BorrowTier(floor=D(0), initial_rate=D("0.1"), maintenance_rate=D("0.05")),
    BorrowTier(floor=D(2), initial_rate=D("0.3"), maintenance_rate=D("0.2")),
)


@pytest.mark.parametrize(
    ("owed", "initial", "maintenance"),
    [
        (1, D("0.1") * 1, D("0.05") * 1),
        (2, D("0.1") * 2, D("0.05") * 2),
        (5, D("0.1") * 2 + D("0.3") * 3, D("0.05") * 2 + D("0.2") * 3),
    ],
)
def test_borrow_margin_when_coins_are_owed_then_each_tier_requires_its_rate_in_both_margins(
    owed, initial, maintenance
):
    borrowed = figures(ruled(borrow_tiers=BORROW), {"BTC": -owed, "USD": 1_000_000})
    assert borrowed.initial_margin == initial * 50_000
    assert borrowed.maintenance_margin == maintenance * 50_000
    assert borrowed.collateral_value == D(1_000_000) - owed * 50_000 * D("1.05")


def test_borrow_margin_when_a_profit_covers_the_debt_then_nothing_is_owed():
    policy = ruled(asset="USDT", borrow_tiers=BORROW)
    # -1,000 + 1 * (50,000 - 48,000) = +1,000
    covered = figures(policy, {"USDT": -1_000, "USD": 9_000}, {"BTC-PERP": (1, 48_000)},
                      {**QUOTES, "BTC-PERP": 50_000})  # fmt: skip
    assert covered.maintenance_margin == D("0.05") * 50_000
    # -1,000 + 1 * (50,000 - 50,500) = -1,500: 2 coins in the first tier, 1,498 above
    owing = figures(policy, {"USDT": -1_000, "USD": 9_000}, {"BTC-PERP": (1, 50_500)},
                    {**QUOTES, "BTC-PERP": 50_000})  # fmt: skip
    assert owing.maintenance_margin == D("0.05") * 50_000 + D("0.05") * 2 + D("0.2") * 1_498


def test_liabilities_when_they_count_as_a_requirement_then_they_leave_the_collateral_whole():
    balances = {"BTC": -1, "USD": 100_000}
    owed = 50_000 * D("1.05")
    lowered = figures(POLICY, balances)
    required = figures(with_pool(POLICY, liabilities="requirement"), balances)
    assert (lowered.collateral_value, lowered.maintenance_margin) == (D(100_000) - owed, 0)
    assert (required.collateral_value, required.maintenance_margin) == (D(100_000), owed)
    assert required.initial_margin == owed
    assert required.available_margin == lowered.available_margin == D(100_000) - owed
    assert required.equity == lowered.equity == D(100_000) - 50_000


def test_requirement_when_at_the_liability_rate_then_it_converts_as_if_its_settle_asset_were_owed():
    policy = ruled(asset="USDT", liability_factor=D("1.02"))
    quotes = {**QUOTES, "USDT-USD": "0.99", "BTC-PERP": 50_000}
    held = ({"USD": 9_000}, {"BTC-PERP": (1, 50_000)}, quotes)
    assert figures(policy, *held).maintenance_margin == D("0.05") * 50_000 * D("0.99")
    dear = figures(with_pool(policy, requirement_rate="liability"), *held)
    assert dear.maintenance_margin == D("0.05") * 50_000 * D("0.99") * D("1.02")
    assert dear.initial_margin == D("0.1") * 50_000 * D("0.99") * D("1.02")


def test_negative_coin_when_another_coin_is_plenty_then_it_is_never_clamped_to_zero():
    loss = figures(POLICY, {"BTC": 1, "USD": 500_000}, {"BTC-INV": (-1_500, 25_000)},
                   {**QUOTES, "BTC-INV": 50_000})  # fmt: skip
    # short 150,000 USD from 25,000 to 50,000: 150,000 * (1 / 50,000 - 1 / 25,000) = 3 - 6 = -3 BTC, of which 1 is covered
    assert loss.equity == D(500_000) + (D(1) - 3) * 50_000
    assert loss.collateral_value == D(500_000) - 2 * 50_000 * D("1.05")


# haircuts on wallet or equity


def haircut(policy, entry, balances=None):
    policy = ruled(policy, "USDT", tiers=steps((0, "0.9")), liability_factor=D("1.1"))
    quotes = {**QUOTES, "USDT-USD": "0.99", "BTC-PERP": 50_000}
    return value(
        policy, {"USDT": 10_000} if balances is None else balances,
        positions={"BTC-PERP": (1, entry)}, quotes=quotes,
    )  # fmt: skip


WALLET = with_pool(POLICY, haircut_on="wallet")


@pytest.mark.parametrize(
    ("entry", "on_equity", "on_wallet"),
    [
        (48_000, (10_000 + 2_000) * D("0.9") * D("0.99"), (10_000 * D("0.9") + 2_000) * D("0.99")),
        (52_000, (10_000 - 2_000) * D("0.9") * D("0.99"), (10_000 * D("0.9") - 2_000) * D("0.99")),
        # a loss above the wallet: owed at 110 %, or deducted at the index
        (62_000, (10_000 - 12_000) * D("1.1") * D("0.99"), (10_000 * D("0.9") - 12_000) * D("0.99")),
    ],
)
def test_haircut_when_on_equity_or_on_the_wallet_then_profit_and_loss_are_cut_or_whole(
    entry, on_equity, on_wallet
):
    assert haircut(POLICY, entry) == on_equity
    assert haircut(WALLET, entry) == on_wallet


def test_haircut_when_on_the_wallet_and_the_index_is_stale_then_profit_counts_no_more_than_coins():
    quotes = {"USDT-USD": "0.99", "BTC-USD": 50_000, "BTC-PERP": 50_000}
    for entry, expected in ((48_000, D(0)), (52_000, D(-2_000) * D("0.99"))):
        state = holding(WALLET, {"USDT": 10_000}, {"BTC-PERP": (1, entry)})
        stale = cross_figures(state, prices(quotes, stale=["USDT-USD"]), WALLET)
        assert stale.collateral_value == expected
        assert stale.degraded


# prices


def test_conservative_price_when_the_average_differs_then_assets_take_the_lower_and_liabilities_the_higher():
    policy = with_pool(POLICY, conservative_price=True)
    for average, lower, higher in ((48_000, 48_000, 50_000), (52_000, 50_000, 52_000)):
        quotes = {"USDT-USD": 1, "BTC-USD": mark("BTC-USD", 50_000, average_price=average)}
        assert value(policy, {"BTC": 2}, quotes=quotes) == 2 * D("0.95") * lower
        owed = figures(policy, {"BTC": -2, "USD": 200_000}, quotes=quotes)
        assert owed.collateral_value == D(200_000) - 2 * D("1.05") * higher
        assert owed.equity == D(200_000) - 2 * 50_000  # equity is at the index
        assert value(POLICY, {"BTC": 2}, quotes=quotes) == 2 * D("0.95") * 50_000


def test_conservative_price_when_coins_settle_a_requirement_then_it_converts_at_the_higher():
    policy = with_pool(POLICY, conservative_price=True)
    quotes = {"BTC-INV": 50_000, "BTC-USD": mark("BTC-USD", 50_000, average_price=52_000)}
    required = figures(policy, {"BTC": 1}, {"BTC-INV": (500, 50_000)}, quotes)
    assert required.maintenance_margin == D("0.005") * 1 * 52_000


def test_stablecoin_when_its_index_leaves_one_then_balance_profit_and_requirement_follow():
    quotes = {"USDT-USD": "0.97", "BTC-PERP": 51_000}
    depegged = figures(POLICY, {"USDT": 10_000}, {"BTC-PERP": (1, 50_000)}, quotes)
    assert depegged.equity == depegged.collateral_value == (D(10_000) + 1_000) * D("0.97")
    assert depegged.maintenance_margin == D("0.05") * 51_000 * D("0.97")


# scales


def said(**totals):
    """Quotes with what the exchange holds and owes of bitcoin."""
    return {**QUOTES, "BTC-USD": mark("BTC-USD", 50_000, **totals)}


@pytest.mark.parametrize(
    ("deposits", "scale"),
    [
        (D(10), D(1)),  # 500,000 of 1,000,000
        (D(20), D(1)),
        (D(40), D(1_000_000) / 2_000_000),
        (D(30), divide(D(1_000_000), D(1_500_000))),  # 0.666666666666666667
    ],
)
def test_deposit_scale_when_the_exchange_holds_much_of_a_coin_then_it_counts_less(deposits, scale):
    policy = ruled(deposit_scale_start=D(1_000_000))
    crowded = value(policy, {"BTC": 2}, quotes=said(deposits=deposits))
    assert crowded == 2 * D("0.95") * 50_000 * scale
    # what orders may turn into deposits counts beside them
    rest = deposits - 5
    assert value(policy, {"BTC": 2}, quotes=said(deposits=5, potential_deposits=rest)) == crowded


@pytest.mark.parametrize(("borrows", "scale"), [(D(10), D(1)), (D(20), D(1)), (D(50), D("2.5"))])
def test_borrow_scale_when_the_exchange_lends_much_of_a_coin_then_owing_it_counts_more(borrows, scale):
    policy = ruled(borrow_scale_start=D(1_000_000))
    lent = value(policy, {"BTC": -2, "USD": 500_000}, quotes=said(borrows=borrows))
    assert lent == D(500_000) - 2 * D("1.05") * scale * 50_000


def test_scales_when_the_exchanges_totals_are_unknown_then_they_change_nothing():
    policy = ruled(deposit_scale_start=D(1), borrow_scale_start=D(1))
    assert value(policy, {"BTC": 2}) == value(POLICY, {"BTC": 2})
    assert value(policy, {"BTC": -2}) == value(POLICY, {"BTC": -2})
    # each scale has an amount of its own
    assert value(policy, {"BTC": 2}, quotes=said(borrows=9)) == value(POLICY, {"BTC": 2})
    assert value(policy, {"BTC": -2}, quotes=said(deposits=9)) == value(POLICY, {"BTC": -2})
    # and the totals of one asset are not those of another
    elsewhere = {**QUOTES, "USDT-USD": mark("USDT-USD", 1, deposits=9, borrows=9)}
    assert value(policy, {"BTC": 2}, quotes=elsewhere) == value(POLICY, {"BTC": 2})


def test_scales_when_the_index_is_stale_then_the_last_totals_count_as_its_last_price_does():
    policy = ruled(borrow_scale_start=D(1_000_000))
    at = prices(said(borrows=50), stale=["BTC-USD"])
    # 50 * 50,000 / 1,000,000 = 2.5
    owing = cross_figures(holding(policy, {"BTC": -2, "USD": 500_000}), at, policy)
    assert owing.collateral_value == D(500_000) - 2 * D("1.05") * D("2.5") * 50_000
