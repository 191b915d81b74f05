"""What an event says is true: it recomputes from the marks and the state that it names."""

from decimal import Decimal

import msgspec
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from engine.events.effects import AccountRisk, EventType, Stream
from engine.events.pools import CROSS, pool_figures
from engine.inputs import Mark
from engine.ladder import Band, LadderState
from engine.ledger.accounts import decode, encode
from engine.marks.doubts import Doubt
from engine.marks.mark_book import Prices
from engine.numbers import canonical, exact
from tests.support.builders import account, prices, sample, seconds
from tests.support.judging import judge_with_reasons as judge

D = Decimal
POLICY = sample()
QUOTES = {"USDT-USD": 1, "BTC-USD": 30_000, "BTC-PERP": 100, "ETH-PERP": 10}


def from_event(event):
    """The prices an event names, and nothing else."""
    return Prices(
        {
            symbol: Mark(symbol, used.price, used.sequence, used.time_ns)
            for symbol, used in event.marks.items()
        },
        frozenset(symbol for symbol, used in event.marks.items() if used.stale),
    )


SYMBOLS = [*QUOTES, "ADA-PERP", "USD-PERP"]
balances = st.decimals(min_value=-500, max_value=500, places=4)
quantities = st.decimals(min_value=-50, max_value=50, places=3).filter(bool)
quotes = st.decimals(min_value="0.01", max_value=1_000, places=3)
perpetuals = st.sampled_from(["BTC-PERP", "ETH-PERP", "ADA-PERP", "USD-PERP"])
accounts = st.builds(
    account,
    st.dictionaries(st.sampled_from(["USD", "USDT", "BTC"]), balances),
    st.dictionaries(perpetuals, st.tuples(quantities, quotes)),
    st.dictionaries(perpetuals, st.tuples(quantities, quotes, balances)),
)
views = st.builds(
    prices, st.dictionaries(st.sampled_from(SYMBOLS), quotes), st.sets(st.sampled_from(SYMBOLS))
)


@given(accounts, views)
def test_event_when_recomputed_from_its_own_marks_and_the_state_then_digit_for_digit(state, at):
    events = judge(state, AccountRisk("alice"), at, 0, POLICY).events
    assume(events)
    state = decode(encode(state))
    for event in events:
        figures = pool_figures(state, event.position or CROSS, from_event(event), POLICY)
        shown = (event.equity, event.collateral_value, event.initial_margin, event.maintenance_margin)
        exactly = (
            figures.equity,
            figures.collateral_value,
            figures.initial_margin,
            figures.maintenance_margin,
        )
        assert tuple(map(str, shown)) == tuple(str(canonical(amount)) for amount in exactly)
        assert event.ratio == figures.ratio
        assert event.degraded == figures.degraded
        with exact():
            call, line = POLICY.ladder.margin_call, POLICY.ladder.liquidation
            assert event.shortfall_to_call == max(
                D(0), call * figures.maintenance_margin - figures.collateral_value
            )
            assert event.shortfall_to_liquidation == max(
                D(0), line * figures.maintenance_margin - figures.collateral_value
            )


@given(accounts, views)
def test_events_when_judged_again_from_the_stored_bytes_then_the_same_events(state, at):
    once = judge(state, AccountRisk("alice"), at, 5, POLICY)
    again = judge(decode(encode(state)), AccountRisk("alice"), at, 5, POLICY)
    assert msgspec.json.encode(again.events) == msgspec.json.encode(once.events)


@given(accounts, views)
def test_risk_when_it_went_through_bytes_then_the_same_record(state, at):
    risk = judge(state, AccountRisk("alice"), at, 5, POLICY).risk
    assert msgspec.json.decode(msgspec.json.encode(risk), type=AccountRisk) == risk


def only(judgement, kind):
    (event,) = [event for event in judgement.events if event.type is kind]
    return event


