"""Shocks of an account by hand: the market, one contract, a day of history."""

from decimal import Decimal

import pytest
from msgspec.structs import replace

from engine.analytics.recorded_move import recorded_move
from engine.analytics.stress import figures_now, profit_by_item, stress_grid, stressed, worst_case
from engine.analytics.stress_scenario import ScenarioError, left_out, parse_scenario, scenario_prices
from engine.analytics.weighting import Weighting
from engine.analytics.what_if import Market
from engine.margin.margin_model import shared_figures
from tests.support.builders import account, mark, prices, sample
from tests.support.wide import holding, wide

D = Decimal
AT = prices({"USDT-USD": 1, "BTC-USD": 100, "BTC-PERP": 100, "ETH-PERP": 50, "USD-PERP": 100})
LINES = (D("1.5"), D("1.2"), D(1))

SCENARIO = """
name = "bad day"
about = "by hand"
begins = 2020-03-12T00:00:00Z
ends = 2020-03-13T00:00:00Z
sources = ["made up"]
others = -0.5
volatility_others = 0.25

[prices]
BTC = -0.4
FTT = -0.9

[volatilities]
BTC = 1
"""


def test_grid_when_uniform_then_every_cell_by_hand(policy):
    state = account({"USD": 250}, {"USD-PERP": (10, 100)})
    low, same, high = stress_grid(state, AT, policy, (D("-0.2"), D(0), D("0.1")))
    # 250 + 10 * (80 - 100) = 50 against 5 % and 10 % of 800
    (pool,) = low.pools
    assert (pool.equity, pool.profit, pool.requirement, pool.initial_margin) == (50, -200, 40, 80)
    assert (pool.ratio, pool.band, pool.pool) == (D("1.25"), "warning", "")
    assert (same.move, same.pools[0].profit, same.pools[0].ratio) == (0, 0, 5)
    # 10 * (110 - 100)
    assert high.pools[0].profit == 100


def test_grid_when_by_beta_then_each_coin_moves_by_its_own():
    policy = sample(("[ladder]", "[stress.betas]\nETH = 1.5\n\n[ladder]"))
    state = account({"USDT": 100}, {"BTC-PERP": (2, 100), "ETH-PERP": (-4, 50)})
    (uniform,) = stress_grid(state, AT, policy, (D("-0.2"),))
    (weighted,) = stress_grid(state, AT, policy, (D("-0.2"),), weighting=Weighting.BETA)
    # 2 * -20 + 4 * 10, and 2 * -20 + 4 * 50 * 0.2 * 1.5
    assert (uniform.pools[0].profit, weighted.pools[0].profit) == (0, 20)


def test_grid_when_an_isolated_position_is_held_then_its_pool_beside_the_shared_one(policy):
    state = account({"USD": 100}, isolated={"USD-PERP": (10, 100, 250)})
    (cell,) = stress_grid(state, AT, policy, (D("-0.3"),))
    # 250 + 10 * -30: bankrupt, and the shared pool has nothing to do with it
    assert [(it.pool, it.equity, it.band) for it in cell.pools] == [
        ("", 100, "healthy"),
        ("USD-PERP", -50, "bankrupt"),
    ]


def test_grid_when_volatility_rises_then_a_sold_option_costs_what_black_76_says():
    policy = wide()
    at = policy.instruments["BTC-50000-C"].expiry_ns // 10**9 - 30 * 86_400
    now = prices(
        {"USDT-USD": 1, "BTC-USD": 50_000, "BTC-50000-C": mark("BTC-50000-C", 3_000, volatility="0.6")}, at=at
    )
    state = holding(policy, {"USD": 30_000}, {"BTC-50000-C": (-1, 3_000)})
    calm, shaken = stress_grid(state, now, policy, (D(0),), (D(0), D("0.5")))
    assert (calm.volatility, calm.pools[0].profit) == (0, 0)
    # at the money it is worth F * (2 N(volatility * sqrt(30 / 365) / 2) - 1): 50,000 * (0.102652 - 0.068541)
    assert float(shaken.pools[0].profit) == pytest.approx(-1_705.6, abs=0.1)


def test_grid_when_asked_then_the_same_as_the_account_valued_at_the_moved_prices(policy):
    state = account({"USDT": 500, "BTC": 1}, {"BTC-PERP": (3, 95), "ETH-PERP": (-4, 52)})
    market = Market(("ALL",), AT, policy)
    for cell in stress_grid(state, AT, policy, [D(n) / 20 for n in range(-10, 11)]):
        wanted = shared_figures(state, market.at({"ALL": 1 + cell.move}), policy)
        (pool,) = cell.pools
        assert (pool.equity, pool.collateral_value, pool.requirement, pool.ratio) == (
            wanted.equity,
            wanted.collateral_value,
            wanted.requirement,
            wanted.ratio,
        )


