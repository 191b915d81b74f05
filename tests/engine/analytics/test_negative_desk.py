"""What a desk asks of contracts whose prices go through 0, by hand: 2,000 barrels of crude oil bought at 10."""

from decimal import Decimal

import msgspec
import pytest

from engine.analytics.bankruptcy_price import isolated_bankruptcy_price, shared_bankruptcy_price
from engine.analytics.concentration import concentration
from engine.analytics.crossing import crossing
from engine.analytics.full_use import least_ratios
from engine.analytics.heat_map import PoolsNow, heat_map, market_points
from engine.analytics.hypothetical import (
    HypotheticalError,
    account_of,
    check_hypothetical,
    parse_hypothetical,
    prices_of,
)
from engine.analytics.line_move import line_moves
from engine.analytics.liquidation_price import isolated_liquidation_price, on_tick, shared_liquidation_price
from engine.analytics.pre_trade import may_open
from engine.analytics.stress import stress_grid, worst_case
from engine.analytics.what_if import EVERYTHING, Market
from engine.book.stakes import Stakes
from engine.events.contents import detail_of
from engine.events.pools import pool_figures
from tests.support.builders import prices
from tests.support.oil import oil
from tests.support.wide import holding, order

D = Decimal
POLICY = oil()
SYMBOL = "CL-MAY"


def at(price):
    return prices({SYMBOL: price})


def long(wallet=100_000, entry=10):
    return holding(POLICY, {"USD": wallet}, {SYMBOL: (2, entry)})


@pytest.mark.parametrize("mark", ["40", "5", "0", "-20", "-36", "-38", "-200"])
def test_liquidation_price_when_it_lies_below_zero_then_found_from_both_sides_of_it(mark):
    # 100,000 + 2,000 (p - 10) = 10 % * 2,000 * -p    <=>    p = -80,000 / 2,200
    found = shared_liquidation_price(long(), SYMBOL, at(mark), POLICY)
    assert found == D("-36.363636363636363637")
    isolated = holding(POLICY, isolated={SYMBOL: (2, 10, 100_000)})
    assert isolated_liquidation_price(isolated, SYMBOL, at(mark), POLICY) == found
    # a long's is never late
    assert on_tick(found, D(2), D("0.01")) == D("-36.36")


@pytest.mark.parametrize("mark", ["-60", "-38", "-20"])
def test_liquidation_price_when_sold_below_zero_then_above_the_entry(mark):
    # 20,000 - 2,000 (p + 40) = 10 % * 2,000 * -p    <=>    p = -60,000 / 1,800
    state = holding(POLICY, {"USD": 20_000}, {SYMBOL: (-2, -40)})
    found = shared_liquidation_price(state, SYMBOL, at(mark), POLICY)
    assert found == D("-33.333333333333333333")
    assert on_tick(found, D(-2), D("0.01")) == D("-33.34")


@pytest.mark.parametrize(("wallet", "price"), [(22_000, 0), (25_000, "-1.5"), (40_000, -9), (4_000, 9)])
def test_liquidation_price_when_near_zero_then_by_the_least_scale(wallet, price):
    # wallet + 2,000 (p - 10) = 10 % * 2,000 * 10
    assert shared_liquidation_price(long(wallet), SYMBOL, at("9.5"), POLICY) == D(price)


@pytest.mark.parametrize("mark", ["40", "0", "-39", "-41"])
def test_bankruptcy_price_when_it_lies_below_zero_then_found(mark):
    # 100,000 + 2,000 (p - 10) = 0; with a fee of 25 % of 2,000 * -p
    assert shared_bankruptcy_price(long(), SYMBOL, at(mark), POLICY) == -40
    fee = {"taker_fee_rate": D("0.25")}
    assert shared_bankruptcy_price(long(), SYMBOL, at(mark), POLICY, **fee) == -32
    isolated = holding(POLICY, isolated={SYMBOL: (2, 10, 100_000)})
    assert isolated_bankruptcy_price(isolated, SYMBOL, at(mark), POLICY) == -40


def test_crossing_when_prices_may_be_below_zero_then_looked_for_on_both_sides():
    assert crossing(lambda p: p + 7, D(3), D(10)) == -7
    assert crossing(lambda p: -p - 7, D(-9), D(10)) == -7
    # far beyond the steps of a sixteenth
    assert crossing(lambda p: p + 5_000, D(0), D(10)) == -5_000
    assert crossing(lambda p: p + 7, D(3)) is None


def test_shock_when_near_or_below_zero_then_a_share_of_the_scale():
    for price, fallen in ((40, 30), (4, "1.5"), (0, "-2.5"), (-4, "-6.5"), (-40, -50)):
        after = Market((EVERYTHING,), at(price), POLICY).at({EVERYTHING: D("0.75")})
        assert after.marks[SYMBOL].price == D(fallen)


def test_grid_when_below_zero_then_a_fall_costs_a_long_and_pays_a_short():
    for side in (1, -1):
        state = holding(POLICY, {"USD": 100_000}, {SYMBOL: (2 * side, -40)})
        down, up = stress_grid(state, at(-40), POLICY, (D("-0.2"), D("0.2")))
        # 2,000 * 20 % of 40
        assert (down.pools[0].profit, up.pools[0].profit) == (-16_000 * side, 16_000 * side)


