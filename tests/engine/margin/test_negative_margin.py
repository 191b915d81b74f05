"""Margin, funding and profit at prices of 0 and below, by hand: a crude oil future from 10 to -37.63."""

from decimal import Decimal

import msgspec
import pytest

from engine.margin.cross.cross_lines import explain_cross
from engine.margin.cross.cross_pool import cross_figures, cross_positions
from engine.margin.funding_accrual import funding_payment
from engine.margin.health.weighted_health import health
from engine.margin.isolated_pool import isolated_figures
from engine.margin.margin_model import shared_figures
from engine.numbers import exact
from engine.policy import OpenInterestScaling, parse
from tests.engine.margin.test_health import TEXT as HEALTH
from tests.support.builders import mark, prices
from tests.support.oil import oil
from tests.support.wide import holding, order, with_margin

D = Decimal
POLICY = oil()
SYMBOL = "CL-MAY"
MARGINS = [
    # mark, profit of 2 bought at 10, notional 2 * 1,000 * max(|mark|, 10)
    ("20", 20_000, 40_000),
    ("10", 0, 20_000),
    ("3", -14_000, 20_000),
    ("0", -20_000, 20_000),
    ("-10", -40_000, 20_000),
    ("-37.63", -95_260, 75_260),
]


def at(price):
    return prices({SYMBOL: price})


@pytest.mark.parametrize("side", [1, -1])
@pytest.mark.parametrize(("price", "profit", "notional"), MARGINS)
def test_cross_when_the_price_falls_through_zero_then_margin_of_its_scale(price, profit, notional, side):
    state = holding(POLICY, {"USD": 1_000}, {SYMBOL: (2 * side, 10)})
    figures = cross_figures(state, at(price), POLICY)
    assert figures.equity == 1_000 + side * profit
    assert figures.maintenance_margin == D(notional) / 10
    assert figures.initial_margin == D(notional) / 5


@pytest.mark.parametrize(("price", "profit", "notional"), MARGINS)
def test_isolated_when_the_price_falls_through_zero_then_as_in_cross(price, profit, notional):
    state = holding(POLICY, isolated={SYMBOL: (2, 10, 50_000)})
    figures = isolated_figures(state, SYMBOL, at(price), POLICY)
    assert (figures.equity, figures.maintenance_margin) == (50_000 + profit, D(notional) / 10)


def test_lines_when_below_zero_then_they_sum_to_the_figures():
    state = holding(POLICY, {"USD": 1_000}, {SYMBOL: (2, 10)})
    explained = explain_cross(state, at("-37.63"), POLICY)
    with exact():
        for name in ("equity", "maintenance_margin", "initial_margin"):
            total = sum(line.value for line in explained.lines if line.figure == name)
            assert total == getattr(explained.figures, name)


@pytest.mark.parametrize(("rule", "contracts"), [("gross", 5), ("larger", 3), ("net", 1)])
@pytest.mark.parametrize(("price", "scale"), [("-37.63", D("37.63")), ("0", D(10))])
def test_hedge_legs_when_below_zero_then_each_rule_counts_the_scale(rule, contracts, price, scale):
    policy = with_margin(POLICY, SYMBOL, hedge_legs=rule)
    legs = {f"{SYMBOL}|long": (3, 10), f"{SYMBOL}|short": (-2, 12)}
    figures = cross_figures(holding(policy, {"USD": 1}, legs), at(price), policy)
    assert figures.maintenance_margin == contracts * 1_000 * scale / 10
    # 1 + 3,000 * (mark - 10) - 2,000 * (mark - 12)
    assert figures.equity == 1 + 3_000 * (D(price) - 10) - 2_000 * (D(price) - 12)


@pytest.mark.parametrize(("entry", "notional"), [("0.5", 20_000), ("-0.5", 20_000), ("-40", 80_000)])
def test_notional_when_of_the_entry_then_at_least_of_the_least_scale(entry, notional):
    policy = with_margin(POLICY, SYMBOL, notional="entry")
    state = holding(policy, {"USD": 1}, {SYMBOL: (2, entry)})
    assert cross_figures(state, at(5), policy).maintenance_margin == D(notional) / 10


def test_order_when_below_zero_then_it_requires_the_margin_of_what_it_opens_and_its_loss():
    state = holding(POLICY, {"USD": 1}, orders={"o": order(SYMBOL, 2, -20)})
    # 20 % of 2 * 1,000 * 37.63
    assert cross_figures(state, at("-37.63"), POLICY).initial_margin == 15_052
    # and 2 * 1,000 * (37.63 - 20), which it has lost once it fills
    policy = with_margin(POLICY, SYMBOL, order_loss=True)
    assert cross_figures(state, at("-37.63"), policy).initial_margin == 15_052 + 35_260
    # at a mark of 0 it gains 40,000, and requires 20 % of 2 * 1,000 * 10
    assert cross_figures(state, at(0), policy).initial_margin == 4_000


