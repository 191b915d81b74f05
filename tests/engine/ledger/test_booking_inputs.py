"""What each of the newer inputs does to an account, to the last digit of every entry it touches."""

from decimal import Decimal

import msgspec
import pytest

from engine.inputs import (
    AccountSetting,
    FundingPayment,
    Interest,
    IsolatedTransfer,
    MarginMode,
    OrderUpdate,
    Settlement,
    Topic,
)
from engine.ledger.accounts import OpenOrder, Position
from engine.ledger.applying import apply
from engine.policy.rules.portfolio_rules import PortfolioRules, UnitRules
from engine.rejections import Rejection, RejectionCode
from tests.support.builders import applied, trade
from tests.support.wide import holding, order, wide

D = Decimal
POLICY = wide()
NETTED = msgspec.structs.replace(POLICY, portfolio=PortfolioRules(units={"default": UnitRules()}))


def update(order_id, signed, symbol="BTC-PERP", price=50_000, side=None, **fields):
    return OrderUpdate(
        account="alice",
        time_ns=0,
        update_id=f"u-{order_id}-{signed}",
        order_id=order_id,
        symbol=symbol,
        side=side or ("buy" if D(signed) > 0 else "sell"),
        quantity=abs(D(signed)),
        price=D(price),
        **fields,
    )


def settlement(symbol, price):
    return Settlement(account="alice", time_ns=0, settlement_id="s", symbol=symbol, price=D(price))


def entry(kind, **fields):
    return kind(account="alice", entry_id="e", time_ns=0, **fields)


def filled(state, *messages):
    return applied(state, POLICY, Topic.FILLS, *messages)


def told(state, *messages, policy=POLICY):
    return applied(state, policy, Topic.LEDGER, *messages)


def refusal(state, message, topic=Topic.FILLS, policy=POLICY):
    answer = apply(state, message, topic, 0, policy)
    assert isinstance(answer, Rejection), answer
    return answer.code


# orders


@pytest.mark.parametrize("signed", [3, -3])
def test_order_when_it_comes_to_rest_then_it_is_kept_with_its_sign_and_moves_no_money(signed):
    state = filled(holding(POLICY, {"USDT": 5}), update("o", signed))
    assert state.orders == {"o": OpenOrder("BTC-PERP", D(signed), D(50_000))}
    assert (state.balances, state.positions) == ({"USDT": D(5)}, {})


def test_order_when_partly_filled_then_what_is_left_replaces_it_and_the_fill_moves_the_position():
    state = filled(
        holding(POLICY), update("o", 3), trade("BTC-PERP", 2, 50_000), update("o", 1), update("other", -4)
    )
    assert state.orders == {"o": order("BTC-PERP", 1, 50_000), "other": order("BTC-PERP", -4, 50_000)}
    assert state.positions == {"BTC-PERP": Position(D(2), D(2) * 50_000)}


def test_order_when_nothing_is_left_of_it_then_it_is_gone():
    assert filled(holding(POLICY), update("o", 3), update("o", 0, side="buy")).orders == {}


def test_order_when_closed_before_it_was_known_then_nothing_is_kept():
    assert filled(holding(POLICY), update("o", 0, side="sell")).orders == {}


def test_order_when_it_says_how_it_fills_then_all_of_it_is_kept():
    state = filled(
        holding(POLICY),
        update("o", -3, margin_mode=MarginMode.ISOLATED, reduce_only=True, leg="long"),
    )
    assert state.orders == {"o": order("BTC-PERP", -3, 50_000, isolated=True, reduce_only=True, leg="long")}


def test_order_when_of_a_spot_pair_then_it_rests_in_the_shared_pool_whatever_mode_it_names():
    state = filled(holding(POLICY), update("o", 1, "BTC-USDT", margin_mode=MarginMode.ISOLATED))
    assert state.orders == {"o": order("BTC-USDT", 1, 50_000)}
    # no position is there to be closed by it
    assert filled(holding(POLICY), update("o", 1, "BTC-USDT", reduce_only=True)).orders == state.orders


def test_order_when_its_symbol_is_unknown_then_refused():
    assert refusal(holding(POLICY), update("o", 1, "DOGE-PERP")) is RejectionCode.UNKNOWN_INSTRUMENT


# settlements


@pytest.mark.parametrize(("quantity", "paid"), [(2, D(2) * (55_000 - 50_000)), (-2, D(-2) * 5_000)])
def test_settlement_when_a_future_expires_then_it_closes_at_the_price_and_its_orders_go(quantity, paid):
    state = holding(
        POLICY,
        {"USDT": 20_000},
        {"BTC-DEC": (quantity, 50_000), "BTC-PERP": (1, 50_000)},
        orders={"a": order("BTC-DEC", 1, 50_000), "b": order("BTC-PERP", 1, 50_000)},
    )
    after = filled(state, settlement("BTC-DEC", 55_000))
    assert after.balances == {"USDT": D(20_000) + paid}
    assert set(after.positions) == {"BTC-PERP"}
    assert set(after.orders) == {"b"}


