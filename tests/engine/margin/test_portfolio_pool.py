"""Net risk of an account by hand: shocks of 10 and 20 %, 1 % of basis, initial 1.3 times maintenance."""

from decimal import Decimal

import pytest

from engine.margin.cross.cross_pool import cross_figures
from engine.margin.portfolio.portfolio_pool import portfolio_figures
from engine.policy.rules.portfolio_rules import Grid, UnitRules
from tests.support.builders import prices
from tests.support.netted import AT, POLICY, QUOTES, at_prices, netted, with_rules
from tests.support.wide import holding

D = Decimal


# worked examples


def test_example_6_when_coins_hedge_a_short_perpetual_then_only_the_basis_remains_and_cross_asks_for_all():
    hedge = holding(POLICY, {"BTC": 1}, {"USD-PERP": (-1, 50_000)})
    net = portfolio_figures(hedge, AT, POLICY)
    assert net.maintenance_margin == D("0.01") * 50_000
    assert net.initial_margin == D("1.3") * 500
    assert net.equity == D(50_000)
    assert net.collateral_value == D("0.95") * 50_000
    assert cross_figures(hedge, AT, POLICY).maintenance_margin == D("0.05") * 50_000
    # neither leg alone: 20 % of 50,000
    assert netted({"USD": 1}, {"USD-PERP": (-1, 50_000)}).maintenance_margin == D("0.2") * 50_000
    # the coin secures nothing then; beside the least debt or position it is risk like any other
    alone = netted({"BTC": 1})
    assert (alone.maintenance_margin, alone.initial_margin, alone.ratio) == (0, 0, None)
    assert netted({"BTC": 1, "USD": -1}).maintenance_margin == D("0.2") * 50_000


@pytest.mark.parametrize("price", [40_000, 60_000])
def test_example_6_when_the_market_moves_then_equity_stays_and_the_requirement_follows_the_basis(price):
    moved = at_prices(BTC_USD=price, USD_PERP=price)
    net = netted({"BTC": 1}, {"USD-PERP": (-1, 50_000)}, moved)
    assert net.equity == D(price) - (price - 50_000)
    assert net.maintenance_margin == D("0.01") * price


def test_example_5_when_a_pair_is_correlated_then_it_requires_less_than_its_legs():
    # short 10 ETH of 3,000 = 30,000; long 1,000 * 10 ADA of 1.5 = 15,000
    short, long = {"ETH-PERP": (-10, 3_000)}, {"ADA-PERP": (1_000, "1.5")}
    wallet = {"USD": 10_000}
    assert netted(wallet, short).maintenance_margin == D("0.2") * 30_000
    assert netted(wallet, long).maintenance_margin == D("0.2") * 15_000
    pair = netted(wallet, short | long)
    # moved together +20 %: -6,000 + 3,000, so 9,000 - 3,000 is offset; 80 % of it, at most half of the smaller 3,000
    credit = min(D("0.8") * (9_000 - 3_000), D("0.5") * 3_000)
    assert pair.maintenance_margin == D(6_000) + 3_000 - credit
    assert not pair.degraded  # neither underlying has an index: their marks stand for it


def test_example_5_when_the_market_falls_then_the_short_cushions_the_long():
    fallen = at_prices(ETH_PERP=2_400, ADA_PERP="1.2")
    pair = {"ETH-PERP": (-10, 3_000), "ADA-PERP": (1_000, "1.5")}
    assert netted({"USD": 10_000}, pair, fallen).equity == D(10_000) + 10 * 600 - 10_000 * D("0.3")
    assert netted({"USD": 10_000}, {"ADA-PERP": (1_000, "1.5")}, fallen).equity == D(10_000) - 3_000


# hedges of other kinds


def test_coin_when_hedged_by_an_inverse_short_then_only_the_basis_remains():
    # 500 contracts of 100 USD at 50,000 are 1 BTC
    net = netted({"BTC": 1}, {"BTC-INV": (-500, 50_000)})
    assert net.maintenance_margin == D("0.01") * 50_000
    assert net.equity == D(50_000)


def test_inverse_and_linear_when_opposite_then_they_offset_and_pay_the_basis_of_one_expiry_only():
    both_perpetual = netted({"USD": 90_000}, {"USD-PERP": (1, 50_000), "BTC-INV": (-500, 50_000)})
    assert both_perpetual.maintenance_margin == 0
    with_future = netted({"USD": 90_000}, {"USD-PERP": (1, 50_000), "BTC-DEC": (-1, 50_000)})
    assert with_future.maintenance_margin == D("0.01") * 50_000


def test_hedge_when_partial_then_the_rest_is_shocked_and_the_offset_pays_the_basis():
    net = netted({"BTC": 3}, {"USD-PERP": (-1, 50_000)})
    assert net.maintenance_margin == D("0.2") * 2 * 50_000 + D("0.01") * 1 * 50_000


def test_legs_when_long_and_short_of_one_symbol_then_they_net_without_a_rule():
    net = netted({"USD": 90_000}, {"USD-PERP|long": (3, 50_000), "USD-PERP|short": (-2, 50_000)})
    assert net.maintenance_margin == D("0.2") * 1 * 50_000


# options


def test_short_call_when_shocked_up_then_what_it_would_pay_is_lost():
    short = netted({"USD": 90_000}, {"BTC-50000-C": (-2, 1)})
    # 2 * (60,000 - 50,000); the value of 100 each lowers the collateral
    assert short.maintenance_margin == D(2) * 10_000
    assert short.collateral_value == short.equity == D(90_000) - 2 * 100


def test_short_call_when_covered_by_coins_then_only_its_deltas_basis_is_required():
    # + 20 %: 1 BTC gains 10,000, the call pays 10,000; - 20 %: the coin loses 10,000, the call nothing
    covered = netted({"BTC": 1}, {"BTC-50000-C": (-1, 1)})
    assert covered.maintenance_margin == D("0.2") * 50_000


def test_put_when_it_protects_coins_then_the_loss_below_its_strike_is_covered():
    policy = with_rules(UnitRules(grid=Grid(prices=(D("-0.5"), D("0.5")), volatilities=("none",))))
    # - 50 %: 1 BTC loses 25,000, a put of 40,000 pays 40,000 - 25,000
    assert netted({"BTC": 1}, {"BTC-40000-P": (1, 1)}, policy=policy).maintenance_margin == D(25_000) - 15_000


@pytest.mark.parametrize("quotes", [
    {"BTC-50000-C": 100},  # no volatility
    {"BTC-USD": None}, {"BTC-50000-C": None},
])  # fmt: skip
def test_option_when_volatility_or_a_price_is_missing_then_degraded(quotes):
    at = prices({symbol: quote for symbol, quote in (QUOTES | quotes).items() if quote is not None})
    assert netted({"USD": 9}, {"BTC-50000-C": (1, 1)}, at).degraded
    assert not netted({"USD": 9}, {"BTC-50000-C": (1, 1)}).degraded


@pytest.mark.parametrize("stale", ["BTC-FWD", "BTC-40000-P", "BTC-USD"])
def test_option_when_its_forward_or_another_price_is_stale_then_degraded(stale):
    assert netted({"USD": 9}, {"BTC-40000-P": (1, 1)}, at_prices([stale])).degraded
