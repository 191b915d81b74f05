"""Between the first warning and the cure: deadlines, updates, plans that are made anew, and that nothing flaps."""

from decimal import Decimal
from itertools import pairwise

import msgspec
import pytest

from engine.events.effects import AccountRisk, EventType
from engine.events.pools import CROSS
from engine.ladder import Band, LadderState
from engine.ladder.episode import Facts, unmoved
from engine.ladder.table import TRANSITIONS
from engine.ledger.accounts import Execution, Progress
from tests.support.builders import account, prices, sample, seconds
from tests.support.judging import judge_with_reasons as judge

D = Decimal
EPISODE = "[ladder]\nupdate_check_seconds = 10\nupdate_seconds = 100\nupdate_shortfall_change = 0.5\n"
TIMED = ("[ladder]\n", f"{EPISODE}call_deadline_seconds = 60\n")
ENDLESS = sample(("[ladder]\n", EPISODE))
"""No deadline."""
POLICY = sample(TIMED)
AT = prices({"USDT-USD": 1, "BTC-USD": 30_000, "BTC-PERP": 100})
STALE = prices({"USDT-USD": 1, "BTC-USD": 30_000, "BTC-PERP": 100}, stale={"BTC-PERP"})


def holding(equity):
    """20 BTC-PERP bought and marked at 100: MM = 5 % of 2,000 = 100, so the ratio is equity / 100."""
    return account({"USD": equity}, {"BTC-PERP": (20, 100)})


class Story:
    """One account through time; what was said, step by step."""

    def __init__(self, policy=POLICY, *, detailed=False):
        self.policy, self.risk, self.now = policy, AccountRisk("alice"), 0
        self.detailed = detailed

    def step(self, at, equity, prices=AT, **changes):
        """Types said at `at` seconds with this equity."""
        state = msgspec.structs.replace(holding(equity), **changes)
        judged = judge(state, self.risk, prices, seconds(at), self.policy, detailed=self.detailed)
        self.risk, self.events = judged.risk, judged.events
        return [event.type.value for event in judged.events]

    @property
    def pool(self):
        return self.risk.pools.get(CROSS, LadderState())


def expiring(band):
    return sample((TIMED[0], TIMED[1] + f'expired_call = "{band}"\n'))


def test_call_when_opened_then_the_deadline_is_said_and_stays():
    story = Story()
    story.step(7, 110)
    # 7 + 60
    assert story.events[0].deadline_ns == seconds(67)
    story.step(20, 103)
    assert (story.pool.band, story.pool.deadline_ns) == (Band.REDUCE_ONLY, seconds(67))


def test_call_when_not_met_then_it_expires_once_and_only_says_so():
    story = Story()
    story.step(0, 110)
    assert "margin.call.expired" not in story.step("59.999999999", 110)
    assert story.step(60, 110)[0] == "margin.call.expired"
    assert (story.pool.band, story.pool.expired) == (Band.MARGIN_CALL, True)
    assert "margin.call.expired" not in story.step(200, 110)


def test_call_when_met_then_the_deadline_is_gone_and_a_later_call_has_its_own():
    story = Story()
    story.step(0, 110)
    # 1.3 >= 1.2 + 0.02, held for 5 s
    story.step(50, 130)
    assert story.step(55, 130) == ["margin.warning.updated"]
    assert (story.pool.deadline_ns, story.pool.expired) == (None, False)
    story.step(90, 110)
    assert story.pool.deadline_ns == seconds(150)


def test_call_when_on_its_way_out_at_the_deadline_then_it_does_not_expire():
    story = Story()
    story.step(0, 110)
    story.step(58, 130)
    assert story.step(61, 130) == []
    assert story.step(63, 130) == ["margin.warning.updated"]


def test_call_when_it_falls_back_after_the_deadline_then_it_expires_at_that_instant():
    story = Story()
    story.step(0, 110)
    story.step(58, 130)
    assert story.step(61, 121) == ["margin.call.expired"]  # 1.21 < 1.22: the hold is broken


