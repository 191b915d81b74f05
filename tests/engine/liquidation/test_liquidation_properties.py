"""What holds for every liquidation plan, under any policy and margin model: executed as given it ends where it says."""

import itertools
from decimal import Decimal
from random import Random

import msgspec
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from engine.analytics.bankruptcy_price import shared_bankruptcy_price
from engine.events.pools import pool_figures
from engine.ladder import SEVERITY, Band, band_at
from engine.ledger.accounts import AccountState, IsolatedPosition
from engine.liquidation.cross_probe import CrossProbe
from engine.liquidation.limits import limit_price, takeover_prices
from engine.liquidation.lots import FINEST, lots_to_cover
from engine.liquidation.moves import repayments
from engine.liquidation.plan import (
    CancelStep,
    NetStep,
    ReduceStep,
    RepayStep,
    TakeOverBalanceStep,
    TakeOverStep,
)
from engine.liquidation.planner import liquidation_plan
from engine.liquidation.standing import PoolProbe
from engine.liquidation.trades import positions_of
from engine.margin.cross.cross_sums import CrossSums
from engine.margin.figures import Figures, Standing
from engine.margin.isolated_pool import isolated_figures
from engine.margin.quotes import index_price
from engine.numbers import canonical, divide, exact
from engine.policy import LiquidationRules
from engine.position_keys import leg_of, position_key, symbol_of
from tests.engine.margin.test_health import AT as HEALTH_AT
from tests.engine.margin.test_health import POLICY as HEALTH
from tests.engine.strategies import Case, drawn_case, seeds
from tests.support.builders import account, position, prices, sample
from tests.support.liquidating import executed, nothing_left_to_close, out_of_liquidation

D = Decimal
_replace = msgspec.structs.replace

planned = settings(max_examples=150, deadline=None)
"""Many plans, each of which asks the margin model many times."""

rules = st.builds(
    LiquidationRules,
    fee_rate=st.sampled_from([D(0), D("0.0005")]),
    slippage_rate=st.sampled_from([D(0), D("0.001"), D("0.02")]),
    conversion_fee_rate=st.sampled_from([D(0), D("0.002"), D("0.05")]),
    steps_max=st.sampled_from([1, 2, 10]),
    share_per_round_max=st.sampled_from([D(1), D("0.25"), D("0.3")]),
    # what is beyond the depth of a book is in `test_liquidation_ends`: its costs are rounded
    depth=st.just(D("1e40")),
)
lots = st.sampled_from([D(0), D("0.1"), D(1)])
depths = st.decimals(min_value="0.2", max_value="1.01", places=3)
"""C of the account as a multiple of its requirement."""


def troubled(case, rules, lot, depth):
    """The case with these rules and lots, and as much account currency as leaves C at `depth` times the requirement."""
    instruments = {name: _replace(it, quantity_step=lot) for name, it in case.policy.instruments.items()}
    # to the last digit: nothing is too little to count
    assets = {name: _replace(it, dust=D(0)) for name, it in case.policy.assets.items()}
    policy = _replace(case.policy, liquidation=rules, instruments=instruments, assets=assets)
    now = pool_figures(case.state, "", case.prices, policy)
    with exact():
        missing = depth * now.requirement - now.collateral_value
        cash = canonical(case.state.balances.get(policy.account_currency, D(0)) + missing)
    state = _replace(case.state, balances={**case.state.balances, policy.account_currency: cash})
    assume(not out_of_liquidation(state, "", case.prices, policy))
    return Case(state, case.prices, policy)


cross = st.builds(troubled, st.builds(drawn_case, seeds, options=st.booleans()), rules, lots, depths)


def drawn_pool(policy, model, at, symbols, seed):
    """Positions of either sign in some of the symbols, and some coins."""
    random = Random(seed)
    held = {}
    for symbol in symbols:
        if random.random() < 0.6:
            value = random.choice([1_000, 5_000, 20_000, 100_000]) * random.choice([-1, 1])
            mark, instrument = at.marks[symbol].price, policy.instruments[symbol]
            quantity = instrument.quantity(D(value), mark)
            held[symbol] = msgspec.convert(
                {"quantity": quantity, "entry_value": instrument.value(quantity, mark)}, type(position(1, 1))
            )
    coins = [asset for asset in policy.assets if asset != policy.account_currency and random.random() < 0.4]
    balances = {asset: D(random.randint(-300, 900)) / 100 for asset in coins}
    return Case(AccountState("a", balances, held, margin_model=model), at, policy)