@pytest.mark.parametrize(
    ("quantity", "price", "paid"), [(2, 7_000, 2 * 7_000), (-2, 7_000, -2 * 7_000), (2, 0, 0), (-2, 0, 0)]
)
def test_settlement_when_an_option_expires_then_it_pays_its_price_whatever_its_premium_was(
    quantity, price, paid
):
    state = holding(POLICY, {"USDT": 50_000}, {"BTC-50000-C": (quantity, 3_000)})
    after = filled(state, settlement("BTC-50000-C", price))
    assert after.balances == {"USDT": D(50_000) + paid}
    assert after.positions == {}


def test_option_when_bought_sold_in_part_and_settled_then_only_cash_has_moved():
    state = filled(
        holding(POLICY, {"USDT": 10_000}),
        trade("BTC-50000-C", 3, 2_000, fee="6"),
        trade("BTC-50000-C", -1, 2_500),
        settlement("BTC-50000-C", 1_000),
    )
    # - 3 * 2,000 - 6 + 1 * 2,500 + 2 * 1,000
    assert state.balances == {"USDT": D(10_000) - 6_000 - 6 + 2_500 + 2_000}
    assert state.positions == {}


@pytest.mark.parametrize("symbol", ["BTC-DEC", "BTC-INV-DEC"])
def test_settlement_when_a_future_would_settle_at_zero_then_refused(symbol):
    held = holding(POLICY, positions={symbol: (1, 50_000)})
    assert refusal(held, settlement(symbol, 0)) is RejectionCode.OUT_OF_RANGE


@pytest.mark.parametrize("symbol", ["BTC-USDT", "DOGE-DEC"])
def test_settlement_when_it_is_of_no_listed_contract_then_refused(symbol):
    assert refusal(holding(POLICY), settlement(symbol, 1)) is RejectionCode.UNKNOWN_INSTRUMENT


def test_settlement_when_both_legs_are_held_then_both_close():
    state = holding(POLICY, {"USDT": 10}, {"BTC-DEC|long": (3, 50_000), "BTC-DEC|short": (-2, 52_000)})
    after = filled(state, settlement("BTC-DEC", 51_000))
    # 3 * (51,000 - 50,000) - 2 * (51,000 - 52,000)
    assert after.balances == {"USDT": D(10) + 3_000 + 2_000}
    assert after.positions == {}


def test_settlement_when_a_position_is_isolated_then_it_stays_for_the_exchanges_fills():
    state = holding(POLICY, isolated={"BTC-DEC": (1, 50_000, 5_000)})
    assert filled(state, settlement("BTC-DEC", 51_000)).isolated == state.isolated


# legs


def test_fill_when_in_hedge_mode_then_each_leg_is_a_position_of_its_own():
    state = filled(
        holding(POLICY),
        trade("BTC-PERP", 3, 50_000, leg="long"),
        trade("BTC-PERP", -2, 52_000, leg="short"),
        trade("BTC-PERP", -1, 51_000, leg="long"),
    )
    # the sale closes a third of the long leg and leaves the short one alone
    assert state.positions == {
        "BTC-PERP|long": Position(D(2), D(2) * 50_000),
        "BTC-PERP|short": Position(D(-2), D(-2) * 52_000),
    }
    assert state.balances == {"USDT": D(51_000) - 50_000}


@pytest.mark.parametrize("mode", [{}, {"margin_mode": MarginMode.ISOLATED}])
@pytest.mark.parametrize(
    ("leg", "first", "then"), [("long", 1, -3), ("short", -1, 3), ("long", 0, -1), ("short", 0, "0.5")]
)
def test_fill_when_it_closes_more_of_a_leg_than_there_is_then_refused_and_told(mode, leg, first, then):
    held = [trade("BTC-PERP", first, 50_000, leg=leg, **mode)] if first else []
    state = applied(holding(POLICY, {"USDT": 100}), POLICY, Topic.FILLS, *held)
    refused = apply(state, trade("BTC-PERP", then, 50_000, leg=leg, **mode), Topic.FILLS, 9, POLICY)
    assert isinstance(refused, Rejection)
    assert refused.code is RejectionCode.LEG_EXCEEDED
    assert f"holds {first}" in refused.detail


