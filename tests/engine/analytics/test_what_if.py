"""What-if questions by hand: shocks of prices, an order filled, collateral deposited."""

from decimal import Decimal

import msgspec
import pytest

from engine.analytics.what_if import (
    EVERYTHING,
    Market,
    after_deposit,
    after_order,
    currencies,
    is_target,
    present_price,
)
from engine.ledger.accounts import OpenOrder
from engine.margin.margin_model import shared_figures
from engine.margin.options.black76 import OptionQuote, option_price
from engine.marks.mark_book import NANOSECONDS
from engine.policy import Instrument
from engine.rejections import Rejection, RejectionCode
from tests.support.builders import account, mark, prices, sample
from tests.support.wide import wide

D = Decimal
QUOTES = {"USDT-USD": "0.98", "BTC-USD": 60_000, "BTC-PERP": 60_100, "ETH-PERP": 3_000, "USD-PERP": 60_050}
CALL = "BTC-50000-C"


@pytest.fixture
def quotes():
    return prices(QUOTES)


def price_of(shown, symbol):
    return shown.marks[symbol].price


def shocked(now, policy, **factors):
    targets = {name.replace("_", "-"): D(factor) for name, factor in factors.items()}
    return Market(targets, now, policy).at(targets)


def changed(before, after):
    return {symbol for symbol in before.marks if price_of(before, symbol) != price_of(after, symbol)}


# --- shocks


def test_shock_when_an_underlying_then_its_index_and_every_contract_on_it(policy, quotes):
    after = shocked(quotes, policy, BTC="0.85")
    # 60,000 and 60,100 and 60,050, each * 0.85
    assert [price_of(after, it) for it in ("BTC-USD", "BTC-PERP", "USD-PERP")] == [
        51_000,
        51_085,
        D("51042.5"),
    ]
    assert changed(quotes, after) == {"BTC-USD", "BTC-PERP", "USD-PERP"}


def test_shock_when_a_price_symbol_then_only_that_one(policy, quotes):
    assert changed(quotes, shocked(quotes, policy, BTC_PERP="0.5")) == {"BTC-PERP"}
    assert changed(quotes, shocked(quotes, policy, BTC_USD="1.5")) == {"BTC-USD"}


def test_shock_when_of_everything_then_currencies_stay(policy, quotes):
    after = shocked(quotes, policy, ALL="0.9")
    assert changed(quotes, after) == set(QUOTES) - {"USDT-USD"}
    assert price_of(after, "ETH-PERP") == 2_700


def test_shock_when_a_currency_is_named_then_it_moves(policy, quotes):
    after = shocked(quotes, policy, USDT="0.5")
    assert (changed(quotes, after), price_of(after, "USDT-USD")) == ({"USDT-USD"}, D("0.49"))


def test_shock_when_several_name_a_price_then_the_most_specific_wins(policy, quotes):
    after = shocked(quotes, policy, ALL="0.9", BTC="0.8", BTC_PERP="0.7")
    found = {symbol: price_of(after, symbol) / price_of(quotes, symbol) for symbol in changed(quotes, after)}
    assert found == {"BTC-PERP": D("0.7"), "BTC-USD": D("0.8"), "USD-PERP": D("0.8"), "ETH-PERP": D("0.9")}


def test_shock_when_applied_then_sequence_time_and_average_stay(policy):
    now = prices(
        {"BTC-PERP": mark("BTC-PERP", 100, sequence=7, at=3, average_price=101, funding_rate="0.01")}
    )
    after = shocked(now, policy, BTC="2")
    assert after.marks["BTC-PERP"] == msgspec.structs.replace(now.marks["BTC-PERP"], price=D(200))
    assert price_of(now, "BTC-PERP") == 100, "the prices asked about were changed"


def test_shock_when_the_target_is_none_then_refused(policy, quotes):
    assert not is_target("BTC-USDT", policy), "a spot pair has no price of its own"
    with pytest.raises(KeyError, match="XYZ"):
        Market(("XYZ",), quotes, policy)


@pytest.mark.parametrize("name", ["ALL", "BTC", "ADA", "USDT", "BTC-USD", "BTC-PERP"])
def test_target_when_underlying_asset_or_price_then_one(policy, name):
    assert is_target(name, policy)


def test_currencies_when_something_is_written_on_them_then_by_what_they_do_more(policy):
    assert currencies(policy) == {"USD", "USDT"}
    once = Instrument(kind="perpetual", base="USDT", settle="USD", tiers="major")
    # one contract on USDT, three settled in it
    listed = msgspec.structs.replace(policy, instruments={**policy.instruments, "USDT-PERP": once})
    assert currencies(listed) == {"USD", "USDT"}
    # one contract settled in BTC, two written on it
    on_coin = Instrument(kind="perpetual", base="ETH", settle="BTC", tiers="major")
    listed = msgspec.structs.replace(policy, instruments={**policy.instruments, "ETHBTC": on_coin})
    assert "BTC" not in currencies(listed)


def test_currencies_when_no_contract_names_them_then_by_spot_pairs(policy):
    pair = policy.instruments["BTC-USDT"]
    assert currencies(msgspec.structs.replace(policy, instruments={"BTC-USDT": pair})) == {"USD", "USDT"}


# --- options


def quote(policy, forward, volatility="0.6"):
    option = policy.instruments[CALL]
    left = D(option.expiry_ns) / NANOSECONDS
    return option_price(OptionQuote("call", D(50_000), D(forward), D(volatility), left))


