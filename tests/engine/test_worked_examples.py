"""The worked examples 1 to 4 of the domain, number for number."""

from decimal import Decimal

import msgspec

from engine.events.effects import AccountRisk, EventType
from engine.ladder import Band, LadderState, advance, band_at
from engine.liquidation.planner import liquidation_plan
from engine.margin.cross.cross_pool import cross_figures
from engine.margin.isolated_pool import isolated_figures
from engine.policy import LiquidationRules
from tests.support.builders import account, prices, sample
from tests.support.judging import judge_with_reasons as judge

D = Decimal
FRESH = {"USDT-USD": 1, "BTC-USD": 50_000}


def segregated(policy, at, **positions):
    """Each position alone, ring-fenced: the requirement a venue without a pool would ask, by symbol."""
    return {
        symbol: isolated_figures(account(isolated={symbol: (*held, 0)}), symbol, at, policy)
        for symbol, held in positions.items()
    }


def test_example_1_when_judged_segregated_and_unified_then_both_requirements_and_the_capital_freed_show(
    policy,
):
    # leverage 10: BTC 0.2 * 50,000 / 10 = 1,000; ETH 2 * 2,500 / 10 = 500; ADA 400 * 10 * 0.5 / 10 = 200
    positions = {"BTC-PERP": ("0.2", 50_000), "ETH-PERP": (-2, 2_500), "ADA-PERP": (400, 5)}
    at = prices({**FRESH, "BTC-PERP": 50_000, "ETH-PERP": 2_500, "ADA-PERP": "0.5"})
    alone = segregated(policy, at, **positions)
    assert {symbol: figures.initial_margin for symbol, figures in alone.items()} == {
        "BTC-PERP": D(1_000),
        "ETH-PERP": D(500),
        "ADA-PERP": D(200),
    }
    requirement = sum(figures.initial_margin for figures in alone.values())
    assert requirement == D(1_000) + D(500) + D(200)  # 1,700

    pool = cross_figures(account({"USDT": 1_700}, positions), at, policy)
    assert pool.initial_margin == requirement  # in cross mode the legs add up; the *wallet* is what is shared
    # segregated each leg locks its own 1,000 / 500 / 200; pooled the requirement to *keep* them is the MM
    assert pool.maintenance_margin == D("0.05") * (10_000 + 5_000 + 2_000)  # 850
    assert requirement - pool.maintenance_margin == D(1_700) - D(
        850
    )  # capital that may be lost before a liquidation


def test_example_2_when_btc_gets_700_segregated_then_it_is_refused_and_unified_both_open(policy):
    at = prices({**FRESH, "BTC-PERP": 10_000, "ETH-PERP": 500})
    # BTC 1 * 10,000 / 10 = 1,000; ETH 10 * 500 / 10 = 500
    legs = {"BTC-PERP": (1, 10_000), "ETH-PERP": (-10, 500)}
    alone = isolated_figures(account(isolated={"BTC-PERP": (1, 10_000, 700)}), "BTC-PERP", at, policy)
    assert alone.initial_margin == D(1) * 10_000 / 10  # 1,000
    assert alone.collateral_value < alone.initial_margin  # 700 < 1,000: refused
    assert alone.initial_ratio == D("0.7")

    pool = cross_figures(account({"USDT": 2_000}, legs), at, policy)
    assert pool.initial_margin == D(1_000) + D(500)
    assert pool.initial_margin <= pool.collateral_value == D(2_000)  # 1,500 <= 2,000: both open
    assert pool.available_margin == D(2_000) - D(1_500)


def test_example_2_when_btc_loses_600_then_the_pool_stands_and_the_position_alone_is_liquidated(policy):
    at = prices({**FRESH, "BTC-PERP": 9_400, "ETH-PERP": 500})
    pool = cross_figures(
        account({"USDT": 2_000}, {"BTC-PERP": (1, 10_000), "ETH-PERP": (-10, 500)}), at, policy
    )
    assert pool.equity == D(2_000) - D(600)  # 1,400
    assert pool.maintenance_margin == D("0.05") * 9_400 + D("0.05") * 5_000  # 470 + 250 = 720 < 1,400
    assert band_at(pool, policy.ladder) is Band.HEALTHY

    alone = isolated_figures(account(isolated={"BTC-PERP": (1, 10_000, 1_000)}), "BTC-PERP", at, policy)
    assert alone.equity == D(1_000) - D(600)  # 400
    assert alone.maintenance_margin == D("0.05") * 9_400  # 470
    assert band_at(alone, policy.ladder) is Band.LIQUIDATION  # 400 < 470


