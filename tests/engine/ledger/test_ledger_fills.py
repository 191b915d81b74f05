from decimal import Decimal

import pytest

from engine.inputs import MarginMode, Topic
from engine.ledger.accounts import AccountState, IsolatedPosition, Position
from engine.ledger.applying import apply
from engine.rejections import Rejection, RejectionCode
from tests.support.builders import account, applied, position, trade

D = Decimal
NEW = AccountState("alice")


def filled(policy, *fills, start=NEW):
    return applied(start, policy, Topic.FILLS, *fills)


@pytest.mark.parametrize("sign", [1, -1])
def test_fill_when_flat_then_it_opens_and_the_wallet_stays(policy, sign):
    after = filled(policy, trade("BTC-PERP", sign * 2, 100))
    assert after.positions == {"BTC-PERP": Position(D(sign * 2), D(sign * 2 * 100))}
    assert after.balances == {}


@pytest.mark.parametrize("sign", [1, -1])
def test_fill_when_adding_then_entry_values_add_up(policy, sign):
    after = filled(policy, trade("BTC-PERP", sign * 2, 100), trade("BTC-PERP", sign * 1, 130))
    # 2 * 100 + 1 * 130
    assert after.positions["BTC-PERP"] == Position(D(sign * 3), D(sign * 330))
    assert after.balances == {}


@pytest.mark.parametrize("sign", [1, -1])
def test_fill_when_reducing_then_profit_is_realised_on_the_closed_part_only(policy, sign):
    after = filled(policy, trade("BTC-PERP", sign * 4, 100), trade("BTC-PERP", -sign * 1, 120))
    # 1 * (120 - 100), with the sign of the position
    assert after.balances == {"USDT": D(sign * 20)}
    assert after.positions["BTC-PERP"] == Position(D(sign * 3), D(sign * 300))


@pytest.mark.parametrize("sign", [1, -1])
def test_fill_when_closing_then_the_position_is_gone(policy, sign):
    after = filled(policy, trade("BTC-PERP", sign * 4, 100), trade("BTC-PERP", -sign * 4, 90))
    assert after.positions == {}
    assert after.balances == {"USDT": D(sign * 4 * (90 - 100))}


@pytest.mark.parametrize("sign", [1, -1])
def test_fill_when_flipping_then_all_is_realised_and_the_rest_opens_at_the_new_price(policy, sign):
    after = filled(policy, trade("BTC-PERP", sign * 4, 100), trade("BTC-PERP", -sign * 7, 110))
    assert after.balances == {"USDT": D(sign * 4 * (110 - 100))}
    # 4 - 7 = -3 contracts at 110
    assert after.positions["BTC-PERP"] == Position(D(-sign * 3), D(-sign * 330))


def test_fill_when_closed_at_its_entry_then_no_zero_balance_is_kept(policy):
    after = filled(policy, trade("BTC-PERP", 1, 100), trade("BTC-PERP", -1, 100))
    assert (after.balances, after.positions) == ({}, {})


def test_fill_when_the_contract_has_a_multiplier_then_it_scales_entry_and_profit(policy):
    after = filled(policy, trade("ADA-PERP", 3, 5), trade("ADA-PERP", -1, 6))
    assert after.positions["ADA-PERP"] == position(2, 5, multiplier=10)  # 2 * 10 * 5 = 100
    assert after.balances == {"USDT": D(1) * 10 * (6 - 5)}


def test_fill_when_a_third_is_closed_then_the_released_entry_is_rounded_and_the_rest_keeps_the_remainder(
    policy,
):
    opened = filled(
        policy, trade("BTC-PERP", 1, 33), trade("BTC-PERP", 2, "33.5")
    )  # entry value 33 + 67 = 100
    after = filled(policy, trade("BTC-PERP", -1, 40), start=opened)
    released = D("33.333333333333333333")  # 100 * 1 / 3 at 18 places
    assert after.balances == {"USDT": D(40) - released}
    assert after.positions["BTC-PERP"] == Position(D(2), D(100) - released)


def test_fill_when_it_costs_a_fee_then_the_settle_asset_pays(policy):
    assert filled(policy, trade("BTC-PERP", 1, 100, fee="0.05")).balances == {"USDT": D("-0.05")}


