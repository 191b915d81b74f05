"""A price that is stale or missing: what it counts for, and who is flagged."""

from decimal import Decimal

import pytest

from engine.events.effects import AccountRisk
from engine.events.judgement import judge
from engine.margin.cross.cross_pool import cross_figures
from engine.margin.isolated_pool import isolated_figures
from tests.support.builders import account, prices, sample

D = Decimal
POLICY = sample()
QUOTES = {"USDT-USD": 1, "BTC-USD": 30_000, "BTC-PERP": 110}
HELD = {"BTC-PERP": (1, 100)}


def figures(state, *, stale=(), missing=()):
    quotes = {symbol: price for symbol, price in QUOTES.items() if symbol not in missing}
    return cross_figures(state, prices(quotes, stale={*stale, *missing}), POLICY)


def test_collateral_when_its_index_is_stale_then_zero_and_flagged_while_equity_keeps_the_last_price():
    state = account({"BTC": 1, "USD": 100}, HELD)
    stale = figures(state, stale=["BTC-USD"])
    assert stale.collateral_value == D(100) + 1 * (110 - 100)  # nothing for the coin
    assert stale.equity == D(30_000) + 100 + 10
    assert stale.degraded


def test_liability_when_its_index_is_stale_then_it_keeps_the_last_price_and_is_flagged():
    stale = figures(account({"BTC": -1, "USD": 50_000}), stale=["BTC-USD"])
    assert stale.collateral_value == D(50_000) - 30_000 * D("1.05")
    assert stale.degraded


def test_liability_when_it_never_had_a_price_then_it_counts_one_for_one_and_is_flagged():
    stale = figures(account({"BTC": -1, "USD": 50_000}), missing=["BTC-USD"])
    assert stale.collateral_value == D(50_000) - 1 * D("1.05")
    assert stale.degraded


def test_position_when_its_mark_is_stale_then_it_keeps_the_last_mark_and_is_flagged():
    state = account({"USD": 1_000}, HELD)
    stale = figures(state, stale=["BTC-PERP"])
    assert stale.equity == D(1_000) + (110 - 100)
    assert stale.maintenance_margin == D("0.05") * 110
    assert stale.degraded


def test_position_when_it_never_had_a_mark_then_its_average_entry_stands_in_and_it_is_flagged():
    missing = figures(account({"USD": 1_000}, HELD), missing=["BTC-PERP"])
    assert missing.equity == D(1_000)  # no profit known
    assert missing.maintenance_margin == D("0.05") * 100
    assert missing.degraded


def test_settle_index_when_missing_then_profit_and_requirement_count_one_for_one_and_are_flagged():
    missing = figures(account({"USD": 1_000}, HELD), missing=["USDT-USD"])
    assert missing.maintenance_margin == D("0.05") * 110 * 1
    assert missing.degraded


@pytest.mark.parametrize("how", ["stale", "missing"])
def test_collateral_when_it_secures_nothing_then_nothing_is_flagged(how):
    assert not figures(account({"BTC": 1, "USD": 1}), **{how: ["BTC-USD"]}).degraded


@pytest.mark.parametrize("how", ["stale", "missing"])
def test_collateral_when_it_secures_a_liability_then_it_is_flagged_and_nobody_is_liquidated(how):
    state = account({"BTC": 1, "USD": -20_000})  # well secured by a coin worth 30,000, whose price is gone
    assert figures(state, **{how: ["BTC-USD"]}).degraded
    quotes = {} if how == "missing" else QUOTES
    judgement = judge(state, AccountRisk("alice"), prices(quotes, {"BTC-USD"}), 0, POLICY)
    assert not [event for event in judgement.events if event.type.startswith(("liquidation", "account"))]


def test_prices_when_an_unrelated_symbol_is_stale_then_nothing_is_flagged():
    assert not figures(account({"USD": 1_000}, HELD), stale=["BTC-USD", "ETH-PERP"]).degraded


@pytest.mark.parametrize("symbol", ["BTC-PERP", "USDT-USD"])
def test_isolated_when_a_price_it_needs_is_stale_then_flagged_at_the_last_price(symbol):
    state = account(isolated={"BTC-PERP": (1, 100, 20)})
    fresh = isolated_figures(state, "BTC-PERP", prices(QUOTES), POLICY)
    stale = isolated_figures(state, "BTC-PERP", prices(QUOTES, {symbol}), POLICY)
    assert not fresh.degraded
    assert stale.degraded
    assert stale.equity == fresh.equity == D(20) + (110 - 100)