QUOTES = {"USDT-USD": 1, "BTC-USD": 60_000, "ETH-USD": 2_500, "SOL-USD": 150}
PERPETUALS = {"BTC-USDT-PERP": 60_050, "ETH-USDT-PERP": 2_499, "SOL-USDT-PERP": "150.5"}


@pytest.fixture(scope="module")
def net(default_policy):
    """Draws accounts under portfolio margin."""
    at = prices({**QUOTES, **PERPETUALS})
    return lambda seed: drawn_pool(default_policy, "portfolio", at, PERPETUALS, seed)


def moves_of(plan):
    return [step for step in plan.steps if isinstance(step, ReduceStep | RepayStep)]


def one_lot_less(step, case, held):
    """The step with one lot less of it, None where that is nothing."""
    rules, policy = case.policy.liquidation, case.policy
    with exact():
        if isinstance(step, RepayStep):
            # all that is at hand may be sold, so the last lot may be a part of one
            amount = step.sell_amount - (step.sell_amount % D("1e-8") or D("1e-8"))
            sold, _ = index_price(policy, step.sell_asset, case.prices)
            bought, _ = index_price(policy, step.repay_asset, case.prices)
            credit = divide(amount * sold * (1 - rules.conversion_fee_rate), bought)
            return _replace(step, sell_amount=amount, repay_amount=credit) if amount else None
        instrument = policy.instruments[step.symbol]
        lot = instrument.quantity_step or FINEST
        # all of a position may be closed, so the last lot may be a part of one
        part = step.quantity % lot if step.quantity == held else D(0)
        quantity = step.quantity - (part or lot)
        if not quantity:
            return None
        index, _ = index_price(policy, instrument.settle, case.prices)
        cost = rules.cost_rate(step.symbol) * instrument.notional(quantity, step.mark) * index
        return _replace(step, quantity=quantity, expected_cost=cost)


def held_by(state, pool, step):
    if isinstance(step, RepayStep):
        return None
    key = position_key(step.symbol, step.leg)
    found = state.isolated[key].position if pool else state.positions[key]
    return abs(found.quantity)


def check(case, pool=""):
    """Everything that a plan promises."""
    state, at, policy = case.state, case.prices, case.policy
    plan = liquidation_plan(state, pool, at, policy)
    if plan.outcome == "takeover":
        kinds = CancelStep | NetStep | TakeOverStep | TakeOverBalanceStep
        assert all(isinstance(step, kinds) for step in plan.steps)
        return plan
    after = executed(state, pool, plan.steps, at, policy)
    if not out_of_liquidation(after, pool, at, policy):
        assert nothing_left_to_close(after, pool, at, policy)
        return plan
    # what is left of the margin of an isolated position that was closed whole still counts as the plan's
    left = pool in after.isolated
    figures = isolated_figures(after, pool, at, policy) if left else pool_figures(after, pool, at, policy)
    assert (figures.equity, figures.collateral_value, figures.requirement) == (
        plan.equity_after,
        plan.collateral_value_after,
        plan.requirement_after,
    )
    with exact():
        freed = pool_figures(state, pool, at, policy).requirement - plan.requirement_after
        assert plan.freed_margin == freed
        assert plan.expected_cost == sum(step.expected_cost for step in moves_of(plan))
    moves = moves_of(plan)
    if moves:
        before = executed(state, pool, plan.steps[:-1], at, policy)
        assert not out_of_liquidation(before, pool, at, policy)
        less = one_lot_less(moves[-1], case, held_by(before, pool, moves[-1]))
        if less is not None:
            assert not out_of_liquidation(executed(before, pool, [less], at, policy), pool, at, policy)
    check_sizes(plan, case, pool)
    return plan