# --- the most leveraged contract


def test_worst_case_when_long_then_the_fall_to_each_line_and_what_it_costs(policy):
    state = account({"USD": 250}, {"ETH-PERP": (1, 50), "USD-PERP": (10, 100)})
    worst = worst_case(state, AT, policy, (D(1),))
    # 1,000 of 250
    assert (worst.key, worst.pool, worst.notional, worst.leverage) == ("USD-PERP", "", 1_000, 4)
    (line,) = worst.lines
    # 250 + 1,000 (f - 1) = 50 f + 2.5    =>    f = 752.5 / 950 = 0.792105263..., the first below on the grid
    assert (line.move, line.equity_lost, line.crossed) == (D("-0.207895"), D("207.895"), False)


def test_worst_case_when_short_then_the_rise(policy):
    state = account({"USD": 250}, {"USD-PERP": (-10, 100)})
    worst = worst_case(state, AT, policy, LINES)
    # 250 - 1,000 (f - 1) = line * 50 f    =>    f = 1,250 / (1,000 + 50 line), the first above on the grid
    moves = [it.move for it in worst.lines]
    assert moves == [D("0.162791"), D("0.179246"), D("0.190477")]
    assert [it.equity_lost for it in worst.lines] == [1_000 * it for it in moves]


def test_worst_case_when_others_gain_then_only_that_contract_moves(policy):
    # long 300 of BTC against short 200 of ETH; uniformly the market would have to fall by more than all
    state = account({"USDT": 100}, {"BTC-PERP": (3, 100), "ETH-PERP": (-4, 50)})
    worst = worst_case(state, AT, policy, (D(1),))
    # 100 + 300 m = 5 % * (300 (1 + m) + 200)    =>    m = -75 / 285 = -0.263157..., ETH held
    assert (worst.key, worst.lines[0].move) == ("BTC-PERP", D("-0.263158"))


def test_worst_case_when_an_isolated_position_carries_more_then_it_and_its_own_pool(policy):
    state = account({"USD": 1_000}, {"BTC-PERP": (10, 100)}, {"ETH-PERP": (10, 50, 60)})
    worst = worst_case(state, AT, policy, (D(1),))
    # 500 / 60 against 1,000 / 1,000;  60 + 500 m = 25 (1 + m)    =>    m = -35 / 475
    assert (worst.key, worst.pool, worst.lines[0].move) == ("ETH-PERP", "ETH-PERP", D("-0.073685"))
    assert worst.leverage == D("8.333333333333333333")


def test_worst_case_when_below_the_line_already_then_nothing_is_to_happen(policy):
    state = account({"USD": 55}, {"USD-PERP": (10, 100)})
    worst = worst_case(state, AT, policy, (D("1.2"), D(1)))
    assert [(it.crossed, it.move, it.equity_lost) for it in worst.lines] == [
        (True, 0, 0),
        (False, D("-0.005264"), D("5.264")),
    ]


def test_worst_case_when_there_is_no_equity_left_then_no_leverage_is_told(policy):
    worst = worst_case(account({"USD": -5}, {"USD-PERP": (1, 100)}), AT, policy, LINES)
    assert (worst.key, worst.leverage) == ("USD-PERP", None)


def test_worst_case_when_no_contract_is_held_then_none(policy):
    assert worst_case(account({"USD": 100}), AT, policy, LINES) is None
    written = holding(wide(), {"USD": 30_000}, {"BTC-50000-C": (-1, 3_000)})
    assert worst_case(written, prices({"BTC-50000-C": 3_000}), wide(), LINES) is None


# --- scenarios


def test_scenario_when_applied_then_named_coins_by_their_move_and_others_by_theirs(policy):
    then = scenario_prices(parse_scenario(SCENARIO), AT, policy)
    # BTC * 0.6, ETH * 0.5; a currency stays
    assert {symbol: it.price for symbol, it in then.marks.items()} == {
        "USDT-USD": 1,
        "BTC-USD": 60,
        "BTC-PERP": 60,
        "ETH-PERP": 25,
        "USD-PERP": 60,
    }
    assert left_out(parse_scenario(SCENARIO), policy) == ("FTT",)


def test_scenario_when_a_currency_is_named_then_it_moves(policy):
    depeg = parse_scenario(SCENARIO.replace("FTT = -0.9", "USDT = -0.1"))
    assert scenario_prices(depeg, AT, policy).marks["USDT-USD"].price == D("0.9")


