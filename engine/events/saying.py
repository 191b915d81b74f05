"""From one pool's transitions to numbered events with everything they are recomputed from.

A verdict is what a judgement says: complete in itself, from figures alone. Its reasons, the plan of a liquidation and the detail of an
event, cost some ten times as much; they are said behind it (`reasons`).
"""

from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from engine.edition import ENGINE_VERSION
from engine.events.dependencies import marks_used
from engine.events.effects import (
    LIQUIDATION_TYPES,
    OTHER_STREAM,
    AccountRisk,
    EventType,
    InputOffsets,
    RiskEvent,
    Stream,
    stream_of,
)
from engine.events.links import links_of
from engine.events.pools import WELL
from engine.ladder import Band, LadderState
from engine.ladder.controls import outstanding
from engine.ladder.episode import Facts
from engine.ladder.outlook import outlook
from engine.ladder.table import TRANSITIONS, Trigger
from engine.ledger.accounts import AccountState
from engine.margin.figures import Figures
from engine.marks.mark_book import Prices
from engine.numbers import canonical, exact
from engine.policy import Policy

_replace = msgspec.structs.replace


class Situation(NamedTuple):
    """One pool of an account at the moment of its judgement."""

    state: AccountState
    pool: str
    prices: Prices
    policy: Policy
    figures: Figures
    facts: Facts
    cause_ns: int | None
    """Event time of the instant that caused the judgement; None when an input or the clock did."""
    detailed: bool
    """Whether the verdict, if it is one on a worse band, is to be explained."""


class Transition(NamedTuple):
    """What the ladder says of the pool."""

    before: LadderState
    after: LadderState
    found: Sequence[Trigger]


def say(
    situation: Situation, transition: Transition, risk: AccountRisk
) -> tuple[AccountRisk, list[RiskEvent]]:
    """The account's risk record after the transition, and the events that say so."""
    before, after, found = transition
    types = types_of(transition)
    sequences = dict(risk.sequences)
    if before.band is Band.HEALTHY and after.band is not Band.HEALTHY:
        opening = sequences.get(Stream.MARGIN_EVENTS, 0) + 1
        after = _replace(after, episode_id=f"{risk.account}/{situation.pool or 'cross'}/{opening}")
    if Trigger.WORSE in found:
        after = _replace(after, verdict_id=_last_id(risk, types), detail_due=situation.detailed)
    events = numbered(situation, types, sequences, before, after)
    return recorded(risk, situation.pool, after, sequences), events


def _last_id(risk: AccountRisk, types: Sequence[EventType]) -> str:
    """The id that the last event of these types is going to have."""
    stream = stream_of(types[-1])
    number = risk.sequences.get(stream, 0) + sum(stream_of(it) is stream for it in types)
    return f"{risk.account}/{stream}/{number}"


def recorded(risk: AccountRisk, pool: str, after: LadderState, sequences: dict[Stream, int]) -> AccountRisk:
    """The account's risk record with the pool as it stands now."""
    pools = {**risk.pools, pool: after}
    if after == WELL:
        del pools[pool]
    return AccountRisk(risk.account, pools, sequences)


def types_of(transition: Transition) -> list[EventType]:
    """What the table says of these transitions, in order; in-band ones come first, and take place in the band before."""
    before, after, found = transition
    types: list[EventType] = []
    for trigger in found:
        changes = trigger in {Trigger.WORSE, Trigger.BETTER}
        types += TRANSITIONS[before.band, trigger, after.band if changes else before.band]
    return types


def numbered(
    situation: Situation,
    types: Sequence[EventType],
    sequences: dict[Stream, int],
    before: LadderState,
    after: LadderState,
) -> list[RiskEvent]:
    """Events of these types, in order; `sequences` counts them."""
    if not types:
        return []
    whole = _event(situation, types[0], before, after)
    account = situation.state.account
    events = []
    for event_type in types:
        stream = stream_of(event_type)
        sequences[stream] = sequences.get(stream, 0) + 1
        event = _replace(
            whole,
            type=event_type,
            id=f"{account}/{stream}/{sequences[stream]}",
            sequence=sequences[stream],
            other_sequence=sequences.get(OTHER_STREAM[stream], 0),
            entered=entered_by(event_type, before, after),
        )
        if event_type in LIQUIDATION_TYPES:
            event = _of_liquidation(event, situation.facts)
        if situation.policy.links:
            event = _replace(event, links=links_of(event, situation.policy))
        events.append(event)
    return events


def entered_by(event_type: EventType, before: LadderState, after: LadderState) -> Band | None:
    """The worse band that an event of this type names as entered.

    One event of a stream names it: of a pool that is bankrupt at once the one behind `liquidation.entered`.
    """
    worse = TRANSITIONS.get((before.band, Trigger.WORSE, after.band), ())
    falls_through = event_type is EventType.LIQUIDATION_ENTERED and after.band is Band.BANKRUPT
    return after.band if event_type in worse and not falls_through else None


def _event(situation: Situation, event_type: EventType, before: LadderState, after: LadderState) -> RiskEvent:
    """What all events of the transition say alike."""
    figures, ladder, facts = situation.figures, situation.policy.ladder, situation.facts
    ratio = figures.ratio
    with exact():
        to_call = figures.shortfall(ladder.margin_call)
        to_liquidation = figures.shortfall(ladder.liquidation)
    return RiskEvent(
        type=event_type,
        id="",
        account=situation.state.account,
        position=situation.pool or None,
        sequence=0,
        episode_id=after.episode_id or before.episode_id,
        time_ns=facts.now_ns,
        band=after.band,
        previous_band=before.band,
        degraded=after.degraded,
        ladder=after,
        ladder_before=before,
        controls=after.controls,
        call=after.call,
        deadline_ns=after.deadline_ns,
        outstanding=outstanding(after.call, figures, ladder),
        follows=outlook(after, ladder),
        ratio=None if ratio is None else canonical(ratio),
        equity=canonical(figures.equity),
        collateral_value=canonical(figures.collateral_value),
        initial_margin=canonical(figures.initial_margin),
        maintenance_margin=canonical(figures.maintenance_margin),
        shortfall_to_call=canonical(to_call),
        shortfall_to_liquidation=canonical(to_liquidation),
        marks=marks_used(situation.state, situation.pool, situation.prices, situation.policy),
        instant=situation.prices.instant,
        inputs=InputOffsets(facts.fills, facts.ledger),
        policy_digest=situation.policy.digest,
        engine_version=ENGINE_VERSION,
        cause_time_ns=situation.cause_ns,
        breaker=facts.hold,
    )


def _of_liquidation(event: RiskEvent, facts: Facts) -> RiskEvent:
    if event.type is EventType.LIQUIDATION_PROGRESSED and facts.execution is not None:
        return _replace(event, liquidation_id=facts.execution.liquidation_id, executed=facts.execution)
    running = event.ladder_before.request
    return _replace(event, liquidation_id=None if running is None else running.liquidation_id)