def check_sizes(plan, case, pool):
    """Quantities, limits and rounds of a plan that reaches the exit."""
    state, policy, share = case.state, case.policy, case.policy.liquidation.share_per_round_max
    moves = moves_of(plan)
    rounds = [step.round for step in moves]
    assert rounds == sorted(rounds)
    assert set(rounds) == set(range(1, len(set(rounds)) + 1))
    ready = executed(state, pool, [step for step in plan.steps if step not in moves], case.prices, policy)
    found = {key: abs(held.quantity) for key, held in positions_of(ready, pool).items()}
    for begun in range(1, 1 + max(rounds, default=0)):
        # positions as they are when the round begins: rounds before it, and what is not a move, executed
        steps = [step for step in plan.steps if getattr(step, "round", 0) < begun]
        at_start = executed(state, pool, steps, case.prices, policy)
        closed = {}
        for step in (step for step in moves if step.round == begun):
            if isinstance(step, RepayStep):
                assert step.sell_amount > 0
                # in lots, or all that is at hand once the steps before are done
                continue
            held, key = held_by(at_start, pool, step), position_key(step.symbol, step.leg)
            lot = policy.instruments[step.symbol].quantity_step or FINEST
            with exact():
                closed[key] = closed.get(key, D(0)) + step.quantity
                assert 0 < closed[key] <= held
                assert step.quantity % lot == 0 or closed[key] == held
                # a round closes its share of the lots that the plan found, the last may be a part of one, rounded up
                assert closed[key] < share * lots_to_cover(found[key], lot) * lot + lot


@planned
@given(cross)
def test_plan_when_executed_as_given_then_the_pool_is_out_and_one_lot_less_is_not_enough(case):
    check(case)


@planned
@given(seeds, rules, lots, depths)
def test_plan_when_under_portfolio_margin_then_the_same(net, seed, rules, lot, depth):
    check(troubled(net(seed), rules, lot, depth))


@planned
@given(seeds, rules, lots, depths)
def test_plan_when_under_the_health_model_then_the_same(seed, rules, lot, depth):
    contracts = [name for name, it in HEALTH.instruments.items() if it.kind != "spot"]
    check(troubled(drawn_pool(HEALTH, None, HEALTH_AT, contracts, seed), rules, lot, depth))


def ring_fenced(case, rules, lot, depth):
    """The first position as an isolated one, its margin such that its equity is `depth` times its requirement."""
    instruments = {name: _replace(it, quantity_step=lot) for name, it in case.policy.instruments.items()}
    # to the last digit: nothing is too little to count
    assets = {name: _replace(it, dust=D(0)) for name, it in case.policy.assets.items()}
    policy = _replace(case.policy, liquidation=rules, instruments=instruments, assets=assets)
    contracts = [key for key in case.state.positions if policy.instruments[symbol_of(key)].kind != "option"]
    assume(contracts)
    held = case.state.positions[contracts[0]]
    state = _replace(case.state, isolated={contracts[0]: IsolatedPosition(held, D(0))})
    now = pool_figures(state, contracts[0], case.prices, policy)
    index, _ = index_price(policy, policy.instruments[symbol_of(contracts[0])].settle, case.prices)
    with exact():
        margin = canonical(divide(depth * now.requirement - now.equity, index))
    state = _replace(state, isolated={contracts[0]: IsolatedPosition(held, margin)})
    assume(not out_of_liquidation(state, contracts[0], case.prices, policy))
    return Case(state, case.prices, policy), contracts[0]


@planned
@given(st.builds(ring_fenced, st.builds(drawn_case, seeds, options=st.booleans()), rules, lots, depths))
def test_plan_when_isolated_then_the_same_and_nothing_else_of_the_account_changes(drawn):
    case, pool = drawn
    plan = check(case, pool)
    after = executed(case.state, pool, plan.steps if plan.outcome == "exit" else (), case.prices, case.policy)
    assert after.positions == case.state.positions
    assert after.balances == {asset: amount for asset, amount in case.state.balances.items() if amount}


