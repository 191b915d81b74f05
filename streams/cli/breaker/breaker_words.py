"""What a breaker says, in words."""

from engine.events.breaker_events import BreakerEvent, BreakerEventType
from engine.ladder.breaker import Cause, Opening, Stake
from streams.config.terminal import printable
from streams.contract.cloudevents import rfc3339

_VERBS = {
    BreakerEventType.HELD: "holds",
    BreakerEventType.RELEASED: "released",
    BreakerEventType.VOIDED: "voided",
}


def said_of(event: BreakerEvent) -> str:
    """The event in a line."""
    by = ""
    if event.who is not None:
        by = f", by {printable(event.who)}: {printable(event.why or '')}"
    about = f"opening {event.opening.number} of shard {event.shard}"
    return f"{about} {_VERBS[event.type]} {stake_words(event.held)}{by}; {cause_words(event.opening)}"


def cause_words(opening: Opening) -> str:
    """Which cause condemned how much."""
    share = f"{opening.share:.1%} of {opening.limit.replace('_', ' ')}, at most {opening.share_max:.1%}"
    return f"{_what(opening.cause)} condemned {share}"


def stake_words(stake: Stake) -> str:
    """How much it is."""
    return (
        f"{stake.accounts:,} accounts (open interest {stake.open_interest:,.0f}, equity {stake.equity:,.0f})"
    )


def _what(cause: Cause) -> str:
    at = rfc3339(cause.time_ns)
    moves = ", ".join(f"{printable(it.symbol)} {it.before:g} -> {it.price:g}" for it in cause.symbols)
    batches = "; ".join(
        f"{it.topic} {it.first_offset}..{it.last_offset}: "
        + ", ".join(f"{count} {kind}" for kind, count in it.kinds.items())
        for it in cause.inputs
    )
    named = "; ".join(part for part in (batches, moves) if part)
    return f"{cause.kind} at {at}" + (f" ({named})" if named else "")
