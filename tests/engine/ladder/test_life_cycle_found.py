"""What walks through the life cycle of a liquidation have found, as small as it gets."""

from decimal import Decimal

import pytest
from msgspec.structs import replace

from engine.events.pools import CROSS, pool_figures
from engine.ladder import Band
from engine.ledger.accounts import OpenOrder
from engine.ledger.booking import booked_order
from engine.liquidation.cross_probe import CrossProbe
from engine.liquidation.plan import RepayStep
from engine.liquidation.planner import liquidation_plan
from engine.liquidation.portfolio_probe import PortfolioProbe
from engine.liquidation.search import probe_of
from engine.liquidation.standing import PoolProbe
from engine.numbers import exact
from tests.engine.ladder.life_cycle_desk import POLICIES, Desk, cash
from tests.support.builders import account, prices, seconds, trade
from tests.support.life_cycle import Journal

D = Decimal
NOTIFIES, LIQUIDATES = POLICIES[1], POLICIES[3]
"""By what an expired call leads to; their margin rates are the same."""


@pytest.mark.parametrize(("policy", "band"), [(NOTIFIES, Band.MARGIN_CALL), (LIQUIDATES, Band.LIQUIDATION)])
def test_books_when_a_new_policy_takes_an_expired_call_further_then_both_follow(policy, band):
    desk = Desk(NOTIFIES, Journal())
    desk.pass_time(0)
    # MM = 5 % of 20 * 100 = 100; 115 / 100 is below the call line of 1.2 and above that of reduce-only, 1.05
    desk.take("alice", cash("alice", D(115)), trade("BTC-PERP", 20, 100))
    desk.pass_time(seconds(20))
    called = desk.plain.risk("alice").pools[CROSS]
    assert (called.band, called.expired) == (Band.MARGIN_CALL, True)
    after = desk.restarted(policy)
    assert after.plain.risk("alice").pools[CROSS].band is band
    assert after.fast.risk("alice").pools[CROSS].band is band


AT = prices({"USDT-USD": 1, "BTC-USD": 100, "BTC-PERP": 100, "ETH-PERP": 4, "ADA-PERP": 1})
IN_DEBT = account({"USD": "16.45", "USDT": 10, "BTC": "-0.1"}, {"BTC-PERP": (20, 100), "ETH-PERP": (-60, 20)})


def test_plan_when_a_debt_is_repaid_by_a_part_of_a_lot_more_than_it_is_then_what_is_left_counts_as_nothing():
    state, policy = replace(IN_DEBT, margin_model="portfolio"), POLICIES[0]
    plan = liquidation_plan(state, CROSS, AT, policy)
    bought = sum(step.repay_amount for step in plan.steps if isinstance(step, RepayStep))
    assert D("0.1") < bought < D("0.1") + policy.assets["BTC"].dust
    # a coin counts less than it is worth, so the two would differ if any of it did
    assert plan.collateral_value_after == plan.equity_after
    assert plan.collateral_value_after >= plan.exit_line * plan.requirement_after


def test_probe_when_a_conversion_leaves_dust_then_sums_say_what_judging_the_account_anew_says():
    policy = POLICIES[0]
    # 0.1 * 100 / (1 - 0.002) = 10.020040080...: a lot of 1e-8 more leaves 9.82e-11 of a coin
    sold = D("10.02004009")
    with exact():
        by_sums = probe_of(IN_DEBT, CROSS, AT, policy).converted("USD", sold, "BTC")
        anew = PoolProbe(IN_DEBT, CROSS, AT, policy).converted("USD", sold, "BTC")
    assert isinstance(probe_of(IN_DEBT, CROSS, AT, policy), CrossProbe)
    assert by_sums == anew


# closing BTC-PERP costs 0.0015 * 2,000 = 3 USDT, and leaves 9e-11
ON_THE_EDGE = account(
    {"USD": "8.45", "USDT": "3.00000000009"}, {"BTC-PERP": (20, 100), "ETH-PERP": (-60, 20)}
)


# where nothing is left of a wallet, a cross pool closes the other position first: what counts as nothing frees nothing
@pytest.mark.parametrize(("model", "left"), [("cross", "0.19500000009"), ("portfolio", "9e-11")])
def test_plan_when_a_reduction_may_leave_dust_then_executed_as_given_the_pool_is_judged_out_of_liquidation(
    model, left
):
    policy, state = POLICIES[0], replace(ON_THE_EDGE, margin_model=model)
    plan = liquidation_plan(state, CROSS, AT, policy)
    settled = {"BTC-PERP": "USDT", "ETH-PERP": "USD"}
    with exact():
        for step in plan.steps:
            state = booked_order(
                state,
                OpenOrder(step.symbol, step.quantity if step.side == "buy" else -step.quantity, step.mark),
                policy,
            )
            asset = settled[step.symbol]
            state = replace(
                state, balances={**state.balances, asset: state.balances[asset] - step.expected_cost}
            )
        assert state.balances["USDT"] == D(left)
        figures = pool_figures(state, CROSS, AT, policy)
        assert figures.collateral_value >= plan.exit_line * figures.requirement
    assert figures.collateral_value == plan.collateral_value_after


@pytest.mark.parametrize(("model", "kind"), [("cross", CrossProbe), ("portfolio", PortfolioProbe)])
def test_probe_when_a_reduction_leaves_dust_then_sums_say_what_judging_the_account_anew_says(model, kind):
    policy, state = POLICIES[0], replace(ON_THE_EDGE, margin_model=model)
    with exact():
        probe = probe_of(state, CROSS, AT, policy)
        assert isinstance(probe, kind)
        anew = PoolProbe(state, CROSS, AT, policy).reduced("BTC-PERP", D(20), D(3))
        assert probe.reduced("BTC-PERP", D(20), D(3)) == anew
