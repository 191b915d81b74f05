"""Liquidation plans in words."""

from decimal import Decimal

from engine.liquidation.plan import (
    CancelStep,
    LiquidationPlan,
    NetStep,
    ReduceStep,
    RepayStep,
    TakeOverBalanceStep,
    TakeOverStep,
)
from streams.cli.liquidations.plan_words import plan_in_short, plan_steps

D = Decimal


def reduction(limit, leg=None):
    return ReduceStep("BTC-PERP", leg, "sell", D("2.30"), limit, D(100), D("0.46"), D("11.5"), 2)


def test_short_when_the_plan_exits_then_steps_by_kind_and_the_cost():
    steps = (CancelStep("a"), CancelStep("b"), reduction(D("96.5")))
    plan = LiquidationPlan(outcome="exit", exit_line=D("1.02"), steps=steps, expected_cost=D("0.46"))
    assert plan_in_short(plan) == "exit: 2 cancel, 1 reduce; cost 0.46"


def test_short_when_taken_over_then_the_shortfall_too():
    step = TakeOverStep("BTC-PERP", None, "sell", D(10), D("103"), D(100))
    plan = LiquidationPlan(
        outcome="takeover", exit_line=D("1.02"), steps=(step,), expected_cost=D(2), expected_shortfall=D(32)
    )
    assert plan_in_short(plan) == "takeover: 1 take over; cost 2, 32 short"


def test_short_when_there_is_no_step_then_it_says_so():
    plan = LiquidationPlan(outcome="takeover", exit_line=D("1.02"), expected_shortfall=D(7))
    assert plan_in_short(plan) == "takeover: nothing to do; cost 0, 7 short"


def test_steps_when_of_every_kind_then_each_is_told_in_order():
    steps = (
        CancelStep("o\x1b1"),
        NetStep("BTC-PERP", D(4), D(100)),
        reduction(D("96.5")),
        reduction(None, leg="long"),
        RepayStep("BTC", D("0.01"), "USDT", D("299.7"), D("0.3"), D(0)),
        TakeOverStep("ETH-PERP", "short", "buy", D(50), D("9.8"), D(10)),
        TakeOverBalanceStep("BTC", D("0.05"), D(30_000), D(1_500)),
        TakeOverBalanceStep("USDT", D(-1_500), D(1), D(-1_500)),
    )
    told = plan_steps(LiquidationPlan(outcome="exit", exit_line=D("1.02"), steps=steps))
    assert told[0].startswith("cancel order o")
    assert "\x1b" not in told[0]
    assert told[1:] == [
        "close 4 BTC-PERP of long and short against each other",
        "round 2: sell 2.3 BTC-PERP, reduce only, at 96.5 or better",
        "round 2: sell 2.3 BTC-PERP|long, reduce only, at any price",
        "round 1: sell 0.01 BTC to repay 299.7 USDT",
        "take over 50 ETH-PERP|short (buy) at 9.8",
        "the fund takes 0.05 BTC, at 30,000",
        "the fund pays 1,500 USDT, at 1",
    ]
