"""The liquidation heat map by hand: where a pool falls, what counts there, and who is left out."""

from decimal import Decimal

import pytest

from engine.analytics.heat_map import PoolsNow, heat_map, market_points
from engine.analytics.pool_at import SHARED
from tests.support.builders import account, mark, prices, sample
from tests.support.wide import holding, wide

D = Decimal
MOVES = tuple(map(D, ("-0.3", "-0.2", "-0.1", "0.1", "0.2", "0.3")))
NOW = {"USDT-USD": 1, "BTC-USD": 100, "BTC-PERP": 100, "ETH-PERP": 50, "USD-PERP": 100, "ADA-PERP": 1}


def mapped(*states, policy=None, now=None, under_way=(), degraded=(), moves=MOVES):
    policy = policy or sample()
    points = list(market_points(moves, now or prices(NOW), policy))
    return heat_map([(state, PoolsNow(under_way, degraded)) for state in states], points, policy)


def at(heat, symbol):
    """Notional of a symbol by move, where there is any."""
    found = heat.notional.get(symbol, ())
    return {move: notional for move, notional in zip(heat.moves, found, strict=bool(found)) if notional}


def pools_at(heat):
    return {move: count for move, count in zip(heat.moves, heat.pools, strict=True) if count}


def test_heat_map_when_long_then_it_falls_at_the_first_move_down_below_the_line():
    # 250 + 10 * (100 f - 100) < 5 % * 10 * 100 f    <=>    f < 750 / 950 = 0.789: at -0.2 still above, below at -0.3
    heat = mapped(account({"USD": 250}, {"USD-PERP": (10, 100)}))
    # notional 10 * 100 * 0.7
    assert at(heat, "USD-PERP") == {D("-0.3"): 700}
    assert pools_at(heat) == {D("-0.3"): 1}
    assert heat.moves == (*MOVES[:3], 0, *MOVES[3:])


def test_heat_map_when_short_then_it_falls_at_the_first_move_up():
    # 250 - 10 * (100 f - 100) < 50 f    <=>    f > 1250 / 1050 = 1.19: above at +0.1, below at +0.2
    heat = mapped(account({"USD": 250}, {"USD-PERP": (-10, 100)}))
    assert at(heat, "USD-PERP") == {D("0.2"): 1200}


def test_heat_map_when_exactly_on_the_line_then_it_does_not_fall_there():
    # at f = 0.8:    240 - 200 = 40 = 5 % * 10 * 80, which is not below
    heat = mapped(account({"USD": 240}, {"USD-PERP": (10, 100)}))
    assert at(heat, "USD-PERP") == {D("-0.3"): 700}
    assert at(mapped(account({"USD": D("239.99")}, {"USD-PERP": (10, 100)})), "USD-PERP") == {D("-0.2"): 800}


def test_heat_map_when_a_pool_falls_both_ways_then_it_counts_in_each_direction():
    policy = wide()
    # 30 days before the expiry of a straddle that was sold: either leg may lose more than there is
    now = prices(
        {
            **NOW,
            "BTC-USD": 50_000,
            "BTC-50000-C": mark("BTC-50000-C", 4_000, volatility="0.6"),
            "BTC-40000-P": mark("BTC-40000-P", 500, volatility="0.6"),
        },
        at=policy.instruments["BTC-50000-C"].expiry_ns // 10**9 - 30 * 86_400,
    )
    state = holding(policy, {"USD": 17_000}, {"BTC-50000-C": (-1, 4_000), "BTC-40000-P": (-1, 500)})
    heat = mapped(state, policy=policy, now=now, moves=[D("-0.5"), D("0.5")])
    assert pools_at(heat) == {D("-0.5"): 1, D("0.5"): 1}
    # the put is worth about 15,000 at 25,000, the call about 25,000 at 75,000
    assert at(heat, "BTC-40000-P")[D("-0.5")] == pytest.approx(D(15_000), rel=D("0.05"))
    assert at(heat, "BTC-50000-C")[D("0.5")] == pytest.approx(D(25_000), rel=D("0.05"))


def test_heat_map_when_below_the_line_already_then_it_counts_at_no_move_only():
    # 40 < 5 % * 1000
    heat = mapped(account({"USD": 40}, {"USD-PERP": (10, 100)}))
    assert at(heat, "USD-PERP") == {D(0): 1000}
    assert pools_at(heat) == {D(0): 1}


def test_heat_map_when_a_liquidation_is_under_way_then_it_counts_at_no_move_whatever_its_figures():
    state = account({"USD": 10_000}, {"USD-PERP": (10, 100)})
    assert at(mapped(state), "USD-PERP") == {}
    assert at(mapped(state, under_way={SHARED}), "USD-PERP") == {D(0): 1000}


def test_heat_map_when_isolated_then_each_position_falls_on_its_own():
    # both as the long and the short above, beside a wallet that could pay for either
    state = account({"USD": 9_999}, isolated={"USD-PERP": (10, 100, 250), "BTC-PERP": (-10, 100, 250)})
    heat = mapped(state)
    assert at(heat, "USD-PERP") == {D("-0.3"): 700}
    assert at(heat, "BTC-PERP") == {D("0.2"): 1200}
    under_way = mapped(state, under_way={"BTC-PERP"})
    assert at(under_way, "BTC-PERP") == {D(0): 1000}
    assert at(under_way, "USD-PERP") == {D("-0.3"): 700}