def test_event_when_said_then_it_names_prefix_policy_time_and_cause():
    state = msgspec.structs.replace(account({"USD": 11}, {"BTC-PERP": (2, 100)}))
    state = msgspec.structs.replace(state, fills=msgspec.structs.replace(state.fills, offset=17))
    event = only(
        judge(state, AccountRisk("alice"), prices(QUOTES), seconds(3), POLICY, cause_ns=9),
        EventType.CALL_OPENED,
    )
    assert (event.inputs.fills, event.inputs.ledger) == (17, -1)
    assert event.policy_digest == POLICY.digest
    assert (event.time_ns, event.cause_time_ns) == (seconds(3), 9)
    assert set(event.marks) == {"BTC-PERP", "USDT-USD"}  # and no other price
    # MM = 5 % of 2 * 100 = 10, C = 11
    assert event.ratio == D(11) / 10
    assert event.shortfall_to_call == D("1.2") * 10 - 11
    assert event.shortfall_to_liquidation == D(0)
    assert (event.plan, event.liquidation_id) == (None, None)


def closings(event):
    """(symbol, quantity, mark) of what the plan closes."""
    return [(step.symbol, step.quantity, step.mark) for step in event.plan.steps]


def test_liquidation_when_requested_then_its_plan_closes_positions_of_that_pool_alone():
    state = account({"USD": 1}, {"ETH-PERP": (-5, 10), "BTC-PERP": (2, 100)}, {"ADA-PERP": (1, 1, 100)})
    at = prices({**QUOTES, "ADA-PERP": "0.1"})
    event = only(judge(state, AccountRisk("alice"), at, 0, POLICY), EventType.LIQUIDATION_REQUESTED)
    # C = 1 against MM = 0.05 * 250: both go, and what they free per cost being the same, in the order of their names
    assert event.plan.outcome == "exit"
    assert closings(event)[0] == ("BTC-PERP", D(2), D(100))
    assert {symbol for symbol, *_ in closings(event)} == {"BTC-PERP", "ETH-PERP"}


def test_liquidation_when_a_position_never_had_a_mark_then_it_is_planned_at_what_it_was_judged_by():
    policy = sample(("exit_band = 0.02", "exit_band = 0.02\nwithhold_liquidation_when_degraded = false"))
    state = account({"USD": "0.6"}, {"BTC-PERP": (2, 150), "ETH-PERP": (1, 10)})
    at = prices({"USDT-USD": 1, "ETH-PERP": 10}, stale={"BTC-PERP"})
    event = only(judge(state, AccountRisk("alice"), at, 0, policy), EventType.LIQUIDATION_REQUESTED)
    assert ("BTC-PERP", D(2), D(2 * 150) / 2) in closings(event)


def test_liquidation_when_it_ends_in_bankruptcy_at_once_then_the_plan_comes_behind_and_names_the_last_word_of_the_verdict():
    stands = AccountRisk("alice", sequences={Stream.LIQUIDATIONS: 4})
    judgement = judge(account({"USD": -1}, {"BTC-PERP": (2, 100)}), stands, prices(QUOTES), 0, POLICY)
    opened, entered, bankrupt, requested = judgement.events
    assert [it.type for it in judgement.events] == [
        EventType.REDUCE_ONLY_OPENED,
        EventType.LIQUIDATION_ENTERED,
        EventType.ACCOUNT_BANKRUPT,
        EventType.LIQUIDATION_REQUESTED,
    ]
    # of each stream one event names the band that was entered
    assert [it.entered for it in (opened, entered, bankrupt)] == [Band.BANKRUPT, None, Band.BANKRUPT]
    assert [(it.plan, it.liquidation_id, it.verdict) for it in (opened, entered, bankrupt)] == [
        (None, None, None)
    ] * 3
    assert (requested.liquidation_id, requested.verdict) == ("alice/cross/7", "alice/liquidations/6")
    assert (requested.entered, requested.band, requested.previous_band) == (
        None,
        Band.BANKRUPT,
        Band.BANKRUPT,
    )
    assert requested.plan.outcome == "takeover"
    assert not judgement.risk.pools[CROSS].plan_due


def test_liquidation_when_a_pool_in_liquidation_goes_bankrupt_then_a_new_plan_under_a_new_id():
    stands = AccountRisk(
        "alice", {CROSS: LadderState(Band.LIQUIDATION, "alice/cross/1")}, {Stream.LIQUIDATIONS: 1}
    )
    judgement = judge(account({"USD": -1}, {"BTC-PERP": (2, 100)}), stands, prices(QUOTES), 0, POLICY)
    assert only(judgement, EventType.ACCOUNT_BANKRUPT).sequence == 2
    assert only(judgement, EventType.LIQUIDATION_REQUESTED).liquidation_id == "alice/cross/3"