@pytest.mark.parametrize(
    ("band", "said"),
    [
        ("reduce_only", ["margin.call.expired", "margin.reduce_only.escalated"]),
        (
            "liquidation",
            [
                "margin.call.expired",
                "margin.reduce_only.escalated",
                "liquidation.entered",
                "liquidation.requested",
            ],
        ),
    ],
)
def test_call_when_it_expires_and_the_policy_acts_on_it_then_the_account_is_kept_there_until_the_call_is_met(
    band, said
):
    story = Story(expiring(band))
    story.step(0, 110)
    assert story.step(60, 110) == said
    assert story.pool.band == band
    # above every line but the call's: it stays
    story.step(70, 121)
    story.step(80, 121)
    assert story.pool.band == band
    story.step(90, 122)
    story.step(95, 122)
    assert (story.pool.band, story.pool.expired, story.pool.request) == (Band.WARNING, False, None)


def test_plan_when_an_expired_call_is_liquidated_then_it_ends_at_the_exit_line_of_the_call():
    story = Story(expiring("liquidation"))
    story.step(0, 110)
    story.step(60, 110)
    plan = story.events[-1].plan
    assert plan.exit_line == D("1.2") + D("0.02")
    assert plan.collateral_value_after >= plan.exit_line * plan.requirement_after


def test_call_when_it_expires_while_degraded_then_liquidation_is_withheld_until_prices_are_back():
    story = Story(expiring("liquidation"))
    story.step(0, 110)
    said = story.step(60, 110, STALE)
    assert said == ["engine.degraded", "margin.call.expired", "margin.reduce_only.escalated"]
    assert story.step(70, 110) == ["engine.recovered", "liquidation.entered", "liquidation.requested"]


def test_update_when_what_is_missing_moved_enough_then_it_is_said_but_not_before_the_next_check():
    story = Story()
    # missing to the exit line of the call: 1.22 * 100 - 116 = 6
    story.step(0, 116)
    assert story.step(9, 110) == []  # 12 is missing, twice as much, but it is compared every 10 s
    assert story.step(10, 110) == ["margin.call.updated"]
    assert story.pool.said_shortfall == 12
    assert story.step(20, 104) == ["margin.reduce_only.escalated"]


def test_update_when_what_is_missing_moved_little_then_nothing_is_said_until_the_time_is_up():
    story = Story()
    story.step(0, 116)
    # 1.22 * 100 - 113 = 9 = 6 * (1 + 0.5): not more than half
    assert [said for at in range(1, 100) for said in story.step(at, 113)] == ["margin.call.expired"]
    story = Story(ENDLESS)
    story.step(0, 116)
    assert [said for at in range(1, 100) for said in story.step(at, 113)] == []
    assert story.step(100, 113) == ["margin.call.updated"]


def test_events_when_a_price_straddles_a_line_ten_thousand_times_then_their_number_is_bounded_by_time():
    story = Story(ENDLESS)
    said = []
    for crossing in range(10_000):
        # 20 ms apart, to either side of the call's entry line 1.2, below its exit line 1.22
        said += story.step(D(crossing) / 50, 119 if crossing % 2 else 121)
    # 200 s of event time: entered once; compared every 10 s, so at most 20 updates
    assert said[:2] == ["margin.warning.opened", "margin.call.escalated"]
    assert set(said[2:]) <= {"margin.call.updated"}
    assert len(said) <= 2 + 20


def test_events_when_a_price_straddles_the_exit_line_too_then_leaving_takes_the_hold_time_each_time():
    story = Story(ENDLESS)
    said = [it for step in range(10_000) for it in story.step(D(step) / 50, 119 if step % 2 else 160)]
    # the figures are above the exit line for 20 ms at a time, and leaving takes 5 s
    assert said.count("margin.call.opened") == 1
    assert len(said) <= 1 + 20


def liquidating():
    story = Story(ENDLESS)
    said = story.step(0, 50)
    assert said == ["margin.reduce_only.opened", "liquidation.entered", "liquidation.requested"]
    return story


def executed(liquidation_id, fills=1):
    return {CROSS: Execution(liquidation_id, fills, {"BTC-PERP": D(fills)})}


def test_request_when_opened_then_the_episode_knows_its_plan_and_what_it_was_computed_from():
    story = liquidating()
    request, event = story.pool.request, story.events[-1]
    assert request.liquidation_id == event.liquidation_id == "alice/cross/2"
    # the second event of its stream: the first says that liquidation was entered
    assert (event.sequence, event.verdict) == (2, "alice/liquidations/1")
    assert (request.fills, request.ledger) == (event.inputs.fills, event.inputs.ledger) == (-1, -1)
    # to the exit line of liquidation: 1.02 * 100 - 50
    assert request.shortfall == 52