@settings(max_examples=40, deadline=None)
@given(
    st.builds(troubled, st.builds(drawn_case, seeds, options=st.booleans()), rules, lots.filter(bool), depths)
)
def test_plan_when_made_anew_after_each_round_then_it_ends_in_the_exit_or_the_takeover(case):
    state, at, policy = case.state, case.prices, case.policy
    # a round takes its share of what is left, down to the last of at most 10^18 lots: 42 / share rounds for one position, as
    # (1 - share)^n < 10^-18; one step a round and a repayment for every debt leave it to the number of moves
    rounds_max = (
        42 / policy.liquidation.share_per_round_max * (len(state.positions) + len(state.balances) + 1)
    )
    rounds = 0
    while not out_of_liquidation(state, "", at, policy):
        plan = liquidation_plan(state, "", at, policy)
        if plan.outcome == "takeover" or nothing_left_to_close(state, "", at, policy):
            break
        begun = [step for step in plan.steps if getattr(step, "round", 1) == 1]
        assert begun
        state = executed(state, "", begun, at, policy)
        rounds += 1
        assert rounds <= rounds_max


@planned
@given(cross)
def test_reduction_when_all_of_it_fills_at_its_limit_then_it_leaves_the_pool_something(case):
    state, at, policy = case.state, case.prices, case.policy
    for step in liquidation_plan(state, "", at, policy).steps:
        if isinstance(step, ReduceStep) and step.limit_price is not None:
            before = pool_figures(state, "", at, policy).equity
            index, _ = index_price(policy, policy.instruments[step.symbol].settle, at)
            with exact():
                fee_rate = policy.liquidation.fee_rate
                instrument = policy.instruments[step.symbol]
                signed = -step.quantity if step.side == "sell" else step.quantity
                # what trading at the limit instead of the mark loses, and the fee
                at_limit = instrument.value(signed, step.limit_price)
                lost = instrument.profit(instrument.value(signed, step.mark), at_limit)
                fee = fee_rate * instrument.notional(signed, step.limit_price)
                left = before + (lost - fee) * index
            assert left >= -rounding(
                TakeOverStep(step.symbol, step.leg, step.side, step.quantity, step.limit_price, step.mark),
                case,
            )
        if isinstance(step, TakeOverStep | TakeOverBalanceStep):
            break
        state = executed(state, "", [step], at, policy)


@planned
@given(cross)
def test_plan_when_it_reduces_then_positions_only_shrink(case):
    state = case.state
    for step in liquidation_plan(state, "", case.prices, case.policy).steps:
        if isinstance(step, TakeOverStep | TakeOverBalanceStep):
            continue
        after = executed(state, "", [step], case.prices, case.policy)
        for key, held in after.positions.items():
            before = state.positions[key].quantity
            assert held.quantity * before > 0
            assert abs(held.quantity) <= abs(before)
        state = after


@planned
@given(cross, st.randoms())
def test_plan_when_the_account_is_permuted_then_the_same(case, random):
    def shuffled(entries):
        items = list(entries.items())
        random.shuffle(items)
        return dict(items)

    state = _replace(
        case.state,
        positions=shuffled(case.state.positions),
        balances=shuffled(case.state.balances),
        orders=shuffled(case.state.orders),
    )
    at = _replace(case.prices, marks=shuffled(case.prices.marks))
    assert liquidation_plan(state, "", at, case.policy) == liquidation_plan(
        case.state, "", case.prices, case.policy
    )


@planned
@given(cross, st.decimals(min_value="0.01", max_value=1, places=2))
def test_sums_when_they_fit_the_pool_then_they_say_what_the_margin_model_says(case, share):
    state = _replace(case.state, orders={})
    with exact():
        assume(CrossProbe.fits(state, case.prices, case.policy))
        fast = CrossProbe(state, CrossSums(state, case.prices, case.policy), case.prices, case.policy)
        model = PoolProbe(state, "", case.prices, case.policy)
        assert fast.now == model.now
        for key, held in state.positions.items():
            assert fast.mark(key) == model.mark(key)
            assert fast.notional(key) == model.notional(key)
            quantity = canonical(abs(held.quantity) * share)
            assert fast.reduced(key, quantity, share) == model.reduced(key, quantity, share)
            closing = fast.closing(key, share)
            linear = closing and closing.standing(quantity)
            assert linear in (None, model.reduced(key, quantity, share * quantity))
        for sell in state.balances:
            for repay in state.balances:
                if sell != repay:
                    assert fast.converted(sell, share, repay) == model.converted(sell, share, repay)


