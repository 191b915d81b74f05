"""What `margin-events` has lost of a pool that `liquidations` tells on, said again from that."""

import msgspec
import pytest

from engine.events.effects import AccountRisk, EventType, RiskEvent, Stream
from engine.events.judgement import judge
from engine.events.lost_words import lost_words
from engine.ladder import Band, LadderState
from tests.engine.events.test_reasons import AT, POLICY, holding
from tests.support.builders import sample, seconds

LINKED = sample(("[ladder]", '[links]\naccount = "https://desk/{account}"\n\n[ladder]'))


def told(*steps: tuple[int, int], policy=POLICY) -> list[RiskEvent]:
    """What is said of an account whose equity is this much at these seconds, event by event."""
    risk, events = AccountRisk("alice"), []
    for at, equity in steps:
        judgement = judge(holding(equity), risk, AT, seconds(at), policy)
        risk, events = judgement.risk, [*events, *judgement.events]
    return events


def of(stream: Stream, events: list[RiskEvent]) -> list[RiskEvent]:
    return [event for event in events if event.stream is stream]


@pytest.mark.parametrize("policy", [POLICY, LINKED])
@pytest.mark.parametrize("fall", [95, -5])
@pytest.mark.parametrize("before", [(), ((0, 140),), ((0, 110),)])
def test_lost_words_when_one_was_lost_then_that_very_event(before, fall, policy):
    *earlier, lost = of(Stream.MARGIN_EVENTS, told(*before, (1, fall), policy=policy))
    stood = earlier[-1].ladder if earlier else LadderState()
    first = of(Stream.LIQUIDATIONS, told(*before, (1, fall), policy=policy))[0]
    assert lost_words(first, stood, lost.sequence, policy) == [lost]


def test_lost_words_when_a_pool_got_well_then_its_episode_is_resolved():
    events = told((0, 95), (1, 900), (30, 900))
    *_, resolved = of(Stream.MARGIN_EVENTS, events)
    *_, completed = of(Stream.LIQUIDATIONS, events)
    assert (resolved.type, completed.type) == (
        EventType.REDUCE_ONLY_RESOLVED,
        EventType.LIQUIDATION_COMPLETED,
    )
    assert lost_words(completed, completed.ladder_before, resolved.sequence, POLICY) == [resolved]


def test_lost_words_when_several_were_lost_then_one_for_all_of_them():
    """Warned, then called, then liquidated: nothing of it but the last reached the topic."""
    *_, entered = told((0, 140), (1, 110), (2, 95))
    (word,) = lost_words(entered, LadderState(), 1, POLICY)
    assert (word.type, word.id) == (EventType.REDUCE_ONLY_OPENED, "alice/margin-events/1")
    assert (word.previous_band, word.band, word.episode_id) == (
        Band.HEALTHY,
        Band.LIQUIDATION,
        entered.episode_id,
    )


def test_lost_words_when_nothing_was_lost_then_none():
    *_, entered = told((0, 95))
    assert lost_words(entered, entered.ladder, 2, POLICY) == []
    degraded = msgspec.structs.replace(entered.ladder, degraded=True)
    (word,) = lost_words(entered, degraded, 2, POLICY)
    assert word.type is EventType.RECOVERED
