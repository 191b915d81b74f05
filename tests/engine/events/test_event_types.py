"""The names of events for every change of band, and how they are numbered and grouped into episodes."""

from decimal import Decimal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.events.effects import AccountRisk, EventType, Stream
from engine.events.judgement import judge as judge_alone
from engine.events.pools import CROSS
from engine.ladder import SEVERITY, Band, LadderState
from engine.ladder.table import LIQUIDATING
from engine.ledger.accounts import Progress, Stop
from engine.rejections import RejectionCode
from tests.support.builders import account, prices, sample, seconds
from tests.support.judging import judge_with_reasons as judge

D = Decimal
POLICY = sample()

# equity of an account that holds 20 BTC-PERP bought and marked at 100: MM = 5 % of 2,000 = 100
EQUITY = {
    Band.HEALTHY: 160,
    Band.WARNING: 130,
    Band.MARGIN_CALL: 110,
    Band.REDUCE_ONLY: 103,
    Band.LIQUIDATION: 50,
    Band.BANKRUPT: -1,
}
AT = prices({"USDT-USD": 1, "BTC-USD": 30_000, "BTC-PERP": 100})
STALE = prices({"USDT-USD": 1, "BTC-USD": 30_000, "BTC-PERP": 100}, stale={"BTC-PERP"})


def pool(band):
    """A cross account whose figures say `band` on either side of the line (also above its exit line)."""
    return account({"USD": EQUITY[band]}, {"BTC-PERP": (20, 100)})


def stands_at(band):
    """A record that says `band`, with one hold of good behaviour behind it, so that it may be left; spoken of just now."""
    episode = None if band is Band.HEALTHY else "alice/cross/1"
    state = LadderState(band, episode, exit_since_ns=0, checked_ns=seconds(100))
    return AccountRisk("alice", {CROSS: state}, {Stream.MARGIN_EVENTS: 7, Stream.LIQUIDATIONS: 3})


W, C, R = "margin.warning", "margin.call", "margin.reduce_only"
ENTERED, REQUESTED = "liquidation.entered", "liquidation.requested"
COMPLETED, BANKRUPT = "liquidation.completed", "account.bankrupt"
# rows: before; columns: after, from healthy to bankrupt
TABLE = {
    Band.HEALTHY: [
        [],
        [f"{W}.opened"],
        [f"{C}.opened"],
        [f"{R}.opened"],
        [f"{R}.opened", ENTERED],
        [f"{R}.opened", ENTERED, BANKRUPT],
    ],
    Band.WARNING: [
        [f"{W}.resolved"],
        [],
        [f"{C}.escalated"],
        [f"{R}.escalated"],
        [f"{R}.escalated", ENTERED],
        [f"{R}.escalated", ENTERED, BANKRUPT],
    ],
    Band.MARGIN_CALL: [
        [f"{C}.resolved"],
        [f"{W}.updated"],
        [],
        [f"{R}.escalated"],
        [f"{R}.escalated", ENTERED],
        [f"{R}.escalated", ENTERED, BANKRUPT],
    ],
    Band.REDUCE_ONLY: [
        [f"{R}.resolved"],
        [f"{W}.updated"],
        [f"{C}.updated"],
        [],
        [ENTERED],
        [ENTERED, BANKRUPT],
    ],
    Band.LIQUIDATION: [
        [f"{R}.resolved", COMPLETED],
        [f"{W}.updated", COMPLETED],
        [f"{C}.updated", COMPLETED],
        [COMPLETED],
        [],
        [BANKRUPT],
    ],
    Band.BANKRUPT: [
        [f"{R}.resolved", COMPLETED],
        [f"{W}.updated", COMPLETED],
        [f"{C}.updated", COMPLETED],
        [COMPLETED],
        [f"{R}.updated"],
        [],
    ],
}


def behind(before, after):
    """What comes behind the verdict: a pool that comes into liquidation, or moves within it, needs a plan."""
    return [REQUESTED] if after in LIQUIDATING and after is not before else []


PAIRS = [
    (before, after, types) for before, row in TABLE.items() for after, types in zip(Band, row, strict=True)
]