def test_fill_when_it_earns_a_rebate_then_the_wallet_grows(policy):
    assert filled(policy, trade("BTC-PERP", 1, 100, fee="-0.02")).balances == {"USDT": D("0.02")}


def test_fill_when_the_fee_is_in_another_asset_then_that_one_pays(policy):
    start = account({"BTC": 1, "USDT": 50}, {"BTC-PERP": (1, 100)})
    after = filled(policy, trade("BTC-PERP", -1, 110, fee="0.001", fee_asset="BTC"), start=start)
    assert after.balances == {"BTC": D(1) - D("0.001"), "USDT": D(50) + D(10)}


def test_fill_when_spot_is_bought_then_assets_change_hands(policy):
    after = filled(policy, trade("BTC-USDT", 2, 30_000, fee=60), start=account({"USDT": 100_000}))
    assert after.balances == {"BTC": D(2), "USDT": D(100_000) - 2 * 30_000 - 60}
    assert after.positions == {}


def test_fill_when_spot_is_sold_short_then_the_base_asset_is_a_liability(policy):
    after = filled(policy, trade("BTC-USDT", "-0.5", 30_000))
    assert after.balances == {"BTC": D("-0.5"), "USDT": D("0.5") * 30_000}


def test_fill_when_isolated_with_a_transfer_then_the_wallet_funds_the_position(policy):
    fill = trade("BTC-PERP", 2, 100, fee=1, margin_mode=MarginMode.ISOLATED, margin_transfer=20)
    after = filled(policy, fill, start=account({"USDT": 50}))
    assert after.balances == {"USDT": D(50) - 20 - 1}  # the fee is the wallet's
    assert after.isolated == {"BTC-PERP": IsolatedPosition(Position(D(2), D(200)), D(20))}
    assert after.positions == {}


def test_fill_when_isolated_is_reduced_then_profit_and_released_margin_meet_in_its_own_pool(policy):
    start = account({"USDT": 5}, isolated={"BTC-PERP": (2, 100, 20)})
    fill = trade("BTC-PERP", -1, 130, margin_mode=MarginMode.ISOLATED, margin_transfer=-15)
    after = filled(policy, fill, start=start)
    assert after.isolated["BTC-PERP"] == IsolatedPosition(Position(D(1), D(100)), D(20) + 30 - 15)
    assert after.balances == {"USDT": D(5) + 15}


def test_fill_when_isolated_closes_and_all_margin_is_released_then_nothing_is_left_of_it(policy):
    start = account(isolated={"BTC-PERP": (1, 100, 20)})
    fill = trade("BTC-PERP", -1, 110, margin_mode=MarginMode.ISOLATED, margin_transfer=-30)
    after = filled(policy, fill, start=start)
    assert after.isolated == {}
    assert after.balances == {"USDT": D(20) + 10}


def test_fill_when_both_modes_hold_one_symbol_then_they_never_net(policy):
    after = filled(
        policy,
        trade("BTC-PERP", 1, 100),
        trade("BTC-PERP", -1, 100, margin_mode=MarginMode.ISOLATED, margin_transfer=10),
    )
    assert after.positions["BTC-PERP"].quantity == D(1)
    assert after.isolated["BTC-PERP"].position.quantity == D(-1)


def test_fill_when_applied_then_the_state_before_is_unchanged(policy):
    before = account({"USDT": 10}, {"BTC-PERP": (1, 100)}, {"ETH-PERP": (1, 10, 5)})
    kept = account({"USDT": 10}, {"BTC-PERP": (1, 100)}, {"ETH-PERP": (1, 10, 5)})
    filled(policy, trade("BTC-PERP", -1, 90, fee=1), start=before)
    filled(policy, trade("ETH-PERP", 1, 9, margin_mode=MarginMode.ISOLATED), start=before)
    assert before == kept


@pytest.mark.parametrize(
    ("fill", "code"),
    [
        (trade("DOGE-PERP", 1, 1), RejectionCode.UNKNOWN_INSTRUMENT),
        (trade("BTC-PERP", 1, 1, fee_asset="DOGE"), RejectionCode.UNKNOWN_ASSET),
    ],
)
def test_fill_when_something_is_not_listed_then_it_is_rejected_by_name(policy, fill, code):
    verdict = apply(NEW, fill, Topic.FILLS, 0, policy)
    assert isinstance(verdict, Rejection)
    assert verdict.code is code
    assert "DOGE" in verdict.detail
