"""What an account is told: controls, calls with the figures they began with, and what follows."""

from decimal import Decimal

import pytest
from msgspec.structs import replace

from engine.ladder import Band, LadderState, advance
from engine.ladder.controls import account_controls, call_of, controls_of, told
from engine.ladder.outlook import Awaited, Outlook, Step, outlook
from engine.ladder.states import Called, CallKind, Controls, Request
from engine.margin.figures import Figures
from engine.marks.mark_book import NANOSECONDS
from engine.policy import Ladder
from engine.policy.rules.policy_switches import ExpiredCall

D = Decimal
LADDER = Ladder()
TIMED = Ladder(call_deadline_seconds=D(100), urgent_call_deadline_seconds=D(30))


def figures(ratio: str) -> Figures:
    """Of a pool that requires 1,000."""
    collateral = D(1_000) * D(ratio)
    return Figures(collateral + 50, collateral, D(2_000), D(1_000), degraded=False)


def after(before: LadderState, ratio: str, seconds: int, ladder: Ladder = TIMED) -> LadderState:
    now_ns = seconds * NANOSECONDS
    moved = advance(before, figures(ratio), now_ns, ladder)
    return told(before, moved, figures(ratio), now_ns, ladder, stopped=False)


@pytest.mark.parametrize(
    ("band", "controls", "call"),
    [
        (Band.HEALTHY, Controls.TRADE_AND_WITHDRAW, CallKind.NONE),
        (Band.WARNING, Controls.TRADE_AND_WITHDRAW, CallKind.NONE),
        (Band.MARGIN_CALL, Controls.TRADE_ONLY, CallKind.STANDARD),
        (Band.REDUCE_ONLY, Controls.REDUCE_ONLY, CallKind.URGENT),
        (Band.LIQUIDATION, Controls.LOCKED, CallKind.URGENT),
        (Band.BANKRUPT, Controls.LOCKED, CallKind.URGENT),
    ],
)
def test_told_when_in_a_band_then_controls_and_call_follow_from_it(band, controls, call):
    state = LadderState(band)
    assert (controls_of(state, stopped=False), call_of(state)) == (controls, call)
    assert controls_of(state, stopped=True) is Controls.LOCKED


def test_controls_when_the_verdict_hangs_on_a_doubted_price_then_nothing_is_withdrawn():
    assert controls_of(LadderState(degraded=True), stopped=False) is Controls.TRADE_ONLY
    assert controls_of(LadderState(Band.REDUCE_ONLY, degraded=True), stopped=False) is Controls.REDUCE_ONLY


def test_account_controls_when_pools_differ_then_the_strictest_of_those_concerned_holds():
    pools = {
        "": LadderState(Band.MARGIN_CALL, controls=Controls.TRADE_ONLY),
        "BTC-PERP": LadderState(Band.LIQUIDATION, controls=Controls.LOCKED),
    }
    assert account_controls(pools, ["", "BTC-PERP"]) is Controls.LOCKED
    assert account_controls(pools, ["", "ETH-PERP"]) is Controls.TRADE_ONLY
    assert account_controls({}, [""]) is Controls.TRADE_AND_WITHDRAW


def test_call_when_it_begins_then_its_figures_stay_until_it_is_met():
    called = after(LadderState(), "1.1", 10)
    # 1.2 + 0.02 times 1,000 less 1,100
    assert called.called == Called(10 * NANOSECONDS, D(120), D("1.1"), D(1_150), D(1_100), D(1_000))
    assert (called.call, called.deadline_ns) == (CallKind.STANDARD, 110 * NANOSECONDS)
    urgent = after(called, "1.02", 20)
    assert (urgent.call, urgent.called) == (CallKind.URGENT, called.called)
    # sooner than the deadline that it had
    assert urgent.deadline_ns == 50 * NANOSECONDS
    aged = after(urgent, "1.02", 50)
    assert (aged.call, aged.called) == (CallKind.AGED, called.called)
    well = after(after(aged, "2", 60), "2", 65)
    assert (well.call, well.called, well.controls) == (CallKind.NONE, None, Controls.TRADE_AND_WITHDRAW)


def test_call_when_its_deadline_is_near_then_an_urgent_one_does_not_put_it_off():
    called = after(LadderState(), "1.1", 10)
    assert after(called, "1.02", 100).deadline_ns == 110 * NANOSECONDS
    # who falls into reduce-only at once has the shorter time
    assert after(LadderState(), "1.02", 10).deadline_ns == 40 * NANOSECONDS


@pytest.mark.parametrize(
    ("state", "follows"),
    [
        (LadderState(), (Outlook(Step.WARNING, below_ratio=D("1.5")),)),
        (LadderState(Band.WARNING), (Outlook(Step.MARGIN_CALL, below_ratio=D("1.2")),)),
        (
            LadderState(Band.MARGIN_CALL, deadline_ns=7),
            (Outlook(Step.REDUCE_ONLY, below_ratio=D("1.05")), Outlook(Step.AGED_CALL, at_ns=7)),
        ),
        (
            LadderState(Band.MARGIN_CALL, deadline_ns=7, expired=True),
            (Outlook(Step.REDUCE_ONLY, below_ratio=D("1.05")),),
        ),
        (LadderState(Band.REDUCE_ONLY), (Outlook(Step.LIQUIDATION, below_ratio=D(1)),)),
        (LadderState(Band.REDUCE_ONLY, crossed_since_ns=5), (Outlook(Step.LIQUIDATION, at_ns=2_000_005),)),
        (LadderState(Band.REDUCE_ONLY, held_by=1), (Outlook(Step.LIQUIDATION, awaits=Awaited.BREAKER),)),
        (LadderState(Band.REDUCE_ONLY, degraded=True), (Outlook(Step.LIQUIDATION, awaits=Awaited.PRICE),)),
        (LadderState(Band.LIQUIDATION, plan_due=True), (Outlook(Step.LIQUIDATION, awaits=Awaited.PLAN),)),
        (
            LadderState(Band.BANKRUPT, request=Request("a/cross/1", 0, 0, D(1), 0)),
            (Outlook(Step.TAKEOVER, awaits=Awaited.EXCHANGE),),
        ),
        (
            LadderState(Band.WARNING, exit_since_ns=1),
            (Outlook(Step.MARGIN_CALL, below_ratio=D("1.2")), Outlook(Step.BETTER_BAND, at_ns=5_000_000_001)),
        ),
    ],
)
def test_outlook_when_a_pool_stands_so_then_it_names_what_follows_and_when(state, follows):
    assert outlook(state, replace(LADDER, liquidation_confirm_ms=D(2))) == follows


@pytest.mark.parametrize(
    ("expired_call", "band", "step"),
    [
        (ExpiredCall.NOTIFY, Band.MARGIN_CALL, Step.AGED_CALL),
        (ExpiredCall.REDUCE_ONLY, Band.MARGIN_CALL, Step.REDUCE_ONLY),
        (ExpiredCall.REDUCE_ONLY, Band.REDUCE_ONLY, Step.AGED_CALL),
        (ExpiredCall.LIQUIDATION, Band.REDUCE_ONLY, Step.LIQUIDATION),
    ],
)
def test_outlook_when_a_call_may_expire_then_what_the_policy_does_with_it(expired_call, band, step):
    state = LadderState(band, deadline_ns=7)
    assert outlook(state, replace(LADDER, expired_call=expired_call))[-1] == Outlook(step, at_ns=7)
