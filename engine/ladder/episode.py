"""What there is to say about a pool between the first warning and the cure, and what to remember of it. No figures here.

    a word on every change of band, of trust, at the expiry of a call, at every fill of the plan      at once
    what is missing to leave the band moved by more than `update_shortfall_change`, or nothing was
    said for `update_seconds`                             compared at most every `update_check_seconds`
    that a new plan is due, where inputs of the account or prices moved since the last one; a failure, where nobody
    executed anything for `stuck_seconds`                 compared at most every `replan_seconds`, both
                                                          doubled after each failure until somebody does

While fills of a plan keep coming it is left alone until they have paused for `replan_seconds`, but compared every `stuck_seconds` all the
same: an order that trickles at its limit would keep a pool in liquidation for ever.

The last two are not for a pool that is on its way out. All in event time, so what is said is bounded by time and not by the number of prices.
"""

import math
from decimal import Decimal
from functools import cache
from typing import NamedTuple

import msgspec

from engine.ladder.states import SEVERITY, Band, LadderState, Request
from engine.ladder.table import LIQUIDATING, Trigger
from engine.ledger.accounts import Execution
from engine.marks.mark_book import NANOSECONDS
from engine.numbers import exact
from engine.policy import Ladder, LiquidationRules, Policy

PATIENCE_DOUBLINGS_MAX = 6
"""An exchange that is down for hours is asked every half hour in the end (with 30 s), and not by every account every 30 s."""

_PLAN_DUE = frozenset({Trigger.WORSE, Trigger.BETTER, Trigger.OUTDATED, Trigger.STUCK})
"""What makes a plan due in a pool that is, or comes to be, in liquidation."""

_replace = msgspec.structs.replace


class Facts(NamedTuple):
    """What a judgement knows of a pool besides its band."""

    now_ns: int
    shortfall: Decimal
    """Missing to leave the band: to its exit line."""
    fills: int
    ledger: int
    """Offsets of the account's last applied inputs."""
    execution: Execution | None
    """What fills have done of the pool's newest liquidation."""
    hold: int | None = None
    """Number of the breaker's opening while it is open: it holds every plan that is due, and nobody fails."""


def triggers(before: LadderState, after: LadderState, facts: Facts, policy: Policy) -> list[Trigger]:
    """Why there is something to say; `after` is what `bands.advance` made of `before`."""
    found = []
    if before.degraded != after.degraded:
        found.append(Trigger.DEGRADED if after.degraded else Trigger.RECOVERED)
    if after.expired and not before.expired:
        found.append(Trigger.EXPIRED)
    if before.request is not None and facts.execution != before.request.execution:
        found.append(Trigger.EXECUTED)
    if after.band is not before.band:
        worse = SEVERITY[after.band] > SEVERITY[before.band]
        found.append(Trigger.WORSE if worse else Trigger.BETTER)
    elif after.exit_since_ns is None and _check_due(before, facts.now_ns, policy):
        if after.band in LIQUIDATING:
            waits = before.plan_due or _withheld(after, policy)
            found += [] if waits else _of_plan(before.request, facts, policy.liquidation, policy.ladder)
        else:
            found += _of_shortfall(before, facts, policy.ladder)
    return found


def remembered(
    before: LadderState, after: LadderState, facts: Facts, found: list[Trigger], policy: Policy
) -> LadderState:
    """`after` with what was said and compared now, and whether a plan is due."""
    if after.band is Band.HEALTHY:
        return LadderState(
            degraded=after.degraded, degraded_until_ns=after.degraded_until_ns, controls=after.controls
        )
    if found:
        after = _replace(after, said_ns=facts.now_ns, said_shortfall=facts.shortfall)
    compared = _check_due(before, facts.now_ns, policy)
    if set(found) - {Trigger.EXECUTED} or compared:
        after = _replace(after, checked_ns=facts.now_ns)
    if Trigger.BETTER in found:
        after = _replace(after, detail_due=False)
    if after.band not in LIQUIDATING:
        return _replace(after, request=None, plan_due=False)
    after = _with_plan_due(after, facts, found, compared=compared)
    request = after.request
    if request is None:
        return after
    if Trigger.EXECUTED in found:
        request = _replace(request, execution=facts.execution, progress_ns=facts.now_ns, failures=0)
    if Trigger.STUCK in found:
        request = _replace(request, progress_ns=facts.now_ns, failures=request.failures + 1)
    return _replace(after, request=request)


def _with_plan_due(after: LadderState, facts: Facts, found: list[Trigger], *, compared: bool) -> LadderState:
    if not _PLAN_DUE.isdisjoint(found):
        after = _replace(after, plan_due=True)
    # known at a comparison or a word, never in between: when it is judged beyond that is the book's affair
    if after.plan_due and after.held_by is None and (found or compared):
        after = _replace(after, held_by=facts.hold)
    return after