@planned
@given(cross, st.sampled_from([D("0.5"), D(1), D("1.02"), D("1.3")]))
def test_repayment_when_it_is_in_vain_then_the_margin_model_sees_no_gain(case, line):
    state = _replace(case.state, orders={})
    with exact():
        assume(CrossProbe.fits(state, case.prices, case.policy))
        fast = CrossProbe(state, CrossSums(state, case.prices, case.policy), case.prices, case.policy)
        model = PoolProbe(state, "", case.prices, case.policy)
        amounts = fast.amounts()
        assert amounts == model.amounts()
        every = list(repayments(model, line, case.prices, case.policy))
        tried = {it.name for it in repayments(fast, line, case.prices, case.policy)}
        for it in every:
            if it.name not in tried:
                assert it.standing(it.sizes[-1]).gap(line) <= model.now.gap(line)


@planned
@given(cross)
def test_takeover_when_at_its_prices_then_the_pool_is_worth_nothing_or_a_rounding_more(case):
    # funding that has accrued is never paid once the position is gone, so it has no share in the prices
    pool = _replace(case.policy.pool, funding_accrual=False)
    state, at, policy = case.state, case.prices, _replace(case.policy, pool=pool)
    equity = pool_figures(state, "", at, policy).equity
    with exact():
        at_prices = takeover_prices(state, "", equity, at, policy)
    taken = [
        TakeOverStep(symbol_of(key), leg_of(key), "sell" if held.quantity > 0 else "buy", abs(held.quantity),
                     at_prices[key], D(0))
        for key, held in state.positions.items()
    ]  # fmt: skip
    if not taken or not all(step.price for step in taken):
        return  # an equity above the worth of a long cannot be lost with it
    left = pool_figures(executed(state, "", taken, at, policy), "", at, policy).equity
    bound = sum(rounding(step, case) for step in taken)
    assert -bound <= left <= bound
    if not any(policy.instruments[step.symbol].inverse for step in taken):
        assert left >= 0


def rounding(step, case):
    """By how much the rounding of a price, up or down by less than 1e-18, changes what the leg is worth."""
    instrument = case.policy.instruments[step.symbol]
    index, _ = index_price(case.policy, instrument.settle, case.prices)
    size = abs(step.quantity * instrument.multiplier)
    # linear: size * change; inverse: size / price^2 * change, and the value itself is rounded to 18 places
    worth = 2 * size / step.price**2 + 1 if instrument.inverse else size
    return worth * index * D("1e-18")


@planned
@given(
    quantity=st.decimals(min_value=-50, max_value=50, places=2).filter(bool),
    entry=st.decimals(min_value=50, max_value=200, places=2),
    cash=st.decimals(min_value=1, max_value=4_000, places=2),
    tick=st.sampled_from([D("0.01"), D("0.5")]),
)
def test_limit_when_the_pool_holds_no_coin_of_the_contract_then_its_bankruptcy_price_on_the_safe_tick(
    quantity, entry, cash, tick
):
    policy, at = sample(), prices({"USDT-USD": "0.999", "BTC-PERP": 100, "BTC-USD": 30_000})
    state = account({"USD": cash}, {"BTC-PERP": (quantity, entry)})
    listed = _replace(policy.instruments["BTC-PERP"], price_step=tick)
    equity = pool_figures(state, "", at, policy).equity
    assume(equity > 0)
    with exact():
        limit = limit_price(listed, quantity, D(100), D("0.999"), equity, D("0.001"))
    bankruptcy = shared_bankruptcy_price(state, "BTC-PERP", at, policy, taker_fee_rate=D("0.001"))
    if limit is None:
        assert bankruptcy is None or bankruptcy < tick
        return
    better = limit - bankruptcy if quantity > 0 else bankruptcy - limit
    assert D("-1e-17") <= better < tick


def test_probe_when_it_says_out_then_the_ladder_says_so_too():
    ladder = sample().ladder
    with exact():
        for equity, collateral, requirement in itertools.product(
            (-1, 0, 1, 102), (-1, 0, 1, 101, 102), (0, 100)
        ):
            at = Standing(D(equity), D(collateral), D(requirement))
            figures = Figures(D(equity), D(collateral), D(0), D(requirement), degraded=False)
            band = band_at(figures, ladder, exiting=True)
            assert at.out(D("1.02")) == (SEVERITY[band] < SEVERITY[Band.LIQUIDATION])
            assert at.bankrupt == (band is Band.BANKRUPT)
