"""The move of the whole market that reaches a line: by hand, and on both sides of the answer."""

from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.analytics.line_move import MOVE_STEP, line_moves
from engine.analytics.weighting import Weighting, factors_of
from engine.analytics.what_if import EVERYTHING, Market
from engine.margin.margin_model import shared_figures
from engine.numbers import exact
from tests.support.builders import account, mark, prices, sample
from tests.support.wide import holding, wide

D = Decimal
LINES = (D("1.5"), D("1.2"), D(1))


def moves(state, now, policy, *lines, position=None):
    return line_moves(state, now, policy, [D(line) for line in lines], position)


def test_move_when_long_then_down_by_hand_and_never_up(policy):
    # 250 + 10 * (100 f - 100) = line * 0.05 * 10 * 100 f    =>    f = 750 / (1000 - 50 line)
    state = account({"USD": 250}, {"USD-PERP": (10, 100)})
    (call, liquidation) = moves(state, prices({"USD-PERP": 100}), policy, "1.2", 1)
    # 750 / 940 = 0.797872..., the first below on the grid
    assert (call.down, call.up, call.crossed) == (D("0.797872") - 1, None, False)
    # 750 / 950 = 0.789473...
    assert (liquidation.down, liquidation.up) == (D("0.789473") - 1, None)


def test_move_when_short_then_up_by_hand_and_never_down(policy):
    # 250 - 10 * (100 f - 100) = 50 f    =>    f = 1250 / 1050 = 1.190476..., the first above
    state = account({"USD": 250}, {"USD-PERP": (-10, 100)})
    (liquidation,) = moves(state, prices({"USD-PERP": 100}), policy, 1)
    assert (liquidation.down, liquidation.up) == (None, D("1.190477") - 1)


def test_move_when_long_and_short_of_different_underlyings_then_only_the_net_counts(policy):
    # 100 + 200 f - 200 f = 5 % * 400 f    =>    f = 5: net flat, so only the requirement grows
    state = account({"USDT": 100}, {"BTC-PERP": (2, 100), "ETH-PERP": (-4, 50)})
    now = prices({"USDT-USD": 1, "BTC-PERP": 100, "ETH-PERP": 50})
    (liquidation,) = moves(state, now, policy, 1)
    assert (liquidation.down, liquidation.up) == (None, 4)


def test_move_when_weighted_by_beta_then_the_market_has_to_fall_less(policy):
    # 250 + 10 * (100 f - 100) = 50 f    =>    f = 750 / 950 = 0.789473..., a fall of 0.210526...; by a beta of 2 the market falls half of it
    policy = sample(("[ladder]", "[stress.betas]\nBTC = 2\n\n[ladder]"))
    state = account({"USD": 250}, {"USD-PERP": (10, 100)})
    now = prices({"USD-PERP": 100})
    (liquidation,) = line_moves(state, now, policy, [D(1)], weighting=Weighting.BETA)
    assert (liquidation.down, liquidation.up) == (D("-0.105264"), None)
    (uniform,) = line_moves(state, now, policy, [D(1)])
    assert uniform.down == D("-0.210527")


def test_move_when_a_hedge_has_another_beta_then_it_is_reached_where_uniformly_it_never_is(policy):
    # long 200 of BTC (beta 1) against short 200 of ETH (beta 1.5): 100 - 100 m = 5 % * (400 + 500 m)    =>    m = 80 / 125 = 0.64
    policy = sample(("[ladder]", "[stress.betas]\nETH = 1.5\n\n[ladder]"))
    state = account({"USDT": 100}, {"BTC-PERP": (2, 100), "ETH-PERP": (-4, 50)})
    now = prices({"USDT-USD": 1, "BTC-PERP": 100, "ETH-PERP": 50})
    (liquidation,) = line_moves(state, now, policy, [D(1)], weighting=Weighting.BETA)
    assert (liquidation.down, liquidation.up) == (None, D("0.64"))


def test_factors_when_a_beta_would_bring_a_price_below_nothing_then_a_millionth_is_left():
    policy = sample(("[ladder]", "[stress]\nbeta_default = 0.5\nbetas = { ETH = 3, BTC = 1 }\n\n[ladder]"))
    # 1 + 0.5 * -0.4; 1 + 3 * -0.4 = -0.2; 1 - 0.4
    wanted = {"ALL": D("0.8"), "ETH": D("0.000001"), "BTC": D("0.6")}
    assert factors_of(Weighting.BETA, D("-0.4"), policy) == wanted
    assert factors_of(Weighting.UNIFORM, D("-0.4"), policy) == {"ALL": D("0.6")}