def test_progress_when_fills_name_the_liquidation_then_it_is_said_with_what_they_did():
    story = liquidating()
    moved = {"fills": Progress(offset=5), "executions": executed("alice/cross/2")}
    assert story.step(1, 60, **moved) == ["liquidation.progressed"]
    event = story.events[0]
    assert (event.liquidation_id, event.executed.fills) == ("alice/cross/2", 1)
    assert event.executed.closed == {"BTC-PERP": 1}
    assert story.step(D("1.5"), 60, **moved) == []


def test_request_when_inputs_moved_on_then_a_new_plan_replaces_the_old_one_at_the_next_check():
    story = liquidating()
    moved = {"fills": Progress(offset=5), "executions": executed("alice/cross/2")}
    story.step(1, 60, **moved)
    # 2 s after the last word, which was the progress
    assert story.step(D("2.9"), 60, **moved) == []
    assert story.step(3, 60, **moved) == ["liquidation.requested"]
    event = story.events[0]
    assert (event.liquidation_id, event.replaces) == ("alice/cross/4", "alice/cross/2")
    assert event.inputs.fills == story.pool.request.fills == 5
    assert event.plan.steps


def test_request_when_its_fills_never_pause_then_a_new_plan_comes_after_the_time_in_which_a_silent_one_fails():
    # an order that trickles at its limit kept a pool in liquidation for ever
    story = liquidating()
    said = [
        story.step(D(at) / 2, 50, fills=Progress(offset=at), executions=executed("alice/cross/2", at))
        for at in range(1, 61)
    ]
    assert said[:-1] == [["liquidation.progressed"]] * 59
    assert said[-1] == ["liquidation.progressed", "liquidation.requested"]
    assert story.events[-1].replaces == "alice/cross/2"
    assert story.events[-1].inputs.fills == 60


def test_request_when_prices_moved_then_a_new_plan_replaces_the_old_one():
    story = liquidating()
    assert story.step(2, 49) == []  # 53 is missing instead of 52
    assert story.step(4, 20) == ["liquidation.requested"]  # 82 is: more than half as much again
    assert story.events[0].replaces == "alice/cross/2"


def test_request_when_nobody_executes_then_it_fails_and_is_asked_for_anew():
    story = liquidating()
    assert [it for at in range(1, 30) for it in story.step(at, 50)] == []
    assert story.step(30, 50) == ["liquidation.failed", "liquidation.requested"]
    failed, again = story.events
    assert (failed.liquidation_id, failed.plan) == ("alice/cross/2", None)
    # the third and fourth event of the stream: the id is the number of the request
    assert (failed.sequence, again.liquidation_id, again.sequence) == (3, "alice/cross/4", 4)
    assert again.replaces == "alice/cross/2"


def test_request_when_it_fails_again_then_the_wait_doubles_up_to_a_bound_until_somebody_executes():
    story = liquidating()
    failed = [at for at in range(0, 12_000, 2) if "liquidation.failed" in story.step(at, 50)]
    # 30, 60, 120, ... 30 * 2^6 seconds apart, looked at every 2 * 2^failures seconds
    apart = [after - before for before, after in pairwise([0, *failed])]
    assert [round(D(gap) / 30) for gap in apart] == [1, 2, 4, 8, 16, 32, 64, 64, 64, 64, 64]
    moved = {"fills": Progress(offset=5), "executions": executed(story.pool.request.liquidation_id)}
    assert story.step(12_001, 50, **moved)[0] == "liquidation.progressed"
    assert story.pool.request.failures == 0


def test_request_when_plans_are_made_anew_but_nobody_executes_them_then_it_fails_all_the_same():
    story = liquidating()
    said = [it for at in range(1, 31) for it in story.step(at, 10 if at % 4 < 2 else 90)]
    assert said.count("liquidation.requested") > 3
    assert said.count("liquidation.failed") == 1


def test_request_when_on_its_way_out_then_no_new_plan_is_made():
    story = liquidating()
    assert story.step(3, 110, fills=Progress(offset=5)) == []
    assert story.step(7, 110, fills=Progress(offset=5)) == []
    assert story.step(8, 110, fills=Progress(offset=5)) == ["margin.call.updated", "liquidation.completed"]
    assert story.events[-1].liquidation_id == "alice/cross/2"
    assert story.pool.request is None


