"""Liquidation at prices of 0 and below, by hand: limits, takeovers, winners; and plans that end wherever the price is."""

from decimal import Decimal
from random import Random

import pytest
from hypothesis import assume, given, settings

from engine.events.pools import pool_figures
from engine.ledger.accounts import AccountState, IsolatedPosition
from engine.liquidation.adl import AdlCandidate
from engine.liquidation.adl_holders import adl_candidates
from engine.liquidation.deleveraging import Closing, deleverage
from engine.liquidation.limits import limit_price
from engine.liquidation.plan import ReduceStep, TakeOverStep
from engine.liquidation.planner import liquidation_plan
from engine.numbers import canonical, divide, exact, to_step
from engine.policy.rules.deleveraging_rules import DeleveragingRules
from tests.engine.liquidation.test_liquidation_ends import check_ends, depths
from tests.engine.strategies import seeds
from tests.support.builders import prices
from tests.support.liquidating import out_of_liquidation
from tests.support.oil import oil
from tests.support.wide import holding, opened

D = Decimal
POLICY = oil()
SYMBOL = "CL-MAY"
OIL = POLICY.instruments[SYMBOL]


@pytest.mark.parametrize(
    ("quantity", "mark", "equity", "fee_rate", "limit"),
    [
        # 4,740 + 2,000 (p + 37.63) = -25 % * 2,000 p
        (2, "-37.63", 4_740, "0.25", -32),
        # ... = -0.05 % * 2,000 p: -39.980009..., a long sells no lower
        (2, "-37.63", 4_740, "0.0005", "-39.98"),
        # 29,000 + 2,000 (p - 12) = 25 % * 2,000 * 10
        (2, 12, 29_000, "0.25", 0),
        (2, 12, 28_998, "0.25", "0.01"),
        (2, 12, 29_002, "0.25", "0"),
        (2, 12, 29_040, "0.25", "-0.02"),
        # 6,000 + 2,000 (p - 12) = 25 % * 2,000 p
        (2, 12, 6_000, "0.25", 12),
        # 20,000 - 2,000 (p + 30) = -10 % * 2,000 p: -22.222..., a short buys no higher
        (-2, -30, 20_000, "0.1", "-22.23"),
        # without a fee: -5 - 7,000 / 2,000, and -5 + 7,000 / 2,000
        (2, -5, 7_000, "0", "-8.5"),
        (-2, -5, 7_000, "0", "-1.5"),
    ],
)
def test_limit_when_it_lies_beyond_zero_then_the_equity_pays_for_closing_there(
    quantity, mark, equity, fee_rate, limit
):
    with exact():
        found = limit_price(OIL, D(quantity), D(mark), D(1), D(equity), D(fee_rate))
    assert found == D(limit)


def test_plan_when_the_pool_can_pay_then_as_much_is_closed_below_zero_as_is_needed():
    state = holding(POLICY, {"USD": 100_000}, {SYMBOL: (2, 10)})
    at = prices({SYMBOL: "-37.63"})
    # 100,000 - 95,260 against 10 % of 75,260
    assert pool_figures(state, "", at, POLICY).collateral_value == 4_740
    plan, after = check_ends(state, "", at, POLICY)
    assert plan.outcome == "exit"
    (step,) = plan.steps
    assert isinstance(step, ReduceStep)
    assert (step.side, step.mark, step.limit_price) == ("sell", D("-37.63"), D("-39.98"))
    # 4,740 - 0.15 % * 37,630 q >= 1.02 * 3,763 * (2 - q)    <=>    q >= 2,936.52 / 3,781.815
    assert 0 <= step.quantity - D("2936.52") / D("3781.815") < D("1e-15")
    assert after.positions[SYMBOL].quantity == 2 - step.quantity