@pytest.mark.parametrize(("before", "after", "types"), PAIRS)
def test_events_when_a_pool_moves_between_two_bands_then_exactly_these_are_said(before, after, types):
    verdict = judge_alone(pool(after), stands_at(before), AT, seconds(100), POLICY, detailed=False)
    assert [event.type.value for event in verdict.events] == types
    assert {(event.previous_band, event.band) for event in verdict.events} <= {(before, after)}
    assert {event.plan for event in verdict.events} | {event.detail for event in verdict.events} <= {None}
    events = judge(pool(after), stands_at(before), AT, seconds(100), POLICY).events
    assert events[: len(types)] == verdict.events
    assert [event.type.value for event in events[len(types) :]] == behind(before, after)
    for event in events[len(types) :]:
        assert (event.previous_band, event.band) == (after, after)
        assert event.plan is not None


@pytest.mark.parametrize(("before", "after", "types"), PAIRS)
def test_events_when_a_worse_band_is_entered_then_each_says_which_and_what_comes_behind_names_the_last(
    before, after, types
):
    judgement = judge(pool(after), stands_at(before), AT, seconds(100), POLICY, detailed=True)
    said, rest = judgement.events[: len(types)], judgement.events[len(types) :]
    worse = SEVERITY[after] > SEVERITY[before]
    # once in each stream: who falls through liquidation is told so by the bankruptcy
    through = [after is Band.BANKRUPT and it == EventType.LIQUIDATION_ENTERED for it in types]
    assert [event.entered for event in said] == [after if worse and not it else None for it in through]
    assert [event.entered for event in rest] == [None] * len(rest)
    assert [event.verdict for event in said] == [None] * len(types)
    explained = [EventType.EXPLAINED.value] if worse else []
    assert [event.type.value for event in rest] == behind(before, after) + explained
    # these records know no older verdict
    assert {event.verdict for event in rest} <= {said[-1].id if worse else None}
    assert [event.detail is not None for event in rest] == [it.type is EventType.EXPLAINED for it in rest]


@pytest.mark.parametrize(("before", "after", "types"), PAIRS)
def test_events_when_said_then_numbered_without_gaps_in_each_stream(before, after, types):
    judgement = judge(pool(after), stands_at(before), AT, seconds(100), POLICY)
    margin = [event.sequence for event in judgement.events if event.stream is Stream.MARGIN_EVENTS]
    liquidations = [event.sequence for event in judgement.events if event.stream is Stream.LIQUIDATIONS]
    assert margin == [7 + 1 + i for i in range(len(margin))]
    assert liquidations == [3 + 1 + i for i in range(len(liquidations))]
    assert len(margin) + len(liquidations) == len(types) + len(behind(before, after))
    assert judgement.risk.sequences == {
        Stream.MARGIN_EVENTS: 7 + len(margin),
        Stream.LIQUIDATIONS: 3 + len(liquidations),
    }
    assert {event.id for event in judgement.events} == {
        f"alice/{event.stream}/{event.sequence}" for event in judgement.events
    }


@pytest.mark.parametrize("band", Band)
def test_events_when_degraded_comes_and_goes_then_both_are_said_whatever_the_band(band):
    before = AccountRisk("alice", {CROSS: LadderState(band, "e")} if band is not Band.HEALTHY else {})
    degraded = judge(pool(band), before, STALE, 0, POLICY)
    recovered = judge(pool(band), degraded.risk, AT, 1, POLICY)
    assert degraded.events[0].type is EventType.DEGRADED
    assert degraded.events[0].degraded
    assert recovered.events[0].type is EventType.RECOVERED
    assert not recovered.events[0].degraded


@pytest.mark.parametrize("says", [Band.LIQUIDATION, Band.BANKRUPT])
def test_events_when_liquidation_was_withheld_then_it_is_requested_on_recovery(says):
    withheld = judge(pool(says), AccountRisk("alice"), STALE, 0, POLICY)
    assert [event.type for event in withheld.events] == [EventType.DEGRADED, EventType.REDUCE_ONLY_OPENED]
    recovered = judge(pool(says), withheld.risk, AT, 1, POLICY)
    bankrupt = [EventType.ACCOUNT_BANKRUPT] if says is Band.BANKRUPT else []
    assert [event.type for event in recovered.events] == [
        EventType.RECOVERED,
        EventType.LIQUIDATION_ENTERED,
        *bankrupt,
        EventType.LIQUIDATION_REQUESTED,
    ]


