"""What comes behind a verdict: a plan, an explanation, of the account and the prices as they are then, once."""

from decimal import Decimal

import msgspec
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from engine.events.contents import detail_of
from engine.events.effects import AccountRisk, EventType, Stream
from engine.events.judgement import judge
from engine.events.pools import CROSS, pool_figures
from engine.events.reasons import reasons, reasons_due
from engine.ladder import Band, LadderState, exit_line
from engine.ladder.table import Trigger
from engine.ledger.accounts import Progress
from engine.liquidation.planner import liquidation_plan
from engine.margin.dust import without_dust
from engine.numbers import exact
from tests.engine.events.test_event_content import accounts, from_event, views
from tests.support.builders import account, prices, sample, seconds
from tests.support.judging import judge_with_reasons

D = Decimal
POLICY = sample()
UNWITHHELD = sample(("exit_band = 0.02", "exit_band = 0.02\nwithhold_liquidation_when_degraded = false"))
QUOTES = {"USDT-USD": 1, "BTC-USD": 30_000, "BTC-PERP": 100, "ETH-PERP": 10}
AT = prices(QUOTES)
STALE = prices(QUOTES, stale={"BTC-PERP"})


def holding(equity, offset=-1):
    """20 BTC-PERP bought and marked at 100: MM = 5 % of 2,000 = 100, so the ratio is equity / 100."""
    state = account({"USD": equity}, {"BTC-PERP": (20, 100)})
    return msgspec.structs.replace(state, fills=Progress(offset=offset))


def stored(risk):
    """The record as another worker reads it."""
    return msgspec.json.decode(msgspec.json.encode(risk), type=AccountRisk)


def types(judgement):
    return [event.type.value for event in judgement.events]


def judged(*steps, policy=POLICY, detailed=True):
    """The record after verdicts alone: (second, equity, prices) each."""
    risk = AccountRisk("alice")
    for at, equity, quotes in steps:
        risk = judge(holding(equity), risk, quotes, seconds(at), policy, detailed=detailed).risk
    return risk


def test_reasons_when_nothing_is_due_then_nothing_is_said_and_the_record_is_the_same():
    risk = judged((0, 110, AT), detailed=False)
    behind = reasons(holding(110), risk, AT, 0, POLICY)
    assert (behind.events, behind.risk) == ((), risk)


def test_reasons_when_said_then_the_plan_first_then_the_detail_each_once_and_both_name_the_verdict():
    verdict = judge(holding(50), AccountRisk("alice"), AT, 0, POLICY)
    assert types(verdict) == ["margin.reduce_only.opened", "liquidation.entered"]
    behind = reasons(holding(50), stored(verdict.risk), AT, 0, POLICY)
    assert types(behind) == ["liquidation.requested", "margin.explained"]
    requested, explained = behind.events
    assert requested.verdict == explained.verdict == verdict.events[-1].id == "alice/liquidations/1"
    assert (requested.id, explained.id) == ("alice/liquidations/2", "alice/margin-events/2")
    assert (requested.liquidation_id, requested.replaces) == ("alice/cross/2", None)
    assert behind.risk.sequences == {Stream.LIQUIDATIONS: 2, Stream.MARGIN_EVENTS: 2}
    assert behind.risk.pools[CROSS].request.liquidation_id == "alice/cross/2"
    again = reasons(holding(50), stored(behind.risk), AT, 0, POLICY)
    assert (again.events, again.risk) == ((), behind.risk)


def test_reasons_when_input_and_price_moved_since_the_verdict_then_they_are_of_now_and_say_so():
    risk = judged((0, 50, AT))
    # sunk further: 40 - 20 * (100 - 99) = 20
    now = prices({**QUOTES, "BTC-PERP": 99}, at=3)
    state = holding(40, offset=7)
    later = judge(state, risk, now, seconds(3), POLICY)
    assert later.events == ()
    requested, explained = reasons(state, later.risk, now, seconds(3), POLICY).events
    for event in (requested, explained):
        assert (event.time_ns, event.inputs.fills, event.equity) == (seconds(3), 7, 20)
        assert event.marks["BTC-PERP"].price == 99
        assert event.verdict == "alice/liquidations/1"
        assert (event.cause_time_ns, event.previous_band, event.band) == (
            None,
            Band.LIQUIDATION,
            Band.LIQUIDATION,
        )
    with exact():
        line = exit_line(risk.pools[CROSS], POLICY.ladder)
    assert requested.plan == liquidation_plan(state, CROSS, now, POLICY, exit_line=line)
    assert explained.detail.contributors[0].mark == 99
    request = requested.ladder.request
    assert (request.fills, request.shortfall) == (7, D("1.02") * 99 - 20)


