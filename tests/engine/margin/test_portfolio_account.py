"""A whole account under portfolio margin by hand: liabilities, orders, fees, lines, and the prices it depends on."""

from decimal import Decimal

import msgspec
import pytest

from engine.events.dependencies import price_symbols_of
from engine.events.pools import CROSS
from engine.ledger.accounts import decode, encode
from engine.margin.cross.cross_pool import cross_figures
from engine.margin.margin_model import explain_shared, shared_figures, uses_portfolio
from engine.margin.portfolio.portfolio_pool import explain_portfolio, portfolio_figures
from engine.policy import BorrowTier
from engine.policy.rules.portfolio_rules import Rates, StablecoinPeg
from tests.support.builders import mark, prices
from tests.support.netted import AT, POLICY, QUOTES, at_prices, netted, with_rules
from tests.support.wide import holding, order, with_pool

D = Decimal
FIGURES = ("equity", "collateral_value", "initial_margin", "maintenance_margin", "liquidation_fee")


def test_borrow_when_an_asset_is_owed_then_its_margin_is_added_to_the_net_risk():
    tier = BorrowTier(floor=D(0), initial_rate=D("0.1"), maintenance_rate=D("0.05"))
    usdt = msgspec.structs.replace(POLICY.assets["USDT"], borrow_tiers=(tier,))
    policy = msgspec.structs.replace(POLICY, assets={**POLICY.assets, "USDT": usdt})
    net = netted({"BTC": 1, "USDT": -10_000}, {"USD-PERP": (-1, 50_000)}, policy=policy)
    assert net.maintenance_margin == D("0.01") * 50_000 + D("0.05") * 10_000
    assert net.initial_margin == D("1.3") * 500 + D("0.1") * 10_000
    assert net.collateral_value == D("0.95") * 50_000 - 10_000


def test_borrowed_coins_when_sold_then_the_debt_is_short_risk_that_a_long_perpetual_hedges():
    owed = netted({"BTC": -1, "USD": 100_000})
    assert owed.maintenance_margin == D("0.2") * 50_000
    hedged = netted({"BTC": -1, "USD": 100_000}, {"USD-PERP": (1, 50_000)})
    assert hedged.maintenance_margin == D("0.01") * 50_000


def test_liabilities_when_a_requirement_then_in_both_margins_beside_the_net_risk():
    policy = with_pool(POLICY, liabilities="requirement")
    net = netted({"BTC": -1, "USD": 100_000}, policy=policy)
    assert net.collateral_value == D(100_000)
    assert net.maintenance_margin == D("0.2") * 50_000 + D("1.05") * 50_000
    assert net.initial_margin == D("1.3") * 10_000 + D("1.05") * 50_000


HEDGE = ({"BTC": 1}, {"USD-PERP": (-1, 50_000)})


@pytest.mark.parametrize(
    ("orders", "extra"),
    [
        # closing the hedge leaves 1 BTC, which secures nothing then
        ([("USD-PERP", 1)], D(0)),
        # closing half of it leaves half a BTC beside a hedge: 20 % of it
        ([("USD-PERP", "0.5")], D("1.3") * (5_000 - 250)),
        # a second short: 20 % of the net 1 BTC, the basis as before
        ([("USD-PERP", -1)], D("1.3") * 10_000),
        # the worse side alone counts
        ([("USD-PERP", 1), ("USD-PERP", -1)], D("1.3") * 10_000),
        # both legs of more hedge: one side alone may fill, the coin bought losing its haircut besides
        ([("USD-PERP", "-0.5"), ("BTC-USDT", "0.5")], D("1.3") * 5_000 + D("0.05") * 25_000),
    ],
)
def test_orders_when_resting_then_the_worse_side_counts_in_the_initial_margin(orders, extra):
    resting = {str(i): order(symbol, signed, 50_000) for i, (symbol, signed) in enumerate(orders)}
    before, after = netted(*HEDGE), netted(*HEDGE, orders=resting)
    assert after.initial_margin == before.initial_margin + extra
    assert after.maintenance_margin == before.maintenance_margin
    assert after.collateral_value == before.collateral_value


def test_orders_when_their_price_is_worse_than_the_mark_then_the_loss_counts_too():
    # buys back the short at 51,000: 1,000 USD of collateral are lost
    after = netted(*HEDGE, orders={"o": order("USD-PERP", 1, 51_000)})
    assert after.initial_margin == D("1.3") * 500 + D("1.3") * (10_000 - 500) + 1_000


def test_orders_when_they_count_in_maintenance_then_at_its_rate_and_each_by_its_existence():
    policy = with_pool(POLICY, orders_in_maintenance=True, order_requirement=D(7))
    resting = {"a": order("USD-PERP", -1, 50_000), "b": order("USD-PERP", 1, 50_000)}
    after = netted(*HEDGE, policy=policy, orders=resting)
    assert after.maintenance_margin == D(500) + 10_000 + 2 * 7
    assert after.initial_margin == D("1.3") * (500 + 10_000) + 2 * 7


@pytest.mark.parametrize("fields", [{"reduce_only": True}, {"isolated": True}])
def test_orders_when_they_cannot_open_risk_in_the_pool_then_they_require_nothing(fields):
    resting = {"o": order("USD-PERP", -1, 50_000, **fields)}
    assert netted(*HEDGE, orders=resting) == netted(*HEDGE)


def test_liquidation_fee_when_ruled_then_of_every_positions_notional():
    policy = with_pool(POLICY, liquidation_fee_rate=D("0.002"))
    positions = {"USD-PERP": (-1, 50_000), "BTC-INV": (500, 50_000)}
    assert netted({"BTC": 1}, positions, policy=policy).liquidation_fee == D("0.002") * 2 * 50_000