def test_worst_case_when_it_lies_beyond_zero_then_the_move_is_of_the_scale():
    worst = worst_case(long(), at(5), POLICY, (D(1),))
    # 2,000 * 10 / (100,000 - 10,000)
    assert worst.notional == 20_000
    assert worst.leverage == D("0.222222222222222222")
    (line,) = worst.lines
    # 5 + 10 m = -80,000 / 2,200, the first below on the grid
    assert line.move == D("-4.136364")
    assert line.equity_lost == D("82727.28")


def test_line_move_when_below_zero_then_down_is_further_down():
    # 20,000 + 80,000 m = 10 % * 80,000 (1 - m)
    (line,) = line_moves(long(20_000, -40), at(-40), POLICY, [D(1)])
    assert (line.down, line.up) == (D("-0.136364"), None)


def test_heat_map_when_below_zero_then_a_long_falls_as_the_market_falls():
    moves = tuple(map(D, ("-0.2", "-0.1", "0.1", "0.2")))
    points = list(market_points(moves, at(-40), POLICY))
    heat = heat_map([(long(20_000, -40), PoolsNow())], points, POLICY)
    # at -44: 12,000 against 8,800; at -48: 4,000 against 9,600, with a notional of 2,000 * 48
    assert heat.pools == (1, 0, 0, 0, 0)
    assert heat.notional[SYMBOL] == (96_000, 0, 0, 0, 0)


@pytest.mark.parametrize(("wallet", "price", "distance"), [(30_000, -4, "-0.9"), (40_000, -9, None)])
def test_detail_when_the_liquidation_price_lies_below_zero_then_the_contributor_says_it(
    wallet, price, distance
):
    state, now = long(wallet), at(5)
    figures = pool_figures(state, "", now, POLICY)
    told = detail_of(state, "", now, POLICY, figures, lambda then: pool_figures(state, "", then, POLICY))
    (contributor,) = told.contributors
    # wallet + 2,000 (p - 10) = 10 % * 2,000 * 10
    assert contributor.liquidation_price == price
    # 5 + 10 m = -4; the whole market falls by less than all of its price
    assert told.distance_to_liquidation == (None if distance is None else D(distance))


@pytest.mark.parametrize(("wallet", "allowed"), [(2_000, True), (1_999, False)])
@pytest.mark.parametrize("price", ["3", "0", "-5"])
def test_may_open_when_at_zero_or_below_then_it_takes_the_margin_of_the_least_scale(price, wallet, allowed):
    # 20 % of 1,000 * 10
    verdict = may_open(holding(POLICY, {"USD": wallet}), {}, order(SYMBOL, 1, price), at(price), POLICY)
    assert (verdict.allowed, verdict.initial_margin) == (allowed, 2_000)


def test_heat_map_when_a_pool_stands_below_the_line_at_zero_then_its_notional_is_of_the_least_scale():
    # 21,000 - 20,000 against 2,000
    heat = heat_map([(long(21_000), PoolsNow())], list(market_points((), at(0), POLICY)), POLICY)
    assert heat.notional[SYMBOL] == (20_000,)


def test_concentration_when_below_zero_then_a_long_has_a_long_delta():
    found = concentration(long(), at(-40), POLICY, {})
    assert (found.net, found.gross) == (80_000, 80_000)


def test_full_use_when_prices_may_be_zero_then_asked_at_notionals_of_the_tiers():
    second = (
        "\n[[tiers.oil]]\nfloor = 50000\nmaintenance_rate = 0.2\ninitial_rate = 0.25\n\n[instruments.CL-MAY]"
    )
    found = {it.item: it for it in least_ratios(oil(("\n[instruments.CL-MAY]", second)))}
    # 20 % / 10 % in the first tier; 25 % of 50,000 / (20 % of 50,000 - 5,000) at the edge
    assert (found[SYMBOL].notional, found[SYMBOL].ratio) == (1, 2)


def test_stake_when_the_price_is_zero_then_the_open_interest_is_of_the_least_scale():
    stakes = Stakes(POLICY)
    (held,) = stakes.holdings(long())
    for price, interest in ((-40, 80_000), (0, 20_000), (50, 100_000)):
        assert stakes.stake([held], [], {SYMBOL: float(price)}).open_interest == interest
    assert stakes.stake([held], [], {}).open_interest == 0


TEXT = """
[balances]
USD = 1000
[positions.CL-MAY]
quantity = 1
entry_price = -3
[prices]
CL-MAY = -5
"""


def test_hypothetical_when_the_contract_allows_it_then_prices_and_entries_below_zero():
    portfolio = parse_hypothetical(TEXT)
    check_hypothetical(portfolio, POLICY)
    now = prices_of(portfolio, prices({}))
    state = account_of(portfolio, now, POLICY)
    assert (now.marks[SYMBOL].price, state.positions[SYMBOL].entry_value) == (-5, -3_000)


@pytest.mark.parametrize("change", ["prices", "entry"])
def test_hypothetical_when_the_contract_does_not_allow_it_then_refused(change):
    portfolio = parse_hypothetical(TEXT.replace("CL-MAY", "BTC-PERP"))
    portfolio = msgspec.structs.replace(
        portfolio, **({"prices": {}} if change == "entry" else {"positions": {}})
    )
    with pytest.raises(HypotheticalError, match="must be above zero"):
        check_hypothetical(portfolio, POLICY)
