"""A plan that is executed as given leaves a pool that is out of liquidation or empty, under every shipped policy."""

from decimal import Decimal
from pathlib import Path
from random import Random

import msgspec
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from engine.events.pools import pool_figures
from engine.inputs import Mark
from engine.ledger.accounts import AccountState, IsolatedPosition, Position
from engine.liquidation.plan import ReduceStep, RepayStep, TakeOverBalanceStep, TakeOverStep
from engine.liquidation.planner import liquidation_plan
from engine.liquidation.search import ORDERS_MAX
from engine.liquidation.trades import positions_of
from engine.numbers import canonical, divide, exact, to_step
from engine.policy import LiquidationRules, parse
from engine.position_keys import position_key, symbol_of
from tests.engine.strategies import seeds
from tests.support.builders import account, prices
from tests.support.liquidating import executed, out_of_liquidation

D = Decimal
_replace = msgspec.structs.replace
POLICIES = {
    path.stem: parse(path.read_text(encoding="utf-8"))
    for path in sorted((Path(__file__).parents[3] / "deploy" / "policies").glob("*.toml"))
}
DUST = D("1e-18")
"""What rounding to the digits of an input may leave."""

depths = st.decimals(min_value="-0.5", max_value="1.01", places=3)
"""C of the pool as a multiple of its requirement."""


def quotes(policy, random):
    """Prices of everything: those of the assets, contracts near their underlying, options with a volatility."""
    worth = {name: D(random.randint(50, 6_000_000)) / 100 for name in policy.assets}
    at = dict.fromkeys(policy.price_symbols, D(100))
    at |= {it.index: worth[name] for name, it in policy.assets.items() if it.index}
    for symbol, it in policy.instruments.items():
        base = worth.get(it.base, D(random.randint(50, 6_000_000)) / 100)
        near = base * D(random.randint(980, 1_020)) / 1_000
        option = it.kind == "option"
        price = canonical(near / 20 if option else near)
        at[symbol] = Mark(symbol, price, 1, 0, volatility=D("0.6") if option else None)
    return prices(at)


def some_positions(policy, at, random):
    """Contracts of either sign, of small and of very large worth, sometimes both legs of a symbol."""
    held = {}
    for symbol, it in policy.instruments.items():
        if it.kind == "spot" or random.random() > 3 / (1 + len(policy.instruments)) + 0.2:
            continue
        mark = at.marks[symbol].price
        legs = ["long", "short"] if random.random() < 0.2 and it.kind != "option" else [None]
        for leg in legs:
            side = {"long": 1, "short": -1}.get(leg) or random.choice([-1, 1])
            worth = random.choice([100, 5_000, 80_000, 3_000_000, 200_000_000])
            index = at.marks[policy.assets[it.settle].index].price if policy.assets[it.settle].index else D(1)
            with exact():
                step = it.quantity_step or D("0.001")
                quantity = to_step(it.quantity(divide(D(worth), index), mark), step, "up") * side
                entry = mark * D(random.randint(900, 1_100)) / 1_000
                held[position_key(symbol, leg)] = Position(
                    canonical(quantity), canonical(it.value(quantity, entry))
                )
    return held


def some_coins(policy, at, random):
    """Assets and debts, worth up to a few thousand; now and then a hoard, of which more is held than counts."""
    coins = {}
    for name, it in policy.assets.items():
        if random.random() < 0.5:
            index = at.marks[it.index].price if it.index else D(1)
            worth = random.randint(-4_000, 6_000)
            if random.random() < 0.2:
                worth = random.choice([900_000, 30_000_000, 600_000_000])
            with exact():
                coins[name] = to_step(divide(D(worth), index), D("1e-8"), "up")
    return {name: canonical(amount) for name, amount in coins.items() if amount}


def shared(policy, model, seed, depth):
    """An account whose shared pool stands at this depth, by what it has, or owes, of one of its assets."""
    random = Random(seed)
    at = quotes(policy, random)
    state = AccountState(
        "a", some_coins(policy, at, random), some_positions(policy, at, random), margin_model=model
    )
    now = pool_figures(state, "", at, policy)
    asset = random.choice(sorted(policy.assets))
    index = at.marks[policy.assets[asset].index].price if policy.assets[asset].index else D(1)
    with exact():
        missing = to_step(divide(depth * now.requirement - now.collateral_value, index), D("1e-8"), "down")
        amount = canonical(state.balances.get(asset, D(0)) + missing)
    return _replace(state, balances={**state.balances, asset: amount}), at


