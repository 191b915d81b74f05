"""Fills, orders and settlements at 0 and below, by hand; refused for every instrument that does not allow them."""

from decimal import Decimal

import pytest

from engine.inputs import MarginMode, OrderUpdate, Settlement, Topic
from engine.ledger.accounts import AccountState
from engine.ledger.applying import apply
from engine.rejections import Rejection, RejectionCode
from tests.support.builders import applied, trade
from tests.support.oil import oil
from tests.support.wide import holding, wide

D = Decimal
POLICY = oil()
SYMBOL = "CL-MAY"


def after(*messages, state=None):
    return applied(state or AccountState("alice"), POLICY, Topic.FILLS, *messages)


def settlement(symbol, price):
    return Settlement(account="alice", time_ns=0, settlement_id=f"s-{symbol}", symbol=symbol, price=D(price))


def order(symbol, price):
    return OrderUpdate(
        account="alice", time_ns=0, update_id="u", order_id="o", symbol=symbol, side="buy", quantity=D(1),
        price=D(price),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("fills", "realised", "left"),
    [
        # 2 * 1,000 * (-37.63 - 10)
        ([(2, 10), (-2, "-37.63")], D(-95_260), None),
        ([(-2, 10), (2, "-37.63")], D(95_260), None),
        # one of two closed: 1,000 * (-37.63 - 10); the other is worth 10,000 still at its entry
        ([(2, 10), (-1, "-37.63")], D(-47_630), (1, 10_000)),
        # sold at -20, bought back at -30
        ([(-2, -20), (1, -30)], D(10_000), (-1, 20_000)),
        # long 1 at 5 turns at -1: 1,000 * (-1 - 5), and short 2 at -1
        ([(1, 5), (-3, -1)], D(-6_000), (-2, 2_000)),
        # bought at nothing
        ([(1, 0)], D(0), (1, 0)),
        ([(1, 0), (-1, "-0.01")], D(-10), None),
    ],
)
def test_fill_when_at_zero_or_below_then_its_profit_is_the_difference_of_values(fills, realised, left):
    state = after(*(trade(SYMBOL, signed, price) for signed, price in fills))
    assert state.balances == ({"USD": realised} if realised else {})
    held = state.positions.get(SYMBOL)
    assert (None if held is None else (held.quantity, held.entry_value)) == left


def test_fill_when_isolated_then_its_own_margin_takes_the_loss():
    isolated = MarginMode.ISOLATED
    state = after(
        trade(SYMBOL, 1, 1, margin_mode=isolated, margin_transfer="5000"),
        trade(SYMBOL, -1, -2, margin_mode=isolated),
    )
    # 5,000 + 1,000 * (-2 - 1)
    assert state.isolated[SYMBOL].margin == 2_000
    assert state.balances == {"USD": -5_000}


@pytest.mark.parametrize(("price", "paid"), [("-37.63", -47_630), ("0", -10_000)])
def test_settlement_when_at_zero_or_below_then_the_position_closes_there(price, paid):
    state = after(settlement(SYMBOL, price), state=holding(POLICY, {}, {SYMBOL: (1, 10)}))
    assert (state.balances, state.positions) == ({"USD": paid}, {})


def test_order_when_below_zero_then_it_rests():
    assert after(order(SYMBOL, "-12.5")).orders["o"].price == D("-12.5")


@pytest.mark.parametrize("price", ["0", "-0.01"])
@pytest.mark.parametrize(
    "message",
    [
        *(
            lambda price, it=it: trade(it, 1, price)
            for it in ("BTC-PERP", "BTC-USDT", "BTC-50000-C", "BTC-INV")
        ),
        *(lambda price, it=it: order(it, price) for it in ("BTC-PERP", "BTC-USDT", "BTC-50000-C", "BTC-INV")),
        *(lambda price, it=it: settlement(it, price) for it in ("BTC-DEC", "BTC-INV-DEC")),
    ],
)
def test_price_when_the_instrument_does_not_allow_it_then_refused_and_nothing_is_booked(message, price):
    refused = apply(holding(wide(), {"USDT": 9}), message(price), Topic.FILLS, 0, wide())
    assert isinstance(refused, Rejection)
    assert refused.code is RejectionCode.OUT_OF_RANGE
    assert "must be above zero" in refused.detail


def test_settlement_when_an_option_pays_nothing_then_booked_and_below_zero_refused():
    state = holding(wide(), {}, {"BTC-50000-C": (1, 100)})
    paid = apply(state, settlement("BTC-50000-C", 0), Topic.FILLS, 0, wide())
    assert isinstance(paid, AccountState)
    refused = apply(state, settlement("BTC-50000-C", "-0.01"), Topic.FILLS, 0, wide())
    assert isinstance(refused, Rejection)
    assert refused.code is RejectionCode.OUT_OF_RANGE