def test_plan_when_the_price_is_zero_then_closing_costs_and_frees_shares_of_the_scale():
    state = holding(POLICY, {"USD": 21_000}, {SYMBOL: (2, 10)})
    # 21,000 - 20,000 against 10 % of 2 * 1,000 * 10
    plan, _ = check_ends(state, "", prices({SYMBOL: 0}), POLICY)
    assert plan.outcome == "exit"
    # 1,000 - 15 q >= 1.02 * 1,000 * (2 - q)    <=>    q >= 1,040 / 1,005
    (step,) = plan.steps
    assert 0 <= step.quantity - D(1_040) / D(1_005) < D("1e-15")
    assert step.expected_cost == 15 * step.quantity


def test_plan_when_the_price_is_zero_then_the_depth_of_the_book_is_worth_of_the_scale():
    policy = oil(("[ladder]", "[liquidation]\ndepth = 10000\n\n[ladder]"))
    state = holding(policy, {"USD": 21_000}, {SYMBOL: (2, 10)})
    plan, _ = check_ends(state, "", prices({SYMBOL: 0}), policy)
    first, second = plan.steps
    # a contract is worth the depth, and costs 0.15 %; the slippage of what follows is twice as much: 0.25 %
    assert (first.quantity, first.expected_cost) == (1, 15)
    # 1,000 - 15 - 25 q >= 1.02 * 1,000 * (1 - q)    <=>    q >= 35 / 995
    assert 0 <= second.quantity - D(35) / D(995) < D("1e-15")
    assert second.expected_cost == 25 * second.quantity


def test_plan_when_all_is_closed_at_a_price_of_zero_then_every_level_of_the_book_costs_its_share():
    policy = oil(("[ladder]", "[liquidation]\ndepth = 10000\npartial = false\n\n[ladder]"))
    plan, after = check_ends(
        holding(policy, {"USD": 21_000}, {SYMBOL: (2, 10)}), "", prices({SYMBOL: 0}), policy
    )
    # 0.15 % of 10,000 and 0.25 % of 10,000
    assert plan.expected_cost == 15 + 25
    assert (after.positions, after.balances) == ({}, {"USD": 960})


def test_candidates_when_the_price_is_zero_then_their_notional_is_of_the_scale():
    state = holding(POLICY, {"USD": 50_000}, {SYMBOL: (-2, 10)})
    (candidate,) = adl_candidates(state, SYMBOL, "short", prices({SYMBOL: 0}), POLICY)
    assert (candidate.unrealised_pnl, candidate.notional, candidate.equity) == (20_000, 20_000, 50_000)


@pytest.mark.parametrize(
    ("wallet", "entry", "quantity", "mark", "price", "shortfall"),
    [
        # -37.63 + 5,260 / 2,000; 0.15 % of 75,260 + 5,260
        (90_000, 10, 2, "-37.63", -35, "5372.89"),
        # -1 + 2,000 / 2,000: at 0, which is a price here; 0.15 % of 20,000 + 2,000
        (20_000, 10, 2, -1, 0, 2_030),
        # sold at -40: -5 - 10,000 / 2,000
        (60_000, -40, -2, -5, -10, 10_030),
    ],
)
def test_takeover_when_at_zero_or_below_then_nothing_is_left(wallet, entry, quantity, mark, price, shortfall):
    state = holding(POLICY, {"USD": wallet}, {SYMBOL: (quantity, entry)})
    plan, after = check_ends(state, "", prices({SYMBOL: mark}), POLICY)
    (step,) = plan.steps
    assert isinstance(step, TakeOverStep)
    assert (step.price, plan.expected_shortfall) == (price, D(shortfall))
    assert (after.positions, after.balances) == ({}, {})


def test_takeover_when_legs_share_the_equity_then_by_their_scales():
    state = holding(POLICY, {"USD": 50_000}, {SYMBOL: (1, 10), "SPREAD-PERP": (1_000, 1)})
    # 50,000 - 50,000 - 1,000, over 1,000 * 40 and 1,000 * 2
    at = prices({SYMBOL: -40, "SPREAD-PERP": 0, "USDT-USD": 1})
    plan = liquidation_plan(state, "", at, POLICY)
    taken = {step.symbol: step.price for step in plan.steps if isinstance(step, TakeOverStep)}
    # -40 + 40 / 42, and 0 + 1,000 * 2,000 / 42,000 / 1,000, rounded up
    assert taken[SYMBOL] == D("-39.04")
    assert taken["SPREAD-PERP"] == D("0.047619047619047620")
    check_ends(state, "", at, POLICY)