def check_ends(state, pool, at, policy):
    """Execute the plan as given, and of one that was cut those after it, and look at what is left; returns the plan and the account."""
    before = pool_figures(state, pool, at, policy)
    plan = liquidation_plan(state, pool, at, policy)
    after = executed(state, pool, plan.steps, at, policy)
    is_cut = plan.outcome == "exit" and len(plan.steps) > ORDERS_MAX / 2
    if is_cut and not out_of_liquidation(after, pool, at, policy):
        return plan, check_ends(after, pool, at, policy)[1]
    if plan.outcome == "exit":
        assert out_of_liquidation(after, pool, at, policy)
        assert pool_figures(after, pool, at, policy).equity >= 0
    else:
        assert not positions_of(after, pool)
        left = [it.margin for it in after.isolated.values()] if pool else after.balances.values()
        assert all(0 <= amount < DUST for amount in left), left
        # equity goes towards what closing costs, and there is no more of it
        assert before.equity <= plan.expected_cost
        with exact():
            losses = sum(
                (it.expected_loss for it in plan.steps if isinstance(it, TakeOverStep | TakeOverBalanceStep)),
                D(0),
            )
        if not policy.pool.funding_accrual:
            assert abs(losses - (plan.expected_cost - before.equity)) < D("1e-6")
            assert abs(max(losses, D(0)) - plan.expected_shortfall) < D("1e-6")
    return plan, after


MODELS = [(name, model) for name, policy in POLICIES.items() for model in policy.margin_models]


@pytest.mark.parametrize(("name", "model"), MODELS)
@settings(max_examples=40, deadline=None)
@given(seeds, depths)
def test_plan_of_a_shared_pool_when_executed_then_it_is_out_or_empty(name, model, seed, depth):
    policy = POLICIES[name]
    state, at = shared(policy, model, seed, depth)
    assume(not out_of_liquidation(state, "", at, policy))
    check_ends(state, "", at, policy)


def sized(policy, random):
    """The policy with lots, least and largest orders of its contracts, and shares that a round may close."""

    def drawn(it):
        if it.kind == "spot":
            return it
        least = random.choice([D(0), D("0.5"), D(3), D(40)])
        return _replace(
            it,
            quantity_step=random.choice([D("0.001"), D("0.1"), D(1), D("0.7")]),
            order_quantity_min=least,
            market_order_quantity_max=random.choice([D(0), D(0), D(10_000_000)]),
        )

    rules = _replace(
        policy.liquidation,
        share_per_round_max=random.choice([D(1), D("0.5"), D("0.2")]),
        partial=random.random() < 0.8,
    )
    instruments = {symbol: drawn(it) for symbol, it in policy.instruments.items()}
    return _replace(policy, instruments=instruments, liquidation=rules)


def check_orders(state, plan, at, policy):
    """Every order of the plan can be traded: on the step, between the least and the largest; and so can what is left."""
    for step in plan.steps:
        if isinstance(step, ReduceStep):
            contract = policy.instruments[step.symbol]
            key = position_key(step.symbol, step.leg)
            before = abs(state.positions[key].quantity)
            left = before - step.quantity
            assert left >= 0
            if left:
                assert not step.quantity % contract.quantity_step
                assert min(step.quantity, left) >= contract.order_quantity_min
            largest = contract.market_order_quantity_max
            assert not largest or step.quantity < largest + contract.quantity_step
        state = executed(state, "", [step], at, policy)


@pytest.mark.parametrize(("name", "model"), MODELS)
@settings(max_examples=10, deadline=None)
@given(seeds, depths)
def test_plan_when_contracts_have_lots_and_order_sizes_then_every_order_keeps_to_them_and_the_plan_ends(
    name, model, seed, depth
):
    policy = sized(POLICIES[name], Random(seed))
    state, at = shared(policy, model, seed, depth)
    if not out_of_liquidation(state, "", at, policy):
        plan, _ = check_ends(state, "", at, policy)
        check_orders(state, plan, at, policy)


