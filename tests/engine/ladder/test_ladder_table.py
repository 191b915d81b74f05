"""The ladder's table: complete where figures can lead, empty where nothing may, and what the docs show is the table."""

from pathlib import Path

import pytest

from engine.events.effects import LIQUIDATION_TYPES
from engine.ladder import SEVERITY, Band
from engine.ladder.table import LIQUIDATING, TRANSITIONS, EventType, Trigger
from tests.engine.ladder.table_drawings import diagram, matrix

README = Path(__file__).parents[3] / "engine" / "ladder" / "README.md"
CHANGES = {Trigger.WORSE, Trigger.BETTER}
PAIRS = [(before, after) for before in Band for after in Band if before is not after]


@pytest.mark.parametrize(("before", "after"), PAIRS)
def test_table_when_figures_lead_from_one_band_to_another_then_one_transition_says_so(before, after):
    worse = SEVERITY[after] > SEVERITY[before]
    assert ((before, Trigger.WORSE, after) in TRANSITIONS) is worse
    assert ((before, Trigger.BETTER, after) in TRANSITIONS) is not worse


def test_table_when_a_trigger_changes_no_band_then_it_stays_in_it():
    assert all(before is after for before, trigger, after in TRANSITIONS if trigger not in CHANGES)


ALLOWED_IN = {
    Trigger.MOVED: {Band.WARNING, Band.MARGIN_CALL, Band.REDUCE_ONLY},
    Trigger.EXPIRED: {Band.MARGIN_CALL, Band.REDUCE_ONLY, Band.LIQUIDATION, Band.BANKRUPT},
    Trigger.EXECUTED: LIQUIDATING,
    Trigger.OUTDATED: LIQUIDATING,
    Trigger.STUCK: LIQUIDATING,
    Trigger.DEGRADED: set(Band),
    Trigger.RECOVERED: set(Band),
    Trigger.PLANNED: LIQUIDATING,
    Trigger.EXPLAINED: set(Band) - {Band.HEALTHY},
}


@pytest.mark.parametrize(("trigger", "bands"), ALLOWED_IN.items())
def test_table_when_a_trigger_is_illegal_in_a_band_then_there_is_no_row(trigger, bands):
    assert {before for before, it, _ in TRANSITIONS if it is trigger} == bands


def test_table_when_read_then_every_event_type_is_said_somewhere_and_silent_is_only_that_a_plan_is_due():
    assert {said for row in TRANSITIONS.values() for said in row} == set(EventType)
    assert {trigger for (_, trigger, _), said in TRANSITIONS.items() if not said} == {Trigger.OUTDATED}


def test_table_when_a_liquidation_ends_then_it_was_asked_for():
    """`requested`, `progressed`, `failed` and `completed` come out of a band that `entered` leads into."""
    ends = LIQUIDATION_TYPES - {EventType.LIQUIDATION_ENTERED, EventType.ACCOUNT_BANKRUPT}
    for (before, _, _), said in TRANSITIONS.items():
        if not ends.isdisjoint(said):
            assert before in LIQUIDATING
    for (before, trigger, after), said in TRANSITIONS.items():
        if trigger is Trigger.WORSE and after in LIQUIDATING and before not in LIQUIDATING:
            assert EventType.LIQUIDATION_ENTERED in said


def test_table_when_an_episode_opens_or_resolves_then_it_leaves_or_reaches_healthy():
    for (before, trigger, after), said in TRANSITIONS.items():
        opens = any(it.endswith(".opened") for it in said)
        resolves = any(it.endswith(".resolved") for it in said)
        assert opens == (trigger is Trigger.WORSE and before is Band.HEALTHY)
        assert resolves == (trigger is Trigger.BETTER and after is Band.HEALTHY)


@pytest.mark.parametrize(("name", "generated"), [("diagram", diagram), ("table", matrix)])
def test_docs_when_the_table_changes_then_they_show_it(name, generated):
    """Put what the assertion shows between the markers of engine/ladder/README.md."""
    shown = README.read_text().split(f"<!-- {name} -->\n")[1].split(f"<!-- end of {name} -->")[0]
    assert shown.replace("```mermaid\n", "").replace("```\n", "").strip() == generated()