def test_liquidation_when_completed_then_nothing_is_left_to_plan():
    stands = AccountRisk("alice", {CROSS: LadderState(Band.LIQUIDATION, "e", exit_since_ns=0)})
    state = account({"USD": 1_000}, {"BTC-PERP": (2, 100)})
    event = only(judge(state, stands, prices(QUOTES), seconds(5), POLICY), EventType.LIQUIDATION_COMPLETED)
    assert event.plan is None


def test_isolated_when_it_is_liquidated_then_the_cross_pool_says_nothing_and_the_other_way_round():
    poor, rich = (1, 100, 1), (1, 100, 50)
    at = prices(QUOTES)
    bad = judge(
        account({"USD": 500}, {"BTC-PERP": (1, 100)}, {"BTC-PERP": poor}), AccountRisk("alice"), at, 0, POLICY
    )
    assert {event.position for event in bad.events} == {"BTC-PERP"}
    good = judge(
        account({"USD": 1}, {"BTC-PERP": (1, 100)}, {"BTC-PERP": rich}), AccountRisk("alice"), at, 0, POLICY
    )
    assert {event.position for event in good.events} == {None}


def test_isolated_when_two_pools_are_in_trouble_then_each_has_its_own_episode_and_one_numbering():
    state = account(
        {"USD": 6}, {"BTC-PERP": (1, 100)}, {"BTC-PERP": (1, 100, "5.5"), "ETH-PERP": (1, 10, "0.6")}
    )
    judgement = judge(state, AccountRisk("alice"), prices(QUOTES), 0, POLICY)
    # ratios: cross 6 / 5, that is exactly the call line: a warning; isolated 5.5 / 5: a call; 0.6 / 0.5: a warning
    assert [(event.position, event.type, event.sequence, event.episode_id) for event in judgement.events] == [
        (None, EventType.WARNING_OPENED, 1, "alice/cross/1"),
        ("BTC-PERP", EventType.CALL_OPENED, 2, "alice/BTC-PERP/2"),
        ("ETH-PERP", EventType.WARNING_OPENED, 3, "alice/ETH-PERP/3"),
    ]


def test_isolated_when_the_position_was_closed_then_its_episode_resolves_after_the_hold_and_is_forgotten():
    stands = AccountRisk("alice", {"BTC-PERP": LadderState(Band.LIQUIDATION, "alice/BTC-PERP/1")})
    closed = account({"USD": 1})
    held = judge(closed, stands, prices(QUOTES), seconds(1), POLICY)
    assert held.events == ()
    after = judge(closed, held.risk, prices(QUOTES), seconds(6), POLICY)
    assert [event.type for event in after.events] == [
        EventType.REDUCE_ONLY_RESOLVED,
        EventType.LIQUIDATION_COMPLETED,
    ]
    assert {event.episode_id for event in after.events} == {"alice/BTC-PERP/1"}
    assert after.risk.pools == {}


@pytest.mark.parametrize("band", [band for band in Band if band is not Band.HEALTHY])
def test_record_when_a_pool_is_well_again_then_it_keeps_the_numbering_and_nothing_else(band):
    stands = AccountRisk("alice", {CROSS: LadderState(band, "e", exit_since_ns=0)})
    after = judge(account({"USD": 1}), stands, prices(QUOTES), seconds(5), POLICY)
    assert after.risk.pools == {}
    assert sum(after.risk.sequences.values()) == len(after.events)


def test_judge_when_a_pool_leaves_its_band_under_doubt_then_judging_again_says_nothing_else():
    # 65 of 50 is 1.3; with USDT at the ends of its range 1.075 and 1.525: reduce-only is left at all of them, and warning at one
    policy = POLICY
    state = account({"USD": 45, "USDT": 20}, {"USD-PERP": (10, 100)}, name="alice")
    before = LadderState(Band.REDUCE_ONLY, "alice/cross/1", exit_since_ns=0, checked_ns=0, said_ns=0)
    at = msgspec.structs.replace(
        prices({"USD-PERP": 100, "USDT-USD": 1, "BTC-USD": 100}, at=31), aged={"USDT-USD": Doubt(D("0.5625"))}
    )
    first = judge(state, AccountRisk("alice", {"": before}), at, seconds(31), policy)
    assert first.risk.pools[""].band is Band.WARNING
    again = judge(state, first.risk, at, seconds(31), policy)
    assert (again.risk, again.events) == (first.risk, ())
    assert first.risk.pools[""].degraded