@pytest.mark.parametrize(("name", "model"), MODELS)
@settings(max_examples=40, deadline=None)
@given(seeds)
def test_pool_when_it_holds_coins_alone_then_never_in_liquidation_and_with_a_debt_a_plan_ends_it(
    name, model, seed
):
    policy, random = POLICIES[name], Random(seed)
    at = quotes(policy, random)
    coins = some_coins(policy, at, random)
    held = {asset: amount for asset, amount in coins.items() if amount > 0}
    state = AccountState("a", held, {}, margin_model=model)
    figures = pool_figures(state, "", at, policy)
    assert (figures.requirement, figures.initial_margin, figures.ratio) == (0, 0, None)
    assert out_of_liquidation(state, "", at, policy)
    indebted = _replace(state, balances=coins)
    if not out_of_liquidation(indebted, "", at, policy):
        check_ends(indebted, "", at, policy)


@pytest.mark.parametrize("name", POLICIES)
@settings(max_examples=40, deadline=None)
@given(seeds, depths)
def test_plan_of_an_isolated_position_when_executed_then_it_is_out_or_empty(name, seed, depth):
    policy, random = POLICIES[name], Random(seed)
    at = quotes(policy, random)
    held = some_positions(policy, at, random)
    contracts = sorted(key for key in held if policy.instruments[symbol_of(key)].kind != "option")
    assume(contracts)
    pool = random.choice(contracts)
    state = AccountState("a", {}, {}, isolated={pool: IsolatedPosition(held[pool], D(0))})
    now = pool_figures(state, pool, at, policy)
    settle = policy.instruments[symbol_of(pool)].settle
    index = at.marks[policy.assets[settle].index].price if policy.assets[settle].index else D(1)
    with exact():
        margin = to_step(divide(depth * now.requirement - now.equity, index), D("1e-8"), "down")
    state = _replace(state, isolated={pool: IsolatedPosition(held[pool], margin)})
    assume(not out_of_liquidation(state, pool, at, policy))
    _, after = check_ends(state, pool, at, policy)
    assert after.balances == {}


def test_plan_when_a_debt_stands_against_a_coin_then_it_is_repaid_and_as_much_closed_as_is_needed():
    policy = POLICIES["binance-multi-assets"]
    at = prices(
        dict.fromkeys(policy.price_symbols, 1) | {"BTCUSDT": 57_300, policy.assets["BTC"].index: 57_300}
    )
    state = account({"BTC": 1}, {"BTCUSDT": (20, 60_000)})
    # 57,300 - 20 * (60,000 - 57,300)
    assert pool_figures(state, "", at, policy).equity == 3_300
    plan, after = check_ends(state, "", at, policy)
    assert plan.outcome == "exit"
    assert {type(step) for step in plan.steps} == {RepayStep, ReduceStep}
    with exact():
        # what it has lost is the cost that the plan states, no more than fee and slippage of all 20 contracts
        assert pool_figures(after, "", at, policy).equity == 3_300 - plan.expected_cost
        assert plan.expected_cost < D("0.0015") * 20 * 57_300


@pytest.mark.parametrize("owed", [{}, {"USDT": D("-0.07")}, {"ETH": D("-0.2"), "USDT": D(-30)}])
@pytest.mark.parametrize("positions", [{}, {"BTC-USDT-SWAP": (-1, 50_000)}])
def test_plan_when_more_coins_are_held_than_count_then_it_ends_with_the_last_debt_and_position(
    owed, positions
):
    policy = POLICIES["okx-portfolio"]
    worth = {"BTC": 30_000, "ETH": 2_000, "SOL": 100}
    at = prices(
        {
            symbol: next((it for name, it in worth.items() if symbol.startswith(name)), 1)
            for symbol in policy.price_symbols
        }
    )
    assert "BTC-USDT-SWAP" in policy.instruments
    # no more than 1,000 coins count, and all of them move in the scenarios
    state = account({"BTC": 10_000, **owed}, positions)
    if not (owed or positions):
        assert out_of_liquidation(state, "", at, policy)
        return
    assert not out_of_liquidation(state, "", at, policy)
    plan, after = check_ends(state, "", at, policy)
    assert (plan.outcome, after.positions) == ("exit", {})
    assert plan.requirement_after == 0
    # nothing is sold that repays nothing
    assert after.balances["BTC"] > 9_999


