"""Whose plans and details are said next: the worst first, nobody forgotten, nobody for nothing."""

from collections import Counter
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.book.reasons_queue import ReasonsQueue
from engine.events.effects import AccountRisk
from engine.events.pools import CROSS
from engine.events.reasons import reasons_due
from engine.ladder import SEVERITY, Band, LadderState
from engine.ladder.table import LIQUIDATING, Trigger
from tests.support.builders import sample

D = Decimal
POLICY = sample()
EVERYBODY = 100


def due(band, shortfall=10, *, plan=False, detail=False, **fields):
    """A pool of which a plan or a detail is due."""
    return LadderState(
        band, "e", said_shortfall=D(shortfall), verdict_id="v", plan_due=plan, detail_due=detail, **fields
    )


PLAN = due(Band.LIQUIDATION, plan=True)
DETAIL = due(Band.MARGIN_CALL, detail=True)


def put(queue, name, *pools):
    named = zip((CROSS, "BTC-PERP", "ETH-PERP"), pools, strict=False)
    queue.put(name, AccountRisk(name, dict(named)))


def queue_of(**pools):
    queue = ReasonsQueue(POLICY)
    for name, pool in pools.items():
        put(queue, name, pool)
    return queue


def taken(queue, accounts_max=EVERYBODY, *, held=False):
    return list(queue.take(accounts_max, held=held))


def test_queue_when_plans_and_details_are_due_then_plans_first_the_worse_band_and_the_larger_shortfall():
    queue = queue_of(
        small_call=due(Band.MARGIN_CALL, 1, detail=True),
        call=due(Band.MARGIN_CALL, 2, detail=True),
        explained_only=due(Band.BANKRUPT, 1, detail=True),
        small=due(Band.LIQUIDATION, 5, plan=True),
        large=due(Band.LIQUIDATION, 50, plan=True),
        bankrupt=due(Band.BANKRUPT, 1, plan=True),
        b_like_large=due(Band.LIQUIDATION, 50, plan=True),
    )
    assert taken(queue) == [
        "bankrupt", "b_like_large", "large", "small", "explained_only", "call", "small_call",
    ]  # fmt: skip


def test_queue_when_of_two_pools_something_is_due_then_the_account_comes_once_in_the_place_of_the_worse():
    queue = queue_of(alice=due(Band.LIQUIDATION, 5, plan=True))
    put(queue, "bob", due(Band.LIQUIDATION, 1, plan=True), due(Band.BANKRUPT, 1, plan=True))
    assert taken(queue) == ["bob", "alice"]


def test_queue_when_a_plan_and_a_detail_are_due_then_said_together_and_not_again():
    queue = queue_of(alice=due(Band.LIQUIDATION, plan=True, detail=True))
    assert taken(queue, 1) == ["alice"]
    # what was said of it
    put(queue, "alice", due(Band.LIQUIDATION))
    assert taken(queue) == []
    assert not queue.due


@pytest.mark.parametrize(
    "after",
    [
        (),
        (due(Band.REDUCE_ONLY),),
        (due(Band.LIQUIDATION),),
        (due(Band.LIQUIDATION, plan=True, exit_since_ns=1),),
        (due(Band.LIQUIDATION, plan=True, degraded=True),),
    ],
    ids=["well", "better", "said", "on its way out", "withheld"],
)
def test_queue_when_what_was_due_is_no_more_then_it_is_forgotten_until_it_is_due_again(after):
    queue = queue_of(alice=PLAN)
    put(queue, "alice", *after)
    assert not queue.due
    assert taken(queue) == []
    put(queue, "alice", PLAN)
    assert queue.due
    assert taken(queue) == ["alice"]


def test_queue_when_an_account_gets_worse_or_better_then_its_place_is_the_new_one_and_it_comes_once():
    queue = queue_of(alice=due(Band.LIQUIDATION, 5, plan=True), bob=due(Band.LIQUIDATION, 9, plan=True))
    put(queue, "alice", due(Band.BANKRUPT, 5, plan=True))
    put(queue, "bob", due(Band.LIQUIDATION, 1, plan=True))
    put(queue, "carol", due(Band.LIQUIDATION, 3, plan=True))
    put(queue, "bob", due(Band.LIQUIDATION, 9, plan=True))
    put(queue, "bob", due(Band.LIQUIDATION, 1, plan=True))
    assert taken(queue) == ["alice", "carol", "bob"]
    assert taken(queue) == []


def test_queue_when_liquidations_are_held_then_only_details_and_the_plans_after():
    queue = queue_of(alice=PLAN, bob=due(Band.LIQUIDATION, plan=True, detail=True), carol=DETAIL, dora=DETAIL)
    assert taken(queue, held=True) == ["bob", "carol", "dora"]
    # the books say what can be said of bob, and put him back with the plan that is still due
    put(queue, "bob", due(Band.LIQUIDATION, 99, plan=True))
    assert taken(queue, held=True) == []
    assert queue.due
    assert taken(queue, held=False) == ["bob", "alice"]
    assert not queue.due


def test_queue_when_asked_for_so_many_then_no_more_and_the_next_go_on_from_there():
    queue = queue_of(alice=PLAN, bob=PLAN, carol=DETAIL, dora=DETAIL)
    assert [taken(queue, number) for number in (0, 1, 2, 3)] == [[], ["alice"], ["bob", "carol"], ["dora"]]


def test_queue_when_nothing_was_put_then_nothing_is_due():
    queue = queue_of(alice=LadderState(), bob=due(Band.WARNING))
    assert (queue.due, taken(queue)) == ({}, [])


def sorted_by_need(pools, *, held):
    """Brute force: who comes next, of all pools as they are now."""

    def places(trigger):
        found = {}
        for name, state in pools.items():
            if trigger in reasons_due(state, POLICY):
                found[name] = (-SEVERITY[state.band], -state.said_shortfall, name)
        return sorted(found, key=found.__getitem__)

    return ([] if held else places(Trigger.PLANNED)) + places(Trigger.EXPLAINED)


states = st.builds(
    due,
    st.sampled_from([band for band in Band if band is not Band.HEALTHY]),
    st.sampled_from(["0", "0.5", "7", "7.25"]),
    plan=st.booleans(),
    detail=st.booleans(),
    degraded=st.booleans(),
    exit_since_ns=st.sampled_from([None, 1]),
).filter(lambda it: it.band in LIQUIDATING or not it.plan_due)
puts = st.tuples(st.sampled_from(["alice", "bob", "carol", "dora"]), states)
takes = st.tuples(st.integers(0, 3), st.booleans())


@given(st.lists(puts | takes, max_size=60))
def test_queue_when_accounts_change_and_are_taken_at_random_then_always_the_neediest_of_now(steps):
    queue, pools = ReasonsQueue(POLICY), {}
    for first, second in steps:
        if isinstance(first, str):
            pools[first] = second
            put(queue, first, second)
        else:
            wanted = []
            for name in queue.take(first, held=second):
                assert name == sorted_by_need(pools, held=second)[0]
                wanted.append(name)
                # what can be said of it is said before the next is asked for
                left = pools[name].plan_due and second
                pools[name] = due(pools[name].band, pools[name].said_shortfall, plan=left)
                put(queue, name, pools[name])
            assert len(wanted) == first or not sorted_by_need(pools, held=second)
        asked = Counter(trigger for pool in pools.values() for trigger in reasons_due(pool, POLICY))
        assert queue.due == asked