def test_reasons_when_several_verdicts_came_first_then_one_plan_and_one_detail_that_name_the_last():
    risk = judged((0, 110, AT), (1, 103, AT), (2, 50, AT), (3, -1, AT))
    behind = reasons(holding(-1), risk, AT, seconds(3), POLICY)
    assert types(behind) == ["liquidation.requested", "margin.explained"]
    assert {event.verdict for event in behind.events} == {risk.pools[CROSS].verdict_id}
    # entered is the first of that stream, bankrupt the second
    assert risk.pools[CROSS].verdict_id == "alice/liquidations/2"
    assert behind.events[0].plan.outcome == "takeover"


def test_reasons_when_the_pool_is_on_its_way_out_then_no_plan_unless_it_falls_back():
    risk = judged((0, 50, AT), (1, 110, AT), detailed=False)
    assert reasons(holding(110), risk, AT, seconds(1), POLICY).events == ()
    fallen = judge(holding(50), risk, AT, seconds(2), POLICY)
    assert fallen.events == ()
    behind = reasons(holding(50), fallen.risk, AT, seconds(2), POLICY)
    assert types(behind) == ["liquidation.requested"]


def test_reasons_when_the_pool_left_liquidation_before_then_completed_names_no_plan_and_nothing_comes_after():
    risk = judged((0, 50, AT), (1, 110, AT))
    left = judge(holding(110), risk, AT, seconds(6), POLICY)
    assert types(left) == ["margin.call.updated", "liquidation.completed"]
    completed = left.events[-1]
    assert (completed.liquidation_id, completed.plan, completed.verdict) == (None, None, None)
    # why it sank is of no interest any more either
    assert reasons(holding(110), left.risk, AT, seconds(6), POLICY).events == ()


def test_reasons_when_prices_are_doubted_then_the_plan_waits_where_the_policy_withholds_and_the_detail_does_not():
    risk = judged((0, 50, AT), (1, 50, STALE))
    behind = reasons(holding(50), risk, STALE, seconds(1), POLICY)
    assert types(behind) == ["margin.explained"]
    recovered = judge(holding(50), behind.risk, AT, seconds(2), POLICY)
    assert types(recovered) == ["engine.recovered"]
    assert types(reasons(holding(50), recovered.risk, AT, seconds(2), POLICY)) == ["liquidation.requested"]
    risk = judged((0, 50, AT), (1, 50, STALE), policy=UNWITHHELD)
    behind = reasons(holding(50), risk, STALE, seconds(1), UNWITHHELD)
    assert types(behind) == ["liquidation.requested", "margin.explained"]
    assert {event.degraded for event in behind.events} == {True}


def test_reasons_when_the_breaker_is_open_then_the_plan_waits_and_the_detail_names_it():
    risk = judged((0, 50, AT))
    behind = reasons(holding(50), risk, AT, seconds(1), POLICY, hold=3)
    assert [(event.type.value, event.breaker) for event in behind.events] == [("margin.explained", 3)]
    assert behind.risk.pools[CROSS].plan_due
    # time that passes until it is closed makes it neither stuck nor out of date
    later = judge(holding(40, offset=9), behind.risk, AT, seconds(600), POLICY)
    assert later.events == ()
    closed = reasons(holding(40, offset=9), later.risk, AT, seconds(600), POLICY)
    assert types(closed) == ["liquidation.requested"]
    assert closed.events[0].ladder.request.progress_ns == seconds(600)


def test_reasons_when_a_bankrupt_pool_is_in_liquidation_again_then_a_new_plan_replaces_the_takeover():
    first = judge_with_reasons(holding(-1), AccountRisk("alice"), AT, 0, POLICY)
    improving = judge(holding(50), first.risk, AT, seconds(1), POLICY)
    back = judge(holding(50), improving.risk, AT, seconds(6), POLICY)
    assert types(back) == ["margin.reduce_only.updated"]
    (requested,) = reasons(holding(50), back.risk, AT, seconds(6), POLICY).events
    takeover = first.events[-1]
    assert requested.replaces == takeover.liquidation_id
    # it got better: the verdict that it is about is still the last one
    assert requested.verdict == takeover.verdict == "alice/liquidations/2"
    assert (requested.plan.outcome, takeover.plan.outcome) == ("exit", "takeover")