def test_plan_when_all_has_to_be_closed_then_the_debt_is_repaid_and_the_rest_is_the_accounts():
    # a venue that closes nothing in part
    policy = POLICIES["binance-multi-assets"]
    policy = _replace(policy, liquidation=_replace(policy.liquidation, partial=False))
    at = prices(
        dict.fromkeys(policy.price_symbols, 1) | {"BTCUSDT": 57_300, policy.assets["BTC"].index: 57_300}
    )
    plan, after = check_ends(account({"BTC": 1}, {"BTCUSDT": (20, 60_000)}), "", at, policy)
    assert (plan.outcome, after.positions) == ("exit", {})
    # 57,300 - 54,000 - 0.0015 * 1,146,000; no more is repaid than lets the coins cover what is left of the debt
    assert pool_figures(after, "", at, policy).equity == 1_581
    assert 0 <= pool_figures(after, "", at, policy).collateral_value < D("0.001")


def test_cost_when_more_is_closed_than_the_depth_then_slippage_grows_with_the_size():
    rules = LiquidationRules(
        fee_rate=D("0.0005"), slippage_rate=D("0.001"), depth=D(1_000), depths={"THIN": D(10)}
    )
    assert rules.cost("A", D(0), D(1_000)) == D("1.5")
    # fee of 8,000; 1,000 at 0.1 %, 1,000 at 0.2 %, 2,000 at 0.4 %, 4,000 at 0.8 %
    assert rules.cost("A", D(0), D(8_000)) == 4 + 1 + 2 + 8 + 32
    # closed in two parts it costs the same
    assert rules.cost("A", D(0), D(3_000)) + rules.cost("A", D(3_000), D(5_000)) == 47
    # a book of 10: 2^10 * 0.1 % would be above the worth of it
    assert rules.level("THIN", D(8_000)) == (D("0.0005") + 1, D(10) * 2**10)


def test_plan_when_a_position_is_larger_than_its_book_then_it_is_closed_level_by_level_at_growing_cost():
    policy = POLICIES["default"]
    at = prices(dict.fromkeys(policy.price_symbols, 1) | {"BTC-USDT-PERP": 60_000, "BTC-USD": 60_000})
    depth = policy.liquidation.depths["BTC-USDT-PERP"]
    required = pool_figures(account({}, {"BTC-USDT-PERP": (10_000, 60_000)}), "", at, policy).requirement
    whale = account({"USDT": required * D("0.85")}, {"BTC-USDT-PERP": (10_000, 60_000)})
    plan, _ = check_ends(whale, "", at, policy)
    assert plan.outcome == "exit"
    rates = [step.expected_cost / (step.quantity * 60_000) for step in plan.steps]
    assert rates == sorted(rates)
    assert sum(step.quantity * 60_000 for step in plan.steps) > depth
    # the first part costs what a small position does
    assert rates[0] == D("0.0015") < rates[-1]


def test_plan_when_orders_have_a_least_and_a_largest_size_then_every_order_and_what_is_left_keep_to_them():
    sized = {"quantity_step": D("0.1"), "order_quantity_min": D(2), "market_order_quantity_max": D(5)}
    policy = POLICIES["default"]
    contract = _replace(policy.instruments["BTC-USDT-PERP"], **sized)
    policy = _replace(policy, instruments={**policy.instruments, "BTC-USDT-PERP": contract})
    at = prices(dict.fromkeys(policy.price_symbols, 1) | {"BTC-USDT-PERP": 60_000, "BTC-USD": 60_000})
    required = pool_figures(account({}, {"BTC-USDT-PERP": (20, 60_000)}), "", at, policy).requirement
    for share in range(10, 102, 3):
        state = account({"USDT": required * share / 100}, {"BTC-USDT-PERP": (20, 60_000)})
        plan, after = check_ends(state, "", at, policy)
        orders = [step.quantity for step in plan.steps if isinstance(step, ReduceStep)]
        assert all(2 <= quantity <= 5 for quantity in orders)
        left = after.positions.get("BTC-USDT-PERP")
        assert left is None or left.quantity >= 2