def test_fill_when_isolated_in_hedge_mode_then_each_leg_has_its_own_margin():
    isolated = {"margin_mode": MarginMode.ISOLATED}
    state = filled(
        holding(POLICY, {"USDT": 30_000}),
        trade("BTC-PERP", 1, 50_000, leg="long", margin_transfer="5000", **isolated),
        trade("BTC-PERP", -1, 52_000, leg="short", margin_transfer="6000", **isolated),
        trade("BTC-PERP", 1, 51_000, leg="short", margin_transfer="-7000", **isolated),
    )
    assert state.balances == {"USDT": D(30_000) - 5_000 - 6_000 + 7_000}
    # the short leg gained 1,000 and gave back all of its 6,000 + 1,000
    assert {key: held.margin for key, held in state.isolated.items()} == {"BTC-PERP|long": D(5_000)}


@pytest.mark.parametrize("leg", ["long", "short"])
def test_funding_when_paid_on_an_isolated_leg_then_its_margin_bears_it(leg):
    start = holding(
        POLICY,
        {"USDT": 100},
        isolated={"BTC-PERP|long": (1, 50_000, 500), "BTC-PERP|short": (-1, 50_000, 500)},
    )
    paid = entry(FundingPayment, symbol="BTC-PERP", amount=D(-7), margin_mode=MarginMode.ISOLATED, leg=leg)
    after = told(start, paid)
    assert after.isolated[f"BTC-PERP|{leg}"].margin == D(500) - 7
    assert sum(held.margin for held in after.isolated.values()) == D(1_000) - 7
    assert after.balances == {"USDT": D(100)}


def test_transfer_when_to_a_leg_then_that_leg_has_it():
    after = told(
        holding(POLICY, {"USDT": 100}), entry(IsolatedTransfer, symbol="BTC-PERP", amount=D(40), leg="short")
    )
    assert after.balances == {"USDT": D(100) - 40}
    assert after.isolated["BTC-PERP|short"].margin == 40


@pytest.mark.parametrize("message", [
    trade("BTC-50000-C", 1, 100, margin_mode=MarginMode.ISOLATED, margin_transfer="50"),
    update("o", 1, "BTC-50000-C", 100, margin_mode=MarginMode.ISOLATED),
])  # fmt: skip
def test_option_when_isolated_then_refused(message):
    assert refusal(holding(POLICY, {"USDT": 100}), message) is RejectionCode.NO_ISOLATED_OPTIONS


@pytest.mark.parametrize("message", [
    entry(IsolatedTransfer, symbol="BTC-50000-C", amount=D(40)),
    entry(FundingPayment, symbol="BTC-50000-C", amount=D(40), margin_mode=MarginMode.ISOLATED),
])  # fmt: skip
def test_option_when_money_would_go_to_an_isolated_one_then_refused(message):
    answer = refusal(holding(POLICY, {"USDT": 100}), message, Topic.LEDGER)
    assert answer is RejectionCode.NO_ISOLATED_OPTIONS


# interest and settings


@pytest.mark.parametrize(("amount", "left"), [("0.1", D(-1) - D("0.1")), ("-0.1", D(-1) + D("0.1"))])
def test_interest_when_accrued_then_the_liability_grows_or_is_credited(amount, left):
    after = told(holding(POLICY, {"BTC": -1}), entry(Interest, asset="BTC", amount=D(amount)))
    assert after.balances == {"BTC": left}


def test_interest_when_of_an_unlisted_asset_then_refused():
    message = entry(Interest, asset="DOGE", amount=D(1))
    assert refusal(holding(POLICY), message, Topic.LEDGER) is RejectionCode.UNKNOWN_ASSET


def test_setting_when_portfolio_is_chosen_without_rules_for_it_then_refused():
    chosen = entry(AccountSetting, margin_model="portfolio")
    assert refusal(holding(POLICY), chosen, Topic.LEDGER) is RejectionCode.UNKNOWN_MARGIN_MODEL
    assert told(holding(POLICY), chosen, policy=NETTED).margin_model == "portfolio"


def test_setting_when_it_names_one_choice_then_the_other_stays():
    state = told(
        holding(POLICY),
        entry(AccountSetting, margin_model="cross"),
        entry(AccountSetting, collateral_off=("USDT", "BTC", "USDT")),
    )
    assert (state.margin_model, state.collateral_off) == ("cross", ("BTC", "USDT"))
    again = told(state, entry(AccountSetting, collateral_off=()))
    assert (again.margin_model, again.collateral_off) == ("cross", ())


def test_setting_when_an_asset_is_unlisted_then_refused_whole():
    chosen = entry(AccountSetting, margin_model="cross", collateral_off=("BTC", "DOGE"))
    assert refusal(holding(POLICY), chosen, Topic.LEDGER) is RejectionCode.UNKNOWN_ASSET