def test_events_when_degraded_improves_out_of_bankruptcy_then_no_liquidation_is_entered_that_way():
    stands = stands_at(Band.BANKRUPT)
    judgement = judge(pool(Band.LIQUIDATION), stands, STALE, seconds(100), POLICY)
    assert [event.type for event in judgement.events] == [EventType.DEGRADED]
    assert judgement.risk.pools[CROSS].band is Band.BANKRUPT


def test_events_when_nothing_changes_then_nothing_is_said_and_the_record_is_the_same():
    first = judge(pool(Band.MARGIN_CALL), AccountRisk("alice"), AT, 0, POLICY)
    again = judge(pool(Band.MARGIN_CALL), first.risk, AT, 1, POLICY)
    assert again.events == ()
    assert again.risk == first.risk


@pytest.mark.parametrize("topic", ["fills", "ledger"])
def test_account_when_an_input_was_refused_then_it_is_degraded_and_its_liquidation_withheld(topic):
    hole = Progress(offset=4, stop=Stop(RejectionCode.MALFORMED, 5))
    stopped = msgspec.structs.replace(pool(Band.LIQUIDATION), **{topic: hole})
    judgement = judge(stopped, AccountRisk("alice"), AT, 0, POLICY)
    assert [event.type for event in judgement.events] == [EventType.DEGRADED, EventType.REDUCE_ONLY_OPENED]
    assert all(event.degraded for event in judgement.events)


steps = st.lists(st.tuples(st.sampled_from(Band), st.booleans(), st.integers(0, 8)), max_size=30)


@given(steps)
def test_episode_when_walked_through_any_bands_then_one_id_from_opened_to_resolved_and_no_gap(path):
    risk, now, said, open_id = AccountRisk("alice"), 0, [], None
    for band, stale, waited in path:
        now += waited
        judgement = judge(pool(band), risk, STALE if stale else AT, seconds(now), POLICY)
        risk = judgement.risk
        said += judgement.events
    for event in said:
        if event.type.endswith(".opened"):
            assert open_id is None
            open_id = event.episode_id
        elif event.type.endswith(".resolved"):
            assert open_id is not None
            assert event.episode_id == open_id
            open_id = None
        elif event.type not in {EventType.DEGRADED, EventType.RECOVERED, EventType.LIQUIDATION_COMPLETED}:
            assert event.episode_id == open_id
    for stream in Stream:
        numbers = [event.sequence for event in said if event.stream is stream]
        assert numbers == list(range(1, len(numbers) + 1))
    assert (open_id is None) == (risk.pools.get(CROSS, LadderState()).band is Band.HEALTHY)
    assert open_id == risk.pools.get(CROSS, LadderState()).episode_id


@given(steps)
def test_liquidations_when_walked_through_any_bands_then_completed_never_without_entered_nor_before_its_plan(
    path,
):
    risk, now, entered, requested = AccountRisk("alice"), 0, False, False
    for band, stale, waited in path:
        now += waited
        judgement = judge(pool(band), risk, STALE if stale else AT, seconds(now), POLICY)
        risk = judgement.risk
        for event in judgement.events:
            if event.type is EventType.LIQUIDATION_ENTERED:
                assert not entered
                assert not requested
                assert not event.degraded
                entered = True
            elif event.type is EventType.ACCOUNT_BANKRUPT:
                assert entered
                assert not event.degraded
            elif event.type is EventType.LIQUIDATION_REQUESTED:
                assert entered
                assert not event.degraded
                requested = True
            elif event.type is EventType.LIQUIDATION_COMPLETED:
                # here plans come at once, so nothing ends without one
                assert (entered, requested) == (True, True)
                entered = requested = False
        # neither does anything stay without one
        assert requested is entered