def test_move_when_it_can_be_reached_both_ways_then_both(policy):
    # long coins against a short of twice their worth at another entry would be one-sided; a straddle sold is not
    policy = wide()
    state = holding(policy, {"USD": 30_000}, {"BTC-50000-C": (-1, 10_000), "BTC-40000-P": (-1, 2_000)})
    now = prices(
        {
            "USDT-USD": 1,
            "BTC-USD": 50_000,
            "BTC-50000-C": mark("BTC-50000-C", 10_000, volatility="0.6"),
            "BTC-40000-P": mark("BTC-40000-P", 2_000, volatility="0.6"),
        },
        at=policy.instruments["BTC-50000-C"].expiry_ns // 10**9 - 30 * 86_400,
    )
    (liquidation,) = moves(state, now, policy, 1)
    assert liquidation.down is not None
    assert liquidation.up is not None
    assert liquidation.down < 0 < liquidation.up


def test_move_when_nothing_is_required_then_never(policy):
    (line,) = moves(account({"USD": 100}), prices({}), policy, 1)
    assert (line.down, line.up, line.crossed) == (None, None, False)


def test_move_when_only_currencies_are_held_then_never(policy):
    (line,) = moves(account({"USDT": 100, "USD": -50}), prices({"USDT-USD": 1}), policy, 1)
    assert (line.down, line.up) == (None, None)


def test_move_when_the_pool_is_empty_then_never(policy):
    for line in moves(account({}), prices({}), policy, *LINES):
        assert (line.down, line.up, line.crossed) == (None, None, False)


def test_move_when_a_debt_is_just_covered_and_nothing_required_then_the_least_fall_reaches_it(policy):
    # 95 % of one BTC at 100 against 95 USD borrowed: C = 0, requirement 0
    state = account({"BTC": 1, "USD": -95})
    (line,) = moves(state, prices({"BTC-USD": 100}), policy, 1)
    assert (line.down, line.up, line.crossed) == (0, None, False)


def test_move_when_below_the_line_then_the_one_that_brings_it_back(policy):
    # 40 + 10 * (100 f - 100) = 50 f    =>    f = 960 / 950 = 1.010526...
    state = account({"USD": 40}, {"USD-PERP": (10, 100)})
    (liquidation,) = moves(state, prices({"USD-PERP": 100}), policy, 1)
    assert (liquidation.crossed, liquidation.down, liquidation.up) == (True, None, D("0.010526"))


def test_move_when_on_the_line_then_zero(policy):
    state = account({"USD": 50}, {"USD-PERP": (10, 100)})
    (liquidation,) = moves(state, prices({"USD-PERP": 100}), policy, 1)
    assert (liquidation.crossed, liquidation.down, liquidation.up) == (False, 0, 0)


def test_move_when_isolated_then_of_that_position(policy):
    # 250 + 10 * (100 f - 100) = 50 f, whatever the wallet holds
    state = account({"USD": 9_999}, isolated={"USD-PERP": (10, 100, 250)})
    (liquidation,) = moves(state, prices({"USD-PERP": 100}), policy, 1, position="USD-PERP")
    assert liquidation.down == D("0.789473") - 1
    with pytest.raises(KeyError):
        moves(state, prices({}), policy, 1, position="BTC-PERP")


@settings(max_examples=40, deadline=None)
@given(
    usd=st.integers(0, 5_000),
    btc=st.decimals(0, 2, places=2),
    first=st.integers(-20, 20),
    second=st.integers(-20, 20),
)
def test_move_when_found_then_the_line_lies_between_it_and_the_step_before(usd, btc, first, second):
    policy = sample()
    held = {key: it for key, it in {"BTC-PERP": (first, 95), "ETH-PERP": (second, 52)}.items() if it[0]}
    state = account({"USD": usd, "BTC": btc}, held)
    now = prices({"USDT-USD": 1, "BTC-USD": 100, "BTC-PERP": 100, "ETH-PERP": 50})
    market = Market((EVERYTHING,), now, policy)

    def gap(move, line):
        figures = shared_figures(state, market.at({EVERYTHING: 1 + move}), policy)
        with exact():
            return figures.collateral_value - line * figures.requirement

    for found in moves(state, now, policy, *LINES):
        for move, step in ((found.down, MOVE_STEP), (found.up, -MOVE_STEP)):
            if move is None or move == 0:
                continue
            at, before = gap(move, found.line), gap(move + step, found.line)
            if found.crossed:
                assert before < 0 or at <= 0
            else:
                assert at <= 0 < before
