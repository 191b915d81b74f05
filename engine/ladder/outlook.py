"""What follows for a pool where nothing is done, and when."""

from decimal import Decimal
from enum import StrEnum

import msgspec

from engine.ladder.states import SEVERITY, Band, LadderState
from engine.marks.mark_book import NANOSECONDS
from engine.policy import Ladder
from engine.policy.rules.policy_switches import ExpiredCall


class Step(StrEnum):
    """What may happen next."""

    WARNING = "warning"
    MARGIN_CALL = "margin_call"
    REDUCE_ONLY = "reduce_only"
    LIQUIDATION = "liquidation"
    """The exchange executes a plan."""
    TAKEOVER = "takeover"
    """The exchange takes the pool over at its bankruptcy prices."""
    AGED_CALL = "aged_call"
    """The call is told as unmet, and nothing else changes."""
    BETTER_BAND = "better_band"


class Awaited(StrEnum):
    """What a liquidation waits for."""

    PLAN = "plan"
    EXCHANGE = "exchange"
    """Fills that name it."""
    PRICE = "price"
    """One that is believed."""
    BREAKER = "breaker"
    """An operator: `ladder.breaker`."""


class Outlook(msgspec.Struct, frozen=True, omit_defaults=True):
    """One thing that may happen next, and its condition."""

    step: Step
    below_ratio: Decimal | None = None
    """As soon as the ratio falls below this."""
    at_ns: int | None = None
    """At this event time, unless the figures have changed by then."""
    awaits: Awaited | None = None
    """As soon as there is this."""


_BY_LINE = {
    Band.HEALTHY: (Step.WARNING, "warning"),
    Band.WARNING: (Step.MARGIN_CALL, "margin_call"),
    Band.MARGIN_CALL: (Step.REDUCE_ONLY, "reduce_only"),
}
_BY_EXPIRY = {
    ExpiredCall.NOTIFY: Step.AGED_CALL,
    ExpiredCall.REDUCE_ONLY: Step.REDUCE_ONLY,
    ExpiredCall.LIQUIDATION: Step.LIQUIDATION,
}


def outlook(state: LadderState, ladder: Ladder) -> tuple[Outlook, ...]:
    """All that may happen next to a pool that stands so."""
    return (*_worse(state, ladder), *_by_time(state, ladder))


def _worse(state: LadderState, ladder: Ladder) -> tuple[Outlook, ...]:
    if state.band in _BY_LINE:
        step, line = _BY_LINE[state.band]
        return (Outlook(step, below_ratio=getattr(ladder, line)),)
    step = Step.TAKEOVER if state.band is Band.BANKRUPT else Step.LIQUIDATION
    if state.held_by is not None:
        return (Outlook(step, awaits=Awaited.BREAKER),)
    if state.degraded and ladder.withhold_liquidation_when_degraded:
        return (Outlook(step, awaits=Awaited.PRICE),)
    if state.band is Band.REDUCE_ONLY:
        return (_crossing(state, ladder),)
    return (Outlook(step, awaits=Awaited.EXCHANGE if state.request and not state.plan_due else Awaited.PLAN),)


def _crossing(state: LadderState, ladder: Ladder) -> Outlook:
    """Liquidation of a pool that only reduces: at the line, or once it has been below that for long enough."""
    if state.crossed_since_ns is None:
        return Outlook(Step.LIQUIDATION, below_ratio=ladder.liquidation)
    confirm_ns = int(ladder.liquidation_confirm_ms * NANOSECONDS / 1000)
    return Outlook(Step.LIQUIDATION, at_ns=state.crossed_since_ns + confirm_ns)


def _by_time(state: LadderState, ladder: Ladder) -> tuple[Outlook, ...]:
    """While a pool is on its way out no call expires."""
    if state.exit_since_ns is not None:
        hold_ns = int(ladder.exit_hold_seconds * NANOSECONDS)
        return (Outlook(Step.BETTER_BAND, at_ns=state.exit_since_ns + hold_ns),)
    if state.deadline_ns is None or state.expired:
        return ()
    step = _BY_EXPIRY[ladder.expired_call]
    worse = step is Step.AGED_CALL or SEVERITY[Band(step)] > SEVERITY[state.band]
    return (Outlook(step if worse else Step.AGED_CALL, at_ns=state.deadline_ns),)
