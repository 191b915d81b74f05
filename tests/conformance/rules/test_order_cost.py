"""The cost of opening an order."""

from decimal import Decimal

import pytest

from engine.ledger.accounts import OpenOrder
from engine.policy import Asset, Instrument, MarginRules, Policy, RiskTier
from tests.conformance.rules.order_cost import order_cost

D = Decimal


def market(payoff="linear", **rules):
    stated = {"initial": "leverage", "closing_fee": "bankruptcy", "taker_fee_rate": D("0.00055")} | rules
    return Policy(
        name="test",
        account_currency="USD",
        assets={"USD": Asset()},
        instruments={
            "PERP": Instrument(kind="perpetual", base="X", settle="USD", payoff=payoff, tiers="one")
        },
        tiers={"one": (RiskTier(floor=D(0), maintenance_rate=D("0.005"), initial_rate=D("0.01")),)},
        margin={"default": MarginRules(**stated)},
    )


@pytest.mark.parametrize(("quantity", "close_fee"), [(1, "24.75"), (-1, "30.25")])
def test_order_cost_when_linear_then_the_closing_fee_is_at_the_price_that_consumes_the_margin(
    quantity, close_fee
):
    cost = order_cost(OpenOrder("PERP", D(quantity), D(50_000)), D(10), market())
    # 50000 / 10;  0.00055 * 50000;  0.00055 * 50000 * 9 / 10 for a long, * 11 / 10 for a short
    assert (cost.initial_margin, cost.open_fee, cost.close_fee) == (5000, D("27.5"), D(close_fee))
    assert cost.total == 5000 + D("27.5") + D(close_fee)


@pytest.mark.parametrize(("quantity", "close_fee"), [(10_000, "0.00286"), (-10_000, "0.00264")])
def test_order_cost_when_inverse_then_in_coin(quantity, close_fee):
    cost = order_cost(OpenOrder("PERP", D(quantity), D(2000)), D(25), market("inverse"))
    # value 10000 / 2000 = 5 coins;  5 / 25;  0.00055 * 5;  0.00055 * 5 * 26 / 25 for a long, * 24 / 25 for a short
    assert (cost.value, cost.initial_margin) == (5, D("0.2"))
    assert (cost.open_fee, cost.close_fee) == (D("0.00275"), D(close_fee))


def test_order_cost_when_the_fee_is_no_part_of_the_initial_margin_then_counted_once_all_the_same():
    order = OpenOrder("PERP", D(1), D(50_000))
    apart = order_cost(order, D(10), market(closing_fee_in_initial=False))
    assert apart == order_cost(order, D(10), market())


def test_order_cost_when_the_rules_count_no_closing_fee_then_margin_and_opening_fee():
    cost = order_cost(OpenOrder("PERP", D(1), D(50_000)), D(10), market(closing_fee="none"))
    assert cost.total == 5000 + D("27.5")