def test_scenario_when_options_are_listed_then_volatilities_move_with_it():
    policy = wide()
    at = policy.instruments["BTC-50000-C"].expiry_ns // 10**9 - 30 * 86_400
    now = prices({"BTC-USD": 50_000, "BTC-50000-C": mark("BTC-50000-C", 3_500, volatility="0.6")}, at=at)
    then = scenario_prices(parse_scenario(SCENARIO), now, policy).marks["BTC-50000-C"]
    # 0.6 * (1 + 1); the call is far out of the money, and worth something by its volatility alone
    assert then.volatility == D("1.2")
    assert 0 < then.price < 3_500


@pytest.mark.parametrize(("said", "then"), [(None, "0.25"), ("0.4", "0.25"), ("0.1", "0.1")])
def test_scenario_when_losers_cannot_pay_then_no_more_of_a_profit_counts_than_the_least_of_both(said, then):
    policy = sample(
        (
            "[instruments.BTC-PERP]",
            '[margin.capped]\nrealisable_profit = true\n[instruments.BTC-PERP]\nmargin = "capped"',
        )
    )
    facts = {} if said is None else {"realisable_share": said}
    now = replace(AT, marks={**AT.marks, "BTC-PERP": mark("BTC-PERP", 100, **facts)})
    scenario = parse_scenario(SCENARIO.replace("others = ", "realisable_share = 0.25\nothers = ", 1))
    state = account({"USDT": 500}, {"BTC-PERP": (-3, 100)})
    after = scenario_prices(scenario, now, policy)
    assert {it.realisable_share for name, it in after.marks.items() if name != "BTC-PERP"} == {None}
    # three short ones gain 40 each
    assert shared_figures(state, after, policy).collateral_value == 500 + D(then) * 120


def test_scenario_when_explained_then_items_that_sum_to_the_profit(policy):
    state = account({"USDT": 500, "BTC": 1}, {"BTC-PERP": (3, 95), "ETH-PERP": (-4, 52)})
    then = scenario_prices(parse_scenario(SCENARIO), AT, policy)
    (pool,) = stressed(state, figures_now(state, AT, policy), then, policy)
    items = profit_by_item(state, "", AT, then, policy)
    # 1 coin and 3 contracts lose 40 each, 4 short ones gain 25
    assert items == {"BTC": -40, "BTC-PERP": -120, "ETH-PERP": 100}
    assert sum(items.values()) == pool.profit == -60


@pytest.mark.parametrize(
    ("good", "bad", "said"),
    [
        ("BTC = -0.4", "BTC = -1", "prices.BTC: "),
        ("others = -0.5", "others = -1.5", "others: "),
        ("\nBTC = 1", "\nBTC = -1.5", "volatilities.BTC: "),
        ("BTC = -0.4", "BTC = nan", "prices.BTC: "),
        ("ends = 2020-03-13", "ends = 2020-03-11", "ends: "),
        ("BTC = -0.4\nFTT = -0.9", "", "prices: "),
        ('name = "bad day"', "", "name"),
        ("others", "otters", "otters"),
        ("others = ", "realisable_share = 1.5\nothers = ", "realisable_share: "),
        ("others = ", "realisable_share = -0.5\nothers = ", "realisable_share: "),
        ("name = ", "name ", "not valid TOML"),
    ],
)
def test_scenario_when_a_rule_is_broken_then_named(good, bad, said):
    assert good in SCENARIO
    with pytest.raises(ScenarioError, match=said):
        parse_scenario(SCENARIO.replace(good, bad, 1))


# --- recorded


def test_recorded_when_coins_fall_at_different_times_then_the_moment_of_the_lowest_mean():
    points = [
        (0, "BTC", D(100)),
        (1, "ETH", D(50)),
        # - 20 %, 0: mean - 10
        (2, "BTC", D(80)),
        # - 20 %, - 30 %: mean - 25
        (3, "ETH", D(35)),
        # - 4 %, - 30 %
        (4, "BTC", D(96)),
        # - 4 %, - 44 %: mean - 24
        (5, "ETH", D(28)),
    ]
    found = recorded_move(points)
    assert (found.begins_ms, found.ends_ms, found.moves) == (0, 3, {"BTC": D("-0.2"), "ETH": D("-0.3")})
    assert recorded_move(points, up=True) is None


def test_recorded_when_rises_are_asked_for_then_the_highest_mean():
    found = recorded_move([(0, "BTC", D(3)), (7, "BTC", D(4)), (9, "BTC", D(2))], up=True)
    # 1 / 3, to a hundredth of a percent
    assert (found.ends_ms, found.moves) == (7, {"BTC": D("0.3333")})
