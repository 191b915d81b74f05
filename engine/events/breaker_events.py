"""What a shard's breaker says: one event when it opens, one when an operator closes it."""

from enum import StrEnum

import msgspec

from engine.edition import ENGINE_VERSION
from engine.events.effects import Stream
from engine.ladder.breaker import BreakerState, Opening, Stake


class BreakerEventType(StrEnum):
    """CloudEvents types."""

    HELD = "engine.liquidations_held"
    """The breaker opened: what would be liquidated waits for an operator."""
    RELEASED = "engine.liquidations_released"
    """An operator had everything that was held judged without the hold."""
    VOIDED = "engine.liquidations_voided"
    """An operator had everything that was held judged afresh."""


class BreakerEvent(msgspec.Struct, frozen=True, kw_only=True):
    """One event of a shard's breaker. Sums are for people: floats, in account currency."""

    type: BreakerEventType
    id: str
    """`breaker/shard/margin-events/sequence`: the same for every publication of this event."""
    shard: int
    sequence: int
    """Counts the events of this breaker, without gaps, from 1."""
    time_ns: int
    opening: Opening
    held: Stake
    """What is held now; of a release or a void what was until then."""
    command_id: str | None = None
    """Released and voided: of the operator's command."""
    who: str | None = None
    why: str | None = None
    commanded_ns: int | None = None
    policy_digest: str
    engine_version: str

    @property
    def subject(self) -> str:
        """Key and subject of the record."""
        return f"breaker/{self.shard}"


def breaker_event(
    kind: BreakerEventType,
    shard: int,
    state: BreakerState,
    opening: Opening,
    time_ns: int,
    policy_digest: str,
) -> BreakerEvent:
    """The event with the number that `state` has come to."""
    return BreakerEvent(
        type=kind,
        id=f"breaker/{shard}/{Stream.MARGIN_EVENTS}/{state.sequence}",
        shard=shard,
        sequence=state.sequence,
        time_ns=time_ns,
        opening=opening,
        held=state.held,
        policy_digest=policy_digest,
        engine_version=ENGINE_VERSION,
    )


def after_event(state: BreakerState, event: BreakerEvent) -> BreakerState:
    """The state after an event that was published but is not in it (the store was rewound)."""
    if event.sequence <= state.sequence:
        return state
    closed = event.type is not BreakerEventType.HELD
    released = event.opening.number if event.type is BreakerEventType.RELEASED else state.released
    taken = () if event.command_id is None else (event.command_id,)
    return msgspec.structs.replace(
        state,
        openings=max(state.openings, event.opening.number),
        opening=None if closed else event.opening,
        released=released,
        window=(),
        sequence=event.sequence,
        commands=(*state.commands, *taken),
    )