@settings(max_examples=150, deadline=None)
@given(
    short=st.sampled_from([10, 10, 10, 7, 11, 12]),
    leasts=st.tuples(*[st.sampled_from([0, 2, 4, 6])] * 2),
    depth=st.decimals(min_value=0, max_value=1, places=2),
    round_share=st.sampled_from([D(1), D("0.3")]),
)
@example(short=10, leasts=(6, 6), depth=D("0.95"), round_share=D(1))
def test_plan_when_a_hedge_has_least_orders_then_every_order_keeps_to_them_and_the_plan_ends(
    short, leasts, depth, round_share
):
    # contracts of one underlying: closing either alone frees nothing
    policy, symbols = POLICIES["bybit-uta-portfolio"], ("BTCUSDT", "BTCPERP")
    instruments = dict(policy.instruments)
    for symbol, count in zip(symbols, leasts, strict=True):
        instruments[symbol] = _replace(
            instruments[symbol], quantity_step=D("0.1"), order_quantity_min=D(count)
        )
    # a hedge requires little, and that has to pay for closing it
    rules = LiquidationRules(fee_rate=D(0), slippage_rate=D("1e-5"), share_per_round_max=round_share)
    policy = _replace(policy, instruments=instruments, liquidation=rules)
    at = prices({symbol: 60_000 if symbol.startswith("BTC") else 1 for symbol in policy.price_symbols})
    held = {symbol: (size, 60_000) for symbol, size in zip(symbols, (10, -short), strict=True)}
    state = _replace(account({}, held), margin_model="portfolio")
    required = pool_figures(state, "", at, policy).requirement
    state = _replace(state, balances={"USDT": to_step(depth * required, D("1e-8"), "up")})
    plan, _ = check_ends(state, "", at, policy)
    check_orders(state, plan, at, policy)


def plans_until_out(state, at, policy):
    """Plans, each executed as given, until the pool is out; every one ends where it says."""
    plans = []
    while not out_of_liquidation(state, "", at, policy):
        plan = liquidation_plan(state, "", at, policy)
        assert plan.outcome == "exit"
        assert 0 < len(plan.steps) <= ORDERS_MAX
        assert sum(step.expected_cost for step in plan.steps) == plan.expected_cost
        state = executed(state, "", plan.steps, at, policy)
        now = pool_figures(state, "", at, policy)
        assert (now.equity, now.collateral_value, now.requirement) == (
            plan.equity_after,
            plan.collateral_value_after,
            plan.requirement_after,
        )
        plans.append(plan)
    return plans


def small_orders(policy, largest, *symbols):
    """The policy with market orders of no more contracts than that, and closing at next to no cost."""
    instruments = {
        symbol: _replace(
            policy.instruments[symbol], quantity_step=D("0.01"), market_order_quantity_max=D(largest)
        )
        for symbol in symbols
    }
    rules = LiquidationRules(fee_rate=D(0), slippage_rate=D("1e-5"), depth=D("1e15"))
    return _replace(policy, instruments={**policy.instruments, **instruments}, liquidation=rules)


def test_plan_when_it_takes_more_orders_than_a_plan_may_have_then_the_next_one_goes_on_with_the_rest():
    policy = small_orders(POLICIES["default"], 1, "BTC-USDT-PERP")
    at = prices(dict.fromkeys(policy.price_symbols, 1) | {"BTC-USDT-PERP": 60_000, "BTC-USD": 60_000})
    required = pool_figures(account({}, {"BTC-USDT-PERP": (5_000, 60_000)}), "", at, policy).requirement
    state = account({"USDT": required * D("0.5")}, {"BTC-USDT-PERP": (5_000, 60_000)})
    plans = plans_until_out(state, at, policy)
    closed = sum(step.quantity for plan in plans for step in plan.steps)
    # in one plan it is as much, to the last lot
    assert closed == sum(
        step.quantity
        for step in liquidation_plan(state, "", at, small_orders(policy, 10_000, "BTC-USDT-PERP")).steps
    )
    assert len(plans) > 1
    assert len(plans[0].steps) > 0.9 * ORDERS_MAX


def test_plan_when_a_hedge_takes_more_orders_than_a_plan_may_have_then_the_same_share_of_both_is_closed():
    hedge = ("BTCUSDT", "BTCPERP")
    policy = small_orders(POLICIES["bybit-uta-portfolio"], "0.01", *hedge)
    at = prices({symbol: 60_000 if symbol.startswith("BTC") else 1 for symbol in policy.price_symbols})
    held = {symbol: (size, 60_000) for symbol, size in zip(hedge, (10, -10), strict=True)}
    state = _replace(account({}, held), margin_model="portfolio")
    required = pool_figures(state, "", at, policy).requirement
    state = _replace(state, balances={"USDT": to_step(required * D("0.2"), D("1e-8"), "up")})
    plans = plans_until_out(state, at, policy)
    assert len(plans) > 1
    for plan in plans:
        reductions = [it for it in plan.steps if isinstance(it, ReduceStep)]
        closed = [sum(it.quantity for it in reductions if it.symbol == symbol) for symbol in hedge]
        assert abs(closed[0] - closed[1]) <= D("0.01")
