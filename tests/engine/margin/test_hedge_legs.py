"""Hedge mode in cross margin: what a long and a short leg of one symbol require together."""

from decimal import Decimal

import pytest

from engine.margin.cross.cross_lines import explain_cross
from engine.margin.cross.cross_pool import cross_figures
from tests.support.builders import prices
from tests.support.wide import holding, wide, with_margin, with_pool

D = Decimal
POLICY = wide()
LINEAR = "BTC-PERP"


# hedge mode: long 3 at 50,000 (leverage 10), short 2 at 52,000, mark 50,000


def hedged(rule, long=3, short=-2, policy=POLICY, **rules):
    policy = with_margin(policy, hedge_legs=rule, **rules)
    state = holding(
        policy, {"USDT": 50_000}, {f"{LINEAR}|long": (long, 50_000), f"{LINEAR}|short": (short, 52_000)}
    )
    return cross_figures(state, prices({"USDT-USD": 1, LINEAR: 50_000}), policy)


@pytest.mark.parametrize(
    ("rule", "notional"),
    [("gross", D(3) * 50_000 + D(2) * 50_000), ("larger", D(3) * 50_000), ("net", D(1) * 50_000)],
)
def test_hedge_legs_when_by_each_rule_then_that_much_notional_is_margined(rule, notional):
    figures = hedged(rule)
    assert figures.initial_margin == notional / 10
    assert figures.maintenance_margin == D("0.05") * notional
    assert figures.equity == D(50_000) + 2 * (52_000 - 50_000)  # both legs' profits, whatever the rule


@pytest.mark.parametrize(("rule", "notional"), [("gross", 200_000), ("larger", 100_000), ("net", 0)])
def test_hedge_legs_when_equal_then_net_requires_nothing(rule, notional):
    figures = hedged(rule, long=2, short=-2)
    assert figures.maintenance_margin == D("0.05") * notional
    assert (figures.ratio is None) == (notional == 0)


def test_hedge_legs_when_netted_at_entry_then_the_rest_keeps_the_larger_legs_average_price():
    # short 3 at 52,000 against long 1: 2 at 52,000
    assert hedged("net", long=1, short=-3, notional="entry").maintenance_margin == D("0.05") * 2 * 52_000


def test_hedge_legs_when_only_one_is_held_then_it_requires_its_own_margin():
    policy = with_margin(POLICY, hedge_legs="net")
    state = holding(policy, {"USDT": 50_000}, {f"{LINEAR}|short": (-2, 50_000), "ETH-PERP|long": (1, 100)})
    figures = cross_figures(state, prices({"USDT-USD": 1, LINEAR: 50_000, "ETH-PERP": 100}), policy)
    assert figures.maintenance_margin == D("0.05") * 100_000 + D("0.05") * 100


@pytest.mark.parametrize("rule", ["gross", "larger", "net"])
def test_lines_when_legs_are_hedged_then_they_sum_to_every_figure(rule):
    policy = with_margin(POLICY, hedge_legs=rule)
    legs = {f"{LINEAR}|long": (3, 50_000), f"{LINEAR}|short": (-2, 52_000)}
    breakdown = explain_cross(
        holding(policy, {"USDT": 9_000}, legs), prices({"USDT-USD": 1, LINEAR: 50_000}), policy
    )
    for figure in ("equity", "collateral_value", "initial_margin", "maintenance_margin"):
        assert breakdown.total(figure) == getattr(breakdown.figures, figure)


@pytest.mark.parametrize(
    ("rule", "notional"), [("gross", 5 * 50_000), ("larger", 3 * 50_000), ("net", 1 * 50_000)]
)
def test_liquidation_fee_when_legs_are_hedged_then_of_the_notional_that_is_margined(rule, notional):
    figures = hedged(rule, policy=with_pool(POLICY, liquidation_fee_rate=D("0.002")))
    assert figures.liquidation_fee == D("0.002") * notional
    assert figures.requirement == D("0.05") * notional + D("0.002") * notional