def test_peg_when_futures_are_inverse_then_their_size_is_the_coins_they_are_worth():
    peg = StablecoinPeg(asset="USDT", threshold=D("0.98"), rate=Rates(maintenance=D(2)), on="shorts")
    policy = with_rules(peg=peg)
    low = at_prices(USDT_USD="0.93")
    for symbol, quantity in (("USD-PERP", 1), ("BTC-INV", 500)):
        net = netted({"USD": 90_000}, {symbol: (quantity, 50_000)}, low, policy)
        # 20 % of 50,000 + 2 * 0.05 of it
        assert net.maintenance_margin == D("0.2") * 50_000 + D("0.1") * 50_000


# the whole account


FULL = holding(
    POLICY,
    {"USD": -5_000, "USDT": 20_000, "BTC": 2},
    {
        "USD-PERP|short": (-1, 51_000),
        "BTC-INV": (300, 48_000),
        "BTC-DEC": (1, 50_500),
        "BTC-50000-C": (-1, 1),
        "BTC-40000-P": (2, 1),
        "ETH-PERP": (-10, 3_100),
    },
    orders={"a": order("BTC-PERP", 5, 49_000), "b": order("BTC-USDT", -1, 52_000)},
    leverage={"BTC-PERP": D(20)},
    collateral_off=("USDT",),
)
EVERYTHING = with_rules(
    policy=with_pool(
        POLICY, orders_in_maintenance=True, liquidation_fee_rate=D("0.002"), order_requirement=D(3)
    ),
    peg=StablecoinPeg(asset="USDT", threshold=D("1.2"), rate=Rates(maintenance=D(0), initial=D(1))),
)


@pytest.mark.parametrize("policy", [POLICY, EVERYTHING])
def test_lines_when_the_whole_account_is_explained_then_they_sum_to_every_figure(policy):
    breakdown = explain_portfolio(FULL, AT, policy)
    assert breakdown.figures == portfolio_figures(FULL, AT, policy)
    for figure in FIGURES:
        assert breakdown.total(figure) == getattr(breakdown.figures, figure)


@pytest.mark.parametrize("policy", [POLICY, EVERYTHING])
@pytest.mark.parametrize("price", [30_000, 50_000, 90_000])
def test_initial_margin_when_compared_then_it_covers_the_maintenance_margin(policy, price):
    figures = portfolio_figures(FULL, at_prices(BTC_USD=price, USD_PERP=price, BTC_DEC=price), policy)
    assert figures.initial_margin >= figures.maintenance_margin > 0


@pytest.mark.parametrize("model", ["cross", "portfolio"])
@pytest.mark.parametrize(
    "state",
    [
        FULL,
        holding(POLICY, {"BTC": 1}),
        holding(POLICY, {"USD": 100}, {"ADA-PERP|long": (5, 1)}),
        holding(POLICY, {"USD": 100}, orders={"o": order("BTC-40000-P", -1, 60)}),
        holding(POLICY, {"USD": 100}, orders={"o": order("BTC-USDT", 1, 60_000)}),
    ],
)
def test_price_symbols_when_each_price_moves_in_turn_then_only_those_named_move_the_figures(state, model):
    state = msgspec.structs.replace(state, margin_model=model)
    named = price_symbols_of(state, CROSS, EVERYTHING)
    before = shared_figures(state, AT, EVERYTHING)
    for symbol, quote in AT.marks.items():
        moved = msgspec.structs.replace(quote, price=quote.price * D("1.07"), volatility=D("0.9"))
        for after in (
            shared_figures(state, prices({**QUOTES, symbol: moved}), EVERYTHING),
            shared_figures(state, prices(QUOTES, [symbol]), EVERYTHING),
        ):
            assert after == before or symbol in named


def test_price_symbols_when_the_whole_account_is_net_then_every_one_named_moves_a_figure():
    # with a volatility above 0 the forward matters in every scenario
    quotes = {**AT.marks, "BTC-40000-P": mark("BTC-40000-P", 50, volatility="0.6")}
    before = shared_figures(FULL, prices(quotes), EVERYTHING)
    for symbol in price_symbols_of(FULL, CROSS, EVERYTHING):
        moved = msgspec.structs.replace(quotes[symbol], price=quotes[symbol].price * D("1.07"))
        assert shared_figures(FULL, prices({**quotes, symbol: moved}), EVERYTHING) != before, symbol


def test_state_when_encoded_and_read_back_then_the_same_state_and_figures():
    state = msgspec.structs.replace(FULL, margin_model="portfolio")
    again = decode(encode(state))
    assert again == state
    assert encode(again) == encode(state)
    assert portfolio_figures(again, AT, POLICY) == portfolio_figures(state, AT, POLICY)


def test_model_when_the_account_chooses_then_its_choice_and_otherwise_the_policys():
    chosen = {it: msgspec.structs.replace(FULL, margin_model=it) for it in (None, "cross", "portfolio")}
    by_default = with_pool(POLICY, model="cross")
    assert [uses_portfolio(it, POLICY) for it in chosen.values()] == [True, False, True]
    assert [uses_portfolio(it, by_default) for it in chosen.values()] == [False, False, True]
    assert shared_figures(chosen["cross"], AT, POLICY) == cross_figures(FULL, AT, POLICY)
    assert explain_shared(chosen["portfolio"], AT, POLICY) == explain_portfolio(FULL, AT, POLICY)
    without = msgspec.structs.replace(by_default, portfolio=None)
    assert not uses_portfolio(chosen["portfolio"], without)
