"""Coin-margined contracts by hand: 100 USD each, so a thousand contracts at 50,000 are worth 2 BTC."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.inputs import MarginMode, Settlement, Topic
from engine.ledger.accounts import FLAT
from engine.ledger.booking import filled
from engine.margin.cross.cross_pool import cross_figures
from engine.margin.isolated_pool import isolated_figures
from engine.margin.position_margin import position_margin
from engine.margin.quotes import average_entry_price
from engine.numbers import exact
from tests.support.builders import applied, prices, trade
from tests.support.wide import holding, opened, wide

D = Decimal
POLICY = wide()
BOTH = pytest.mark.parametrize("symbol", ["BTC-INV", "BTC-INV-DEC"])
CONTRACT = POLICY.instruments["BTC-INV"]


def booked(state, *fills):
    return applied(state, POLICY, Topic.FILLS, *fills)


def margin(symbol, quantity, entry, mark, leverage=10):
    with exact():
        return position_margin(symbol, opened(POLICY, symbol, quantity, entry), D(mark), D(leverage), POLICY)


@BOTH
@pytest.mark.parametrize("sign", [1, -1])
def test_fill_when_it_opens_then_the_entry_value_is_in_coin(symbol, sign):
    state = booked(holding(POLICY), trade(symbol, sign * 1_000, 50_000))
    assert state.positions[symbol].entry_value == sign * D(1_000) * 100 / 50_000  # 2 BTC
    assert state.balances == {}


def test_fills_when_several_open_then_their_coin_values_add_up_and_the_average_price_is_harmonic():
    state = booked(holding(POLICY), trade("BTC-INV", 1_000, 50_000), trade("BTC-INV", 1_000, 40_000))
    held = state.positions["BTC-INV"]
    assert held.entry_value == D(2) + D("2.5")  # 100,000 / 50,000 + 100,000 / 40,000
    # 200,000 USD / 4.5 BTC, below the 45,000 of an arithmetic mean
    with exact():
        assert average_entry_price(held, CONTRACT) == D("44444.444444444444444444")


@BOTH
@pytest.mark.parametrize(
    ("quantity", "mark", "pnl"),
    [
        (1_000, 62_500, D(100_000) / 50_000 - D(100_000) / 62_500),  # 2 - 1.6
        (-1_000, 62_500, -D(100_000) / 50_000 + D(100_000) / 62_500),
        (
            1_000,
            40_000,
            D(100_000) / 50_000 - D(100_000) / 40_000,
        ),  # 2 - 2.5: falling hurts more than rising helps
        (-1_000, 40_000, -D(100_000) / 50_000 + D(100_000) / 40_000),
    ],
)
def test_unrealised_when_the_mark_moves_then_usd_times_the_difference_of_the_inverse_prices(
    symbol, quantity, mark, pnl
):
    assert margin(symbol, quantity, 50_000, mark).unrealised_pnl == pnl


@pytest.mark.parametrize("sign", [1, -1])
def test_fill_when_it_closes_a_part_then_realised_and_unrealised_are_what_the_whole_had_gained(sign):
    state = booked(
        holding(POLICY), trade("BTC-INV", sign * 1_000, 50_000), trade("BTC-INV", -sign * 400, 62_500)
    )
    # released 2 * 400 / 1,000 = 0.8, less 40,000 / 62,500 = 0.64
    assert state.balances == {"BTC": sign * (D("0.8") - D("0.64"))}
    assert state.positions["BTC-INV"].entry_value == sign * (D(2) - D("0.8"))
    rest = D("1.2") - D(60_000) / 62_500  # 0.24 is left of 2 - 1.6 = 0.4
    assert rest + D("0.16") == D("0.4")
    with exact():
        left = position_margin("BTC-INV", state.positions["BTC-INV"], D(62_500), D(10), POLICY)
    assert left.unrealised_pnl == sign * rest


def test_fill_when_it_flips_then_all_is_realised_and_the_rest_opens_at_the_price():
    state = booked(holding(POLICY), trade("BTC-INV", 1_000, 50_000), trade("BTC-INV", -1_500, 62_500))
    assert state.balances == {"BTC": D(2) - D("1.6")}
    assert state.positions["BTC-INV"].quantity == -500
    assert state.positions["BTC-INV"].entry_value == -D(50_000) / 62_500  # -0.8 BTC


@BOTH
def test_margin_when_inverse_then_notional_tiers_and_margins_count_coins(symbol):
    below = margin(symbol, 1_999, 50_000, 40_000)
    assert below.notional == D(199_900) / 40_000  # 4.9975 BTC: the first tier
    assert below.maintenance_margin == D("0.005") * D("4.9975")
    assert below.initial_margin == D("4.9975") / 10

    edge = margin(symbol, 2_000, 50_000, 40_000, leverage=100)
    assert (edge.notional, edge.maintenance_rate) == (D(5), D("0.01"))
    assert edge.deduction == D(5) * (D("0.01") - D("0.005"))
    assert edge.maintenance_margin == D("0.01") * 5 - D("0.025")
    assert edge.initial_margin == D("0.02") * 5  # the tier's rate is above 1 / 100


def test_tier_when_the_price_falls_then_the_coins_rise_into_the_tier_above():
    assert margin("BTC-INV", 2_200, 50_000, 50_000).maintenance_rate == D("0.005")  # 4.4 BTC
    assert margin("BTC-INV", 2_200, 50_000, 40_000).maintenance_rate == D("0.01")  # 5.5 BTC


def test_pool_when_inverse_then_coins_convert_at_their_index_and_not_at_the_mark():
    state = holding(POLICY, {"BTC": 1}, {"BTC-INV": (1_000, 50_000)})
    figures = cross_figures(state, prices({"BTC-USD": 60_000, "BTC-INV": 62_500}), POLICY)
    # uPnL 2 - 1.6 = 0.4 BTC; requirements of 1.6 BTC
    assert figures.equity == (D(1) + D("0.4")) * 60_000
    assert figures.collateral_value == D("1.4") * D("0.95") * 60_000
    assert figures.maintenance_margin == D("0.005") * D("1.6") * 60_000
    assert figures.initial_margin == D("1.6") / 10 * 60_000


def coin_pool(quantity, price):
    state = holding(POLICY, {"BTC": 1}, {"BTC-INV": (quantity, 50_000)})
    return cross_figures(state, prices({"BTC-USD": price, "BTC-INV": price}), POLICY)


@pytest.mark.parametrize("price", [40_000, 50_000, 62_500, 100_000])
def test_pool_when_coins_are_hedged_by_an_inverse_short_then_the_same_tick_moves_both_and_nothing_changes(
    price,
):
    figures = coin_pool(-500, price)
    # 1 BTC + 50,000 * (1 / price - 1 / 50,000) = 50,000 / price BTC, always 50,000 USD
    assert figures.equity == D(50_000)
    assert figures.collateral_value == D("0.95") * 50_000
    assert figures.maintenance_margin == D("0.005") * 50_000


def test_pool_when_coins_secure_an_inverse_long_then_a_fall_is_lost_twice():
    # (1 + 50,000 * (1 / 50,000 - 1 / 40,000)) * 40,000 = (1 - 0.25) * 40,000; the coin alone would be 40,000
    assert coin_pool(500, 40_000).equity == (D(1) - D("0.25")) * 40_000


def test_pool_when_an_inverse_loss_exceeds_the_wallet_then_the_coin_is_a_liability():
    state = holding(POLICY, {"USD": 100_000}, {"BTC-INV": (1_000, 50_000)})
    figures = cross_figures(state, prices({"BTC-USD": 40_000, "BTC-INV": 40_000}), POLICY)
    # 2 - 2.5 = -0.5 BTC, owed at 105 %
    assert figures.collateral_value == D(100_000) - D("0.5") * 40_000 * D("1.05")


@pytest.mark.parametrize(("sign", "mark"), [(1, 40_000), (-1, 80_000)])
def test_isolated_when_the_margin_is_lost_then_equity_is_zero_and_a_takeover_at_that_price_leaves_nothing(
    sign, mark
):
    # entry 100,000 / 50,000 = 2 BTC; long: 2 + m = 100,000 / 40,000; short: 2 - m = 100,000 / 80,000
    lost = sign * (D(100_000) / mark - D(2))  # 0.5, 0.75
    opening = trade(
        "BTC-INV", sign * 1_000, 50_000, margin_mode=MarginMode.ISOLATED, margin_transfer=str(lost)
    )
    state = booked(holding(POLICY, {"BTC": 3}), opening)
    assert state.balances == {"BTC": D(3) - lost}
    at = prices({"BTC-USD": 50_000, "BTC-INV": mark})
    assert isolated_figures(state, "BTC-INV", at, POLICY).equity == 0

    closed = booked(state, trade("BTC-INV", -sign * 1_000, mark, margin_mode=MarginMode.ISOLATED))
    assert closed.isolated == {}
    assert closed.balances == {"BTC": D(3) - lost}  # the rest of the wallet is untouched


def test_settlement_when_an_inverse_future_expires_then_the_coins_gained_are_paid():
    state = holding(POLICY, {"BTC": 1}, {"BTC-INV-DEC": (1_000, 50_000), "BTC-INV": (1, 50_000)})
    end = Settlement(account="alice", settlement_id="s", time_ns=0, symbol="BTC-INV-DEC", price=D(62_500))
    after = booked(state, end)
    assert after.balances == {"BTC": D(1) + D(2) - D("1.6")}
    assert set(after.positions) == {"BTC-INV"}


contracts = st.integers(min_value=-5_000, max_value=5_000).filter(bool)
levels = st.decimals(min_value=100, max_value=200_000, places=2)


@given(st.lists(st.tuples(contracts, levels), min_size=1, max_size=12), levels)
def test_conservation_when_filled_in_any_order_then_realised_and_unrealised_are_the_value_bought_less_now(
    fills, mark
):
    with exact():
        position, realised, bought = FLAT, D(0), D(0)
        for quantity, price in fills:
            position, gained = filled(position, D(quantity), price, CONTRACT)
            realised += gained
            bought += CONTRACT.value(D(quantity), price)
        unrealised = CONTRACT.profit(position.entry_value, CONTRACT.value(position.quantity, mark))
        # only a flip splits one fill's value into two quotients, each rounded in the 18th place
        error = abs(realised + unrealised - (bought - CONTRACT.value(position.quantity, mark)))
        assert error <= len(fills) * D("1e-18")