def test_request_when_degraded_then_the_running_plan_is_left_alone():
    story = liquidating()
    assert story.step(1, 50, STALE) == ["engine.degraded"]
    assert story.step(40, 20, STALE, fills=Progress(offset=9)) == []
    assert story.step(41, 20, fills=Progress(offset=9)) == ["engine.recovered"]
    assert "liquidation.requested" in story.step(43, 20, fills=Progress(offset=9))


def test_request_when_the_pool_goes_bankrupt_then_the_takeover_replaces_it():
    story = liquidating()
    assert story.step(1, -1) == ["account.bankrupt", "liquidation.requested"]
    bankrupt, again = story.events
    assert (bankrupt.liquidation_id, bankrupt.replaces, bankrupt.plan) == ("alice/cross/2", None, None)
    assert (again.liquidation_id, again.replaces) == ("alice/cross/4", "alice/cross/2")
    assert (again.verdict, again.plan.outcome) == (bankrupt.id, "takeover")


def test_events_when_a_whole_life_is_told_then_each_came_from_a_row_of_the_table():
    story, said = Story(), set()
    for at, equity in enumerate([160, 130, 110, 103, 50, -1, 50, 50, 103, 103, 200, 200, 200]):
        story.step(5 * at, equity)
        said |= {(event.previous_band, event.band, event.type) for event in story.events}
    rows = {(before, after, it) for (before, _, after), types in TRANSITIONS.items() for it in types}
    assert said <= rows
    assert (Band.WARNING, Band.MARGIN_CALL, EventType.CALL_ESCALATED) in said


def test_detail_when_a_call_is_said_then_it_comes_behind_once_and_distance_contributors_and_collateral_are_those_of_the_pool():
    story = Story(detailed=True)
    assert story.step(0, 110) == ["margin.call.opened", "margin.explained"]
    verdict, explained = story.events
    assert (verdict.detail, explained.verdict) == (None, verdict.id)
    detail = explained.detail
    assert story.step(1, 110) == []
    # C - MM at price 100 * f:  110 + 2000 (f - 1) - 0.05 * 2000 f = 0  =>  f = 1890 / 1900 = 0.99474
    assert detail.distance_to_liquidation == D("-0.0053")
    (contributor,) = detail.contributors
    assert (contributor.key, contributor.quantity, contributor.maintenance_margin) == ("BTC-PERP", 20, 100)
    assert contributor.liquidation_price == D("99.474")
    assert [(line.asset, line.amount, line.value) for line in detail.collateral] == [
        ("USD", 110, 110),
        ("USDT", 0, 0),
    ]


def test_links_when_the_policy_has_them_then_the_event_fills_them_in():
    policy = sample(("[ladder]\n", '[links]\ndesk = "https://desk/{account}?e={event_id}"\n\n[ladder]\n'))
    story = Story(policy)
    story.step(0, 110)
    assert story.events[0].links == {"desk": "https://desk/alice?e=alice%2Fmargin-events%2F1"}


WARNED = LadderState(band=Band.WARNING, said_ns=0, said_shortfall=D(10), checked_ns=0)
"""At the next comparison, after 10 s, 5 to 15 missing are kept silent."""


@pytest.mark.parametrize(
    ("least", "most", "silent"), [("5", "15", True), ("4.9", "6", False), ("14", "15.1", False)]
)
def test_unmoved_when_anything_between_the_ends_is_worth_a_word_then_none(least, most, silent):
    facts = Facts(seconds(10), D(least), -1, -1, None)
    after = unmoved(WARNED, facts, D(most), POLICY)
    assert after == (msgspec.structs.replace(WARNED, checked_ns=seconds(10)) if silent else None)


def test_unmoved_when_the_comparison_is_not_due_then_the_pool_stays_whatever_is_missing():
    facts = Facts(seconds("9.999999999"), D(0), -1, -1, None)
    assert unmoved(WARNED, facts, D(1_000), POLICY) == WARNED


@pytest.mark.parametrize(
    "running",
    [
        {"deadline_ns": seconds(10)},
        {"degraded": True, "degraded_until_ns": seconds(10)},
        {"exit_since_ns": seconds(10) - int(POLICY.ladder.exit_hold_seconds * seconds(1))},
        {"held_by": 1},
    ],
)
def test_unmoved_when_time_or_the_breaker_moves_the_pool_then_none(running):
    facts = Facts(seconds(10), D(10), -1, -1, None, hold=2)
    assert unmoved(msgspec.structs.replace(WARNED, **running), facts, D(10), POLICY) is None