def test_winners_when_below_zero_then_closed_at_the_bankruptcy_price():
    long = Closing(instrument=OIL, quantity=D(2), price=D(-35), mark=D("-37.63"), index=D(1))
    with exact():
        assert long.deficit == 5_260
    winner = AdlCandidate("w", D(-3), D(142_890), D(112_890), D(10_000), D(-30_000), SYMBOL)
    (cut,) = deleverage(long, [winner], DeleveragingRules(), D(5_260))
    assert (cut.quantity, cut.price, cut.forgone) == (2, -35, 5_260)


def test_winners_when_their_entry_lies_between_ticks_below_zero_then_nobody_is_closed_at_a_loss():
    short = Closing(instrument=OIL, quantity=D(-2), price=D(-45), mark=D(-38), index=D(1))
    # bought at -40.005
    winner = AdlCandidate("w", D(2), D(4_010), D(76_000), D(10_000), D(-80_010), SYMBOL)
    (cut,) = deleverage(short, [winner], DeleveragingRules(), D(14_000))
    assert cut.price == D("-40.00")


def drawn(random):
    """Prices on both sides of 0, and positions in both contracts, sometimes as two legs."""
    marks = {
        SYMBOL: D(random.choice((0, random.randint(-6_000, 6_000)))) / 100,
        "SPREAD-PERP": D(random.randint(-800, 800)) / 100,
    }
    at = prices({**marks, "USDT-USD": "0.99", "BTC-USD": 100})
    positions = {}
    for symbol, price in marks.items():
        legs = ("|long", "|short") if random.random() < 0.2 else ("",)
        for leg in legs:
            side = {"|long": 1, "|short": -1}.get(leg) or random.choice((1, -1))
            quantity = D(random.choice((1, 7, 3_000))) / (10 if symbol == SYMBOL else 1)
            entry = price + D(random.randint(-500, 500)) / 100
            positions[f"{symbol}{leg}"] = opened(POLICY, f"{symbol}{leg}", side * quantity, entry)
    return at, positions


@settings(max_examples=200, deadline=None)
@given(seeds, depths)
def test_plan_when_prices_are_on_both_sides_of_zero_then_the_pool_is_out_or_empty(seed, depth):
    at, positions = drawn(Random(seed))
    state = AccountState("a", {}, positions)
    now = pool_figures(state, "", at, POLICY)
    with exact():
        wallet = canonical(to_step(depth * now.requirement - now.collateral_value, D("1e-8"), "down"))
    state = AccountState("a", {"USD": wallet}, positions)
    assume(not out_of_liquidation(state, "", at, POLICY))
    check_ends(state, "", at, POLICY)


@settings(max_examples=100, deadline=None)
@given(seeds, depths)
def test_plan_of_an_isolated_position_when_on_both_sides_of_zero_then_it_is_out_or_empty(seed, depth):
    random = Random(seed)
    at, positions = drawn(random)
    pool = random.choice(sorted(positions))
    state = AccountState("a", {}, {}, isolated={pool: IsolatedPosition(positions[pool], D(0))})
    now = pool_figures(state, pool, at, POLICY)
    index = D(1) if pool.startswith(SYMBOL) else D("0.99")
    with exact():
        missing = divide(depth * now.requirement - now.equity, index)
        margin = canonical(to_step(missing, D("1e-8"), "down"))
    state = AccountState("a", {}, {}, isolated={pool: IsolatedPosition(positions[pool], margin)})
    assume(not out_of_liquidation(state, pool, at, POLICY))
    check_ends(state, pool, at, POLICY)