def test_leverage_when_chosen_low_then_initial_margin_is_a_share_of_the_scale():
    state = holding(POLICY, {"USD": 1}, {SYMBOL: (2, 10)}, leverage={SYMBOL: D(2)})
    assert cross_figures(state, at(0), POLICY).initial_margin == 10_000
    assert cross_figures(state, at(-20), POLICY).initial_margin == 20_000


@pytest.mark.parametrize(
    ("quantity", "price", "rate", "payment"),
    [
        # longs pay when the rate is positive, on both sides of 0
        (100, 5, "0.001", "-0.5"), (100, -5, "0.001", "-0.5"), (-100, -5, "0.001", "0.5"),
        (100, -5, "-0.001", "0.5"),
        # a share of the least scale of 2
        (100, 0, "0.001", "-0.2"), (-100, 1, "0.001", "0.2"),
    ],
)  # fmt: skip
def test_funding_when_below_zero_then_the_payer_is_the_same(quantity, price, rate, payment):
    symbol = "SPREAD-PERP"
    quotes = prices({symbol: mark(symbol, price, funding_rate=rate), "USDT-USD": 1})
    with exact():
        (margin,), _ = cross_positions(holding(POLICY, {}, {symbol: (quantity, 1)}), quotes, POLICY)
        assert funding_payment(margin, quotes, POLICY) == D(payment)


def test_open_interest_when_the_price_is_zero_then_of_the_least_scale():
    scaling = OpenInterestScaling(lower_cap=D(50_000), upper_cap=D(150_000))
    policy = with_margin(POLICY, SYMBOL, {"open_interest": scaling})
    state = holding(policy, {"USD": 1}, {SYMBOL: (2, 10)})
    now = at(0)
    stated = msgspec.structs.replace(now.marks[SYMBOL], open_interest=D(10))
    now = msgspec.structs.replace(now, marks={**now.marks, SYMBOL: stated})
    # 10 * 1,000 * 10 is half of the way: 20 % + 80 % / 2, of 20,000
    assert cross_figures(state, now, policy).initial_margin == 12_000


def test_tiers_when_below_zero_then_chosen_by_the_scale():
    second = (
        "\n[[tiers.oil]]\nfloor = 50000\nmaintenance_rate = 0.2\ninitial_rate = 0.4\n\n[instruments.CL-MAY]"
    )
    policy = oil(("\n[instruments.CL-MAY]", second))
    state = holding(policy, {"USD": 1}, {SYMBOL: (2, 10)})
    # 10 % of 50,000 and 20 % of 25,260
    assert cross_figures(state, at("-37.63"), policy).maintenance_margin == 5_000 + 5_052


@pytest.mark.parametrize(
    ("quantity", "entry", "price", "value"),
    [
        # -50 less 10 % of 50, less the 10 paid
        (10, 1, -5, -65),
        # 0 less 10 % of 10 * 2
        (10, 1, 0, -12),
        # 80 less 10 % of 80, less the 50 owed
        (-10, -5, -8, 22),
        (10, 1, 20, 170),
    ],
)
def test_health_when_below_zero_then_the_weight_takes_a_share_of_the_scale(quantity, entry, price, value):
    spread = (
        '[instruments.SPREAD]\nkind = "perpetual"\nbase = "SPREAD"\nsettle = "A"\ntiers = "isolated"\n'
        "negative_prices = true\nprice_scale_min = 2\n[health.contracts.SPREAD]\n"
        "initial = { asset = 0.8, liability = 1.2 }\nmaintenance = { asset = 0.9, liability = 1.1 }\n"
    )
    policy = parse(HEALTH + spread)
    quotes = prices({"A-USD": 1, "SPREAD": price})
    state = holding(policy, {"A": 100}, {"SPREAD": (quantity, entry)})
    with exact():
        held, _ = cross_positions(state, quotes, policy)
        (contract,) = health(state, held, quotes, policy, "maintenance").contracts
    assert contract.health == value


@pytest.mark.parametrize(("price", "loss"), [("20", 8_000), ("0", 4_000), ("-37.63", 15_052)])
@pytest.mark.parametrize("side", [1, -1])
def test_portfolio_when_below_zero_then_scenarios_move_by_shares_of_the_scale(price, loss, side):
    grid = '[portfolio.units.default]\ngrid = { prices = [-0.2, 0, 0.2], volatilities = ["none"] }\n'
    policy = oil(("[prices]", f'[pool]\nmodel = "portfolio"\n\n{grid}\n[prices]'))
    state = holding(policy, {"USD": 1}, {SYMBOL: (2 * side, 10)})
    figures = shared_figures(state, at(price), policy)
    assert figures.maintenance_margin == policy.portfolio.maintenance_factor * loss