def test_heat_map_when_profit_of_one_leg_carries_the_other_then_the_pool_holds():
    # net flat: 60 + 20 * 50 (f - 1) - 10 * 100 (f - 1) = 60 >= 5 % * 2000 f    <=>    f <= 0.6; here it is below at once
    state = account({"USDT": 60}, {"BTC-PERP": (-10, 100), "ETH-PERP": (20, 50)})
    assert at(mapped(state), "ETH-PERP") == {D(0): 1000}
    # with 105 it holds up to f = 1.05, and both legs fall together at +0.1
    heat = mapped(account({"USDT": 105}, {"BTC-PERP": (-10, 100), "ETH-PERP": (20, 50)}))
    assert at(heat, "ETH-PERP") == at(heat, "BTC-PERP") == {D("0.1"): 1100}


def test_heat_map_when_settled_in_another_asset_then_at_its_index_which_does_not_move():
    # wallet and P&L in USDT at 0.5: the same move as in USD, the notional 700 USDT * 0.5
    heat = mapped(account({"USDT": 250}, {"BTC-PERP": (10, 100)}), now=prices({**NOW, "USDT-USD": "0.5"}))
    assert at(heat, "BTC-PERP") == {D("-0.3"): 350}


def test_heat_map_when_coin_collateral_falls_with_the_market_then_that_counts():
    # short 1 at 100 against 2 coins: C = 2 * 0.95 * 100 f - 100 (f - 1); a fall never hurts as much as it helps
    held = {"BTC-PERP": (-1, 100)}
    assert at(mapped(account({"BTC": 2}, held)), "BTC-PERP") == {}
    # long 1: 0.4 coins * 95 f + 100 (f - 1) < 5 f    <=>    f < 100 / 133 = 0.752
    assert at(mapped(account({"BTC": D("0.4")}, {"BTC-PERP": (1, 100)})), "BTC-PERP") == {D("-0.3"): 70}


def test_heat_map_when_inverse_then_the_notional_moves_with_the_index_over_the_mark():
    policy = wide()
    # long 10 contracts of 100 USD at 5000, secured by 0.05 coins
    now = prices({**NOW, "BTC-USD": 5_000, "BTC-INV": 5_000})
    heat = mapped(holding(policy, {"BTC": "0.05"}, {"BTC-INV": (10, 5_000)}), policy=policy, now=now)
    # E = 0.05 + 0.2 - 0.2 / f coins: 0.028 at f = 0.9, nothing left at 0.8; there 1000 / 4000 coins * 4000
    assert at(heat, "BTC-INV") == {D("-0.2"): 1000}


def test_heat_map_when_a_pool_is_degraded_then_withheld_where_the_policy_withholds():
    state = account({"USD": 40}, {"USD-PERP": (10, 100)})
    now = prices(NOW, stale=["USD-PERP"])
    heat = mapped(state, now=now, degraded={SHARED})
    assert (heat.notional, heat.withheld, pools_at(heat)) == ({}, 1, {})
    trusting = sample(
        ("exit_hold_seconds = 5", "exit_hold_seconds = 5\nwithhold_liquidation_when_degraded = false")
    )
    assert at(mapped(state, policy=trusting, now=now, degraded={SHARED}), "USD-PERP") == {D(0): 1000}
    # what was requested before is under way all the same
    assert at(mapped(state, now=now, under_way={SHARED}, degraded={SHARED}), "USD-PERP") == {D(0): 1000}


def test_heat_map_when_several_accounts_then_their_notionals_add_up():
    long = account({"USD": 250}, {"USD-PERP": (10, 100)})
    other = account({"USD": 260, "USDT": 1}, {"USD-PERP": (10, 100)}, name="bob")
    heat = mapped(long, other, account({"USD": 5}, name="idle"))
    assert at(heat, "USD-PERP") == {D("-0.3"): 1400}
    assert pools_at(heat) == {D("-0.3"): 2}


def test_heat_map_when_only_a_debt_hangs_on_a_coin_then_the_pool_counts_without_notional():
    # 1.06 coins * 95 f < 80    <=>    f < 0.794
    heat = mapped(account({"BTC": D("1.06"), "USD": -80}))
    assert (heat.notional, pools_at(heat)) == ({}, {D("-0.3"): 1})


def test_market_points_when_prices_change_afterwards_then_they_do_not():
    marks = dict(prices(NOW).marks)
    points = market_points([D("-0.5")], prices(marks), sample())
    down = next(points)
    marks["BTC-PERP"] = mark("BTC-PERP", 1)
    assert down.prices.marks["BTC-PERP"].price == 50
    assert next(points).prices.marks["BTC-PERP"].price == 100
    assert [point.move for point in market_points([], prices(NOW), sample())] == [0]
