"""A liquidation plan in words, for people."""

from collections import Counter

from engine.liquidation.plan import (
    CancelStep,
    LiquidationPlan,
    NetStep,
    ReduceStep,
    RepayStep,
    Step,
    TakeOverBalanceStep,
    TakeOverStep,
)
from engine.numbers import ZERO, exact
from engine.position_keys import position_key
from streams.config.terminal import amount, printable

_PLACES = 2
_NAMES = {
    CancelStep: "cancel",
    NetStep: "net",
    ReduceStep: "reduce",
    RepayStep: "repay",
    TakeOverStep: "take over",
    TakeOverBalanceStep: "take over balance",
}


def plan_in_short(plan: LiquidationPlan) -> str:
    """The plan on one line: how many steps of each kind, and what they cost."""
    counts = Counter(_NAMES[type(step)] for step in plan.steps)
    steps = ", ".join(f"{count} {name}" for name, count in counts.items()) or "nothing to do"
    short = f", {amount(plan.expected_shortfall, _PLACES)} short" if plan.expected_shortfall else ""
    return f"{plan.outcome}: {steps}; cost {amount(plan.expected_cost, _PLACES)}{short}{_cover(plan)}"


def _cover(plan: LiquidationPlan) -> str:
    """Who would bear the shortfall, where that is known."""
    cover = plan.cover
    if cover is None:
        return ""
    said = f": the fund pays {amount(cover.from_fund, _PLACES)}"
    if cover.cuts:
        with exact():
            given = sum((cut.forgone for cut in cover.cuts), ZERO)
        said += f", {len(cover.cuts)} winners {amount(given, _PLACES)}"
    return said + (f", {amount(cover.uncovered, _PLACES)} remain unpaid" if cover.uncovered else "")


def plan_steps(plan: LiquidationPlan) -> list[str]:
    """Every step in a few words, in order."""
    return [_words(step) for step in plan.steps]


def _words(step: Step) -> str:
    match step:
        case CancelStep():
            return f"cancel order {printable(step.order_id)}"
        case NetStep():
            return (
                f"close {amount(step.quantity)} {printable(step.symbol)} of long and short against each other"
            )
        case ReduceStep():
            at = "at any price" if step.limit_price is None else f"at {amount(step.limit_price)} or better"
            what = f"{amount(step.quantity)} {printable(position_key(step.symbol, step.leg))}"
            return f"round {step.round}: {step.side} {what}, reduce only, {at}"
        case RepayStep():
            sold = f"{amount(step.sell_amount)} {printable(step.sell_asset)}"
            repaid = f"{amount(step.repay_amount)} {printable(step.repay_asset)}"
            return f"round {step.round}: sell {sold} to repay {repaid}"
        case TakeOverStep():
            what = f"{amount(step.quantity)} {printable(position_key(step.symbol, step.leg))} ({step.side})"
            return f"take over {what} at {amount(step.price)}"
        case TakeOverBalanceStep():
            what = f"{amount(abs(step.amount))} {printable(step.asset)}"
            return f"the fund {'takes' if step.amount > 0 else 'pays'} {what}, at {amount(step.index)}"