def test_example_3_when_c_loses_7500_then_the_whole_account_is_liquidated_although_a_is_in_profit():
    # one rate of 25 %, so that the legs at their marks require 5,000 together
    policy = sample(("maintenance_rate = 0.05\ninitial_rate = 0.1", "maintenance_rate = 0.25\ninitial_rate = 0.25"),
                    ("maintenance_rate = 0.1\ninitial_rate = 0.2", "maintenance_rate = 0.25\ninitial_rate = 0.25"))  # fmt: skip
    # A: 8 bought at 1,000, now 1,250: +2,000, notional 10,000. B: 5 at 1,000, unmoved: 0, notional 5,000.
    # C: 1 (x 10) bought at 1,250, now 500: (500 - 1,250) * 10 = -7,500, notional 5,000.
    state = account(
        {"USD": 10_000}, {"BTC-PERP": (8, 1_000), "ETH-PERP": (5, 1_000), "ADA-PERP": (1, 12_500)}
    )
    at = prices({"USDT-USD": 1, "BTC-PERP": 1_250, "ETH-PERP": 1_000, "ADA-PERP": 500})
    figures = cross_figures(state, at, policy)
    assert figures.equity == D(10_000) + D(2_000) + D(0) - D(7_500)  # 4,500
    assert figures.maintenance_margin == D("0.25") * (10_000 + 5_000 + 5_000)  # 5,000
    # the loss settles in USDT, where no haircut and a liability factor of 1 keep C at the equity
    assert figures.ratio == D("0.9")  # 4,500 / 5,000

    judgement = judge(state, AccountRisk("alice"), at, 0, policy)
    requested = [event for event in judgement.events if event.type is EventType.LIQUIDATION_REQUESTED]
    # the request is about the pool, not about C: closing costs the same everywhere and every leg requires 25 %, so the largest
    # loss goes first, and with it gone (5,000 * 0.25 freed) the rest of the pool is covered: A and B stay
    plan = requested[0].plan
    assert (requested[0].position, plan.outcome) == (None, "exit")
    # per unit of notional closed: 1.02 * 0.25 - 0.0015 = 0.2535; missing: 1.02 * 5,000 - 4,500 = 600
    (step,) = plan.steps
    assert (step.symbol, step.side) == ("ADA-PERP", "sell")
    assert abs(step.quantity * 10 * 500 - 600 / D("0.2535")) < D("1e-12")

    whole = msgspec.structs.replace(policy, liquidation=LiquidationRules(partial=False))
    closed = liquidation_plan(state, "", at, whole)
    assert [it.symbol for it in closed.steps] == ["ADA-PERP", "ETH-PERP", "BTC-PERP"]  # A is in it
    assert closed.equity_after == D(4_500) - D("0.0015") * 20_000  # less fees and slippage


def test_example_3_when_segregated_then_only_c_is_liquidated():
    policy = sample(("maintenance_rate = 0.05\ninitial_rate = 0.1", "maintenance_rate = 0.25\ninitial_rate = 0.25"),
                    ("maintenance_rate = 0.1\ninitial_rate = 0.2", "maintenance_rate = 0.25\ninitial_rate = 0.25"))  # fmt: skip
    # the same 10,000 of deposits, divided among the positions
    state = account(
        isolated={
            "BTC-PERP": (8, 1_000, 3_200),
            "ETH-PERP": (5, 1_000, 2_000),
            "ADA-PERP": (1, 12_500, 4_800),
        }
    )
    at = prices({"USDT-USD": 1, "BTC-PERP": 1_250, "ETH-PERP": 1_000, "ADA-PERP": 500})
    judgement = judge(state, AccountRisk("alice"), at, 0, policy)
    # A: 3,200 + 2,000 against 2,500; B: 2,000 against 1,250; C: 4,800 - 7,500, below 0
    liquidated = [event for event in judgement.events if event.plan is not None]
    assert {event.position for event in liquidated} == {"ADA-PERP"}
    assert liquidated[0].plan.outcome == "takeover"
    # what C lost beyond its margin, and the cost of closing 5,000: A's profit does not pay for it
    assert liquidated[0].plan.expected_shortfall == D(7_500) - D(4_800) + D("0.0015") * 5_000


def test_example_4_when_btc_falls_a_fifth_then_the_ratio_falls_a_fifth_and_a_call_follows_without_a_move(
    policy,
):
    # collateral 1 BTC * 0.95; short and long of stablecoin contracts at their entry prices
    state = account({"BTC": 1}, {"ETH-PERP": (200, 1_000), "ADA-PERP": (-36_000, 10)})
    positions = {"USDT-USD": 1, "ETH-PERP": 1_000, "ADA-PERP": 1}
    before = cross_figures(state, prices({**positions, "BTC-USD": 40_000}), policy)
    after = cross_figures(state, prices({**positions, "BTC-USD": 32_000}), policy)
    assert before.maintenance_margin == D("0.05") * 200_000 + D("0.05") * 360_000  # 28,000
    assert after.maintenance_margin == before.maintenance_margin  # nothing moved but the collateral
    assert before.collateral_value == D(1) * D("0.95") * 40_000  # 38,000 -> ratio 1.357..
    assert after.collateral_value == before.collateral_value * D("0.8")  # 30,400 -> ratio 1.0857..

    warned = advance(LadderState(), before, 0, policy.ladder)
    assert warned.band is Band.WARNING
    assert advance(warned, after, 1, policy.ladder).band is Band.MARGIN_CALL