def test_reasons_when_a_failed_liquidation_is_over_before_its_new_plan_then_completed_names_the_failed_one():
    risk = judge_with_reasons(holding(50), AccountRisk("alice"), AT, 0, POLICY).risk
    failed = judge(holding(50), risk, AT, seconds(30), POLICY)
    assert types(failed) == ["liquidation.failed"]
    assert failed.risk.pools[CROSS].request.failures == 1
    cured = judge(holding(110), failed.risk, AT, seconds(31), POLICY)
    assert reasons(holding(110), cured.risk, AT, seconds(31), POLICY).events == ()
    over = judge(holding(110), cured.risk, AT, seconds(36), POLICY)
    assert over.events[-1].type is EventType.LIQUIDATION_COMPLETED
    assert over.events[-1].liquidation_id == failed.events[0].liquidation_id == "alice/cross/2"


def test_reasons_when_several_pools_are_due_then_each_has_its_own_in_their_order_and_one_numbering():
    state = account(
        {"USD": 500}, {"BTC-PERP": (1, 100)}, {"BTC-PERP": (1, 100, 1), "ETH-PERP": (1, 10, "0.1")}
    )
    verdict = judge(state, AccountRisk("alice"), AT, 0, POLICY)
    behind = reasons(state, stored(verdict.risk), AT, 0, POLICY)
    assert [(event.position, event.type, event.verdict) for event in behind.events] == [
        ("BTC-PERP", EventType.LIQUIDATION_REQUESTED, "alice/liquidations/1"),
        ("BTC-PERP", EventType.EXPLAINED, "alice/liquidations/1"),
        ("ETH-PERP", EventType.LIQUIDATION_REQUESTED, "alice/liquidations/2"),
        ("ETH-PERP", EventType.EXPLAINED, "alice/liquidations/2"),
    ]
    assert [event.liquidation_id for event in behind.events] == [
        "alice/BTC-PERP/3", None, "alice/ETH-PERP/4", None,
    ]  # fmt: skip
    assert [event.sequence for event in behind.events] == [3, 3, 4, 4]


def test_reasons_when_an_isolated_position_was_closed_before_its_plan_then_an_empty_one_and_no_accident():
    held = account({"USD": 9}, isolated={"USD-PERP": (10, 100, 40)})
    now = prices({"USD-PERP": 100}, at=1)
    risk = judge(held, AccountRisk("alice"), now, seconds(1), POLICY, detailed=True).risk
    assert reasons_due(risk.pools["USD-PERP"], POLICY) == [Trigger.PLANNED, Trigger.EXPLAINED]
    # its last fill gave the margin back, and nobody has judged it since
    planned, explained = reasons(account({"USD": 49}), risk, now, seconds(2), POLICY).events
    assert (planned.plan.outcome, planned.plan.steps, planned.equity) == ("exit", (), 0)
    assert explained.detail.contributors == ()


@pytest.mark.parametrize("equity", [130, 110, 103, 50, -1])
@pytest.mark.parametrize("detailed", [False, True])
def test_reasons_when_a_verdict_is_not_to_be_explained_then_no_detail_is_due(equity, detailed):
    risk = judged((0, equity, AT), detailed=detailed)
    planned = [Trigger.PLANNED] if equity <= 50 else []
    assert reasons_due(risk.pools[CROSS], POLICY) == planned + [Trigger.EXPLAINED] * detailed
    assert reasons_due(risk.pools[CROSS], POLICY, hold=1) == [Trigger.EXPLAINED] * detailed
    assert reasons_due(LadderState(), POLICY) == []


@given(accounts, views, views, st.booleans())
def test_reasons_when_recomputed_from_their_own_marks_and_the_state_then_plan_and_detail_digit_for_digit(
    state, at, now, withholds
):
    policy = POLICY if withholds else UNWITHHELD
    verdict = judge(state, AccountRisk("alice"), at, 0, policy)
    later = judge(state, verdict.risk, now, seconds(1), policy)
    behind = reasons(state, stored(later.risk), now, seconds(1), policy)
    assume(behind.events)
    held = without_dust(state, policy)
    said = {event.id for event in (*verdict.events, *later.events) if event.entered is not None}
    for event in behind.events:
        assert event.verdict in said
        pool, own = event.position or CROSS, from_event(event)
        figures = pool_figures(held, pool, own, policy, event.ladder_before)
        if event.type is EventType.EXPLAINED:
            wanted = detail_of(
                held, pool, own, policy, figures, lambda it, pool=pool: pool_figures(held, pool, it, policy)
            )
            assert msgspec.json.encode(event.detail) == msgspec.json.encode(wanted)
        else:
            with exact():
                line = exit_line(event.ladder, policy.ladder)
            wanted = liquidation_plan(held, pool, own, policy, exit_line=line)
            assert msgspec.json.encode(event.plan) == msgspec.json.encode(wanted)
