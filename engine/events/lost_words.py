"""What `margin-events` has lost of a pool that `liquidations` tells on: where the store was emptied between the two.

A judgement speaks on both topics, and liquidations go first. Where the store loses what it had not published yet, a pool may be known to be
in liquidation without its episode ever having been opened on `margin-events`, or be well again and never resolved there. So the way
from what `margin-events` told last to what `liquidations` tells is said then, of the very figures that `liquidations` names: the same
event, digit for digit, that was lost, where one was; one for all of them, where there were more. Words inside a band are not said again.
"""

import msgspec

from engine.events.effects import RiskEvent, Stream, stream_of
from engine.events.links import links_of
from engine.events.saying import Transition, entered_by, types_of
from engine.ladder import SEVERITY, LadderState
from engine.ladder.table import Trigger
from engine.policy import Policy

_replace = msgspec.structs.replace


def lost_words(event: RiskEvent, before: LadderState, sequence: int, policy: Policy) -> list[RiskEvent]:
    """What `margin-events` has to say, from number `sequence` on, of the way from `before` to where `event` of `liquidations` leaves its pool."""
    after, found = event.ladder, []
    if before.degraded != after.degraded:
        found.append(Trigger.DEGRADED if after.degraded else Trigger.RECOVERED)
    if before.band is not after.band:
        worse = SEVERITY[after.band] > SEVERITY[before.band]
        found.append(Trigger.WORSE if worse else Trigger.BETTER)
    types = [it for it in types_of(Transition(before, after, found)) if stream_of(it) is Stream.MARGIN_EVENTS]
    said = []
    for number, event_type in enumerate(types, sequence):
        word = _replace(
            event,
            type=event_type,
            id=f"{event.account}/{Stream.MARGIN_EVENTS}/{number}",
            sequence=number,
            other_sequence=event.sequence - 1,
            episode_id=after.episode_id or before.episode_id,
            previous_band=before.band,
            ladder_before=before,
            entered=entered_by(event_type, before, after),
            verdict=None,
            liquidation_id=None,
            replaces=None,
            plan=None,
            executed=None,
            links={},
        )
        said.append(_replace(word, links=links_of(word, policy)) if policy.links else word)
    return said