def requested(state: LadderState, liquidation_id: str, facts: Facts) -> LadderState:
    """The state with the plan that was due; it takes over how long nobody has executed anything."""
    last = state.request
    progress_ns, execution, failures = facts.now_ns, facts.execution, 0
    if last is not None:
        progress_ns, execution, failures = last.progress_ns, last.execution, last.failures
    request = Request(
        liquidation_id, facts.fills, facts.ledger, facts.shortfall, progress_ns, execution, failures
    )
    return _replace(state, request=request, plan_due=False, said_ns=facts.now_ns, checked_ns=facts.now_ns)


def unmoved(state: LadderState, facts: Facts, most: Decimal, policy: Policy) -> LadderState | None:
    """The pool after a judgement at which its figures change nothing and `facts.shortfall` to `most` is missing; None where it may speak.

    That figures change nothing is the caller's to know; what time moves is asked here.
    """
    moves_ns = min(_moves_ns(state, policy), default=None)
    if moves_ns is not None and moves_ns <= facts.now_ns:
        return None
    # the breaker has closed since, or opened anew
    if state.held_by is not None and state.held_by != facts.hold:
        return None
    # its plan may have to wait for a breaker that opens at this very instant
    if state.plan_due and state.held_by is None and _check_due(state, facts.now_ns, policy):
        return None
    if state.band is Band.HEALTHY:
        return state
    # what is missing changed by too little at both ends, so it did so anywhere between them
    for ends in (facts, facts._replace(shortfall=most)):
        if triggers(state, state, ends, policy):
            return None
    return remembered(state, state, facts, [], policy)


def plan_asked(state: LadderState, policy: Policy) -> bool:
    """Whether a plan is due that is not withheld: a pool on its way out, or in doubt, waits for it."""
    return state.plan_due and state.exit_since_ns is None and not _withheld(state, policy)


def due_ns(state: LadderState, policy: Policy) -> int | None:
    """Event time before which only figures and inputs, not time, can make the pool speak; None where time cannot."""
    dues = _moves_ns(state, policy)
    if state.band is not Band.HEALTHY:
        dues.append(_check_due_ns(state, policy))
    return min(dues, default=None)


def _moves_ns(state: LadderState, policy: Policy) -> list[int]:
    """Event times at which the pool's band or flag may change, whatever is missing then."""
    dues = [] if state.degraded_until_ns is None else [state.degraded_until_ns]
    if state.band is Band.HEALTHY:
        return dues
    if state.crossed_since_ns is not None:
        dues.append(state.crossed_since_ns + _ns(policy.ladder.liquidation_confirm_ms / 1000))
    if state.exit_since_ns is not None:
        dues.append(state.exit_since_ns + _ns(policy.ladder.exit_hold_seconds))
    elif state.deadline_ns is not None and not state.expired:
        dues.append(state.deadline_ns)
    return dues


def _withheld(state: LadderState, policy: Policy) -> bool:
    return state.degraded and policy.ladder.withhold_liquidation_when_degraded


def _check_due(state: LadderState, now_ns: int, policy: Policy) -> bool:
    return state.band is not Band.HEALTHY and now_ns >= _check_due_ns(state, policy)


def _check_due_ns(state: LadderState, policy: Policy) -> int:
    """Event time of the next comparison of a pool that is not healthy."""
    checked_ns = state.checked_ns or 0
    if state.band not in LIQUIDATING:
        return checked_ns + _ns(policy.ladder.update_check_seconds)
    rules, request = policy.liquidation, state.request
    due_ns = checked_ns + _ns(rules.replan_seconds) * _patience(request)
    if request is None:
        return due_ns
    paused_ns = request.progress_ns + _ns(rules.replan_seconds)
    return max(due_ns, min(paused_ns, checked_ns + _ns(rules.stuck_seconds)))


def _patience(request: Request | None) -> int:
    """How many times longer to wait for an exchange that has executed nothing: doubled with each failure."""
    return 1 if request is None else 2 ** min(request.failures, PATIENCE_DOUBLINGS_MAX)


def _of_shortfall(before: LadderState, facts: Facts, ladder: Ladder) -> list[Trigger]:
    silent = before.said_ns is None or facts.now_ns - before.said_ns >= _ns(ladder.update_seconds)
    return [Trigger.MOVED] if silent or _changed(before.said_shortfall, facts.shortfall, ladder) else []


def _of_plan(request: Request | None, facts: Facts, rules: LiquidationRules, ladder: Ladder) -> list[Trigger]:
    if request is None:
        return [Trigger.OUTDATED]
    waited_ns = facts.now_ns - request.progress_ns
    idle = facts.execution == request.execution and facts.hold is None
    if idle and waited_ns >= _ns(rules.stuck_seconds) * _patience(request):
        return [Trigger.STUCK]
    other = (facts.fills, facts.ledger) != (request.fills, request.ledger)
    return [Trigger.OUTDATED] if other or _changed(request.shortfall, facts.shortfall, ladder) else []


def _changed(said: Decimal | None, shortfall: Decimal, ladder: Ladder) -> bool:
    if said is None:
        return True
    with exact():
        # |now - said| > change * said
        return abs(shortfall - said) > ladder.update_shortfall_change * said


@cache
def _ns(seconds: Decimal) -> int:
    return math.ceil(seconds * NANOSECONDS)