def test_shock_when_an_option_then_black76_at_the_moved_forward():
    policy = wide()
    fair = quote(policy, 60_000)
    now = prices({"USDT-USD": 1, "BTC-USD": 60_000, CALL: mark(CALL, fair, volatility="0.6")})
    # the forward is the index: 60,000 * 0.85
    assert price_of(shocked(now, policy, BTC="0.85"), CALL) == quote(policy, 51_000)
    assert price_of(shocked(now, policy, ALL="0.85"), CALL) == quote(policy, 51_000)


def test_shock_when_an_options_mark_is_not_its_model_price_then_it_moves_by_the_difference():
    policy = wide()
    fair, moved = quote(policy, 60_000), quote(policy, 66_000)
    now = prices({"USDT-USD": "0.5", "BTC-USD": 60_000, CALL: mark(CALL, 25_000, volatility="0.6")})
    assert price_of(shocked(now, policy, BTC="1"), CALL) == 25_000
    # in USDT of 0.5 USD: (25,000 * 0.5 + moved - fair) / 0.5
    assert price_of(shocked(now, policy, BTC="1.1"), CALL) == (25_000 * D("0.5") + moved - fair) / D("0.5")


def test_shock_when_an_option_falls_by_more_than_it_is_worth_then_zero():
    policy = wide()
    now = prices({"USDT-USD": 1, "BTC-USD": 60_000, CALL: mark(CALL, 10, volatility="0.6")})
    assert price_of(shocked(now, policy, BTC="0.1"), CALL) == 0


def test_shock_when_an_option_settles_in_coin_then_its_new_value_at_the_coins_new_price():
    policy = wide()
    now = prices({"BTC-USD": 60_000, "BTC-COIN-C": mark("BTC-COIN-C", "0.25", volatility="0.6")})
    value = D("0.25") * 60_000 + quote(policy, 51_000) - quote(policy, 60_000)
    after = price_of(shocked(now, policy, BTC="0.85"), "BTC-COIN-C")
    assert abs(after - value / 51_000) < D("1e-17")


def test_shock_when_an_option_has_no_volatility_then_it_stays_and_is_named():
    policy = wide()
    now = prices({"USDT-USD": 1, "BTC-USD": 60_000, CALL: 12_000})
    market = Market(("BTC",), now, policy)
    assert market.not_repriced == (CALL,)
    assert price_of(market.at({"BTC": D("0.5")}), CALL) == 12_000
    assert Market((CALL,), now, policy).not_repriced == ()
    assert price_of(shocked(now, policy, **{CALL.replace("-", "_"): "0.5"}), CALL) == 6_000


def test_shock_when_an_option_has_a_forward_then_it_moves_with_its_underlying_or_by_name():
    policy = wide()
    listed = msgspec.structs.replace(policy.instruments[CALL], forward="BTC-F")
    policy = msgspec.structs.replace(policy, instruments={CALL: listed})
    fair = quote(policy, 62_000)
    now = prices(
        {"USDT-USD": 1, "BTC-USD": 60_000, "BTC-F": 62_000, CALL: mark(CALL, fair, volatility="0.6")}
    )
    after = shocked(now, policy, BTC="0.5")
    assert (price_of(after, "BTC-F"), price_of(after, CALL)) == (31_000, quote(policy, 31_000))
    assert changed(now, shocked(now, policy, BTC_F="0.5")) == {"BTC-F"}


# --- figures


def test_figures_when_the_market_falls_then_by_hand(policy):
    # 2 contracts from 100; USD-PERP requires 5 % and 10 % of its notional
    state = account({"USD": 100}, {"USD-PERP": (2, 100)})
    figures = shared_figures(state, shocked(prices({"USD-PERP": 100}), policy, ALL="0.9"), policy)
    assert (figures.equity, figures.initial_margin, figures.maintenance_margin) == (
        100 + 2 * (90 - 100),
        D("0.1") * 2 * 90,
        D("0.05") * 2 * 90,
    )


# --- orders and deposits


def test_order_when_filled_then_position_and_realised_profit(policy):
    state = account({"USD": 100}, {"USD-PERP": (2, 100)})
    after = after_order(state, OpenOrder("USD-PERP", D(-3), D(110)), policy)
    # 2 closed at a profit of 10 each, 1 opened short
    assert (after.balances, after.positions["USD-PERP"].quantity) == ({"USD": D(120)}, D(-1))


def test_deposit_when_listed_then_credited_else_refused(policy):
    state = account({"USD": 100})
    assert after_deposit(state, "BTC", D(2), policy).balances == {"USD": D(100), "BTC": D(2)}
    refused = after_deposit(state, "DOGE", D(2), policy)
    assert isinstance(refused, Rejection)
    assert refused.code is RejectionCode.UNKNOWN_ASSET


def test_present_price_when_a_contract_then_its_mark_and_of_a_pair_its_assets(policy, quotes):
    assert present_price("BTC-PERP", quotes, policy) == 60_100
    assert present_price("ADA-PERP", quotes, policy) is None
    # 60,000 / 0.98
    assert abs(present_price("BTC-USDT", quotes, policy) - D(60_000) / D("0.98")) < D("1e-17")
    assert present_price("BTC-USDT", prices({"BTC-USD": 60_000}), policy) is None


def test_everything_is_no_symbol_of_the_sample():
    assert EVERYTHING not in sample().price_symbols
