"""What there is to say about a pool between the first warning and the cure, and what to remember of it. No figures here.

    a word on every change of band, of trust, at the expiry of a call, at every fill of the plan      at once
    what is missing to leave the band moved by more than `update_shortfall_change`, or nothing was
    said for `update_seconds`                             compared at most every `update_check_seconds`
    a new plan, where inputs of the account or prices moved since the last one; a failure, where nobody
    executed anything for `stuck_seconds`                 compared at most every `replan_seconds`, both
                                                          doubled after each failure until somebody does

The last two are not for a pool that is on its way out. All in event time, so what is said is bounded by time and not by the number of prices.
"""

import math
from decimal import Decimal
from typing import NamedTuple

import msgspec

from engine.accounts import Execution
from engine.ladder.states import SEVERITY, Band, LadderState, Request
from engine.ladder.table import LIQUIDATING, Trigger
from engine.marks import NANOSECONDS
from engine.numbers import exact
from engine.policy import Ladder, LiquidationRules, Policy

PATIENCE_DOUBLINGS_MAX = 6
"""An exchange that is down for hours is asked every half hour in the end (with 30 s), and not by every account every 30 s."""

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
            withheld = after.degraded and policy.ladder.withhold_liquidation_when_degraded
            found += [] if withheld else _of_plan(before.request, facts, policy.liquidation, policy.ladder)
        else:
            found += _of_shortfall(before, facts, policy.ladder)
    return found


def remembered(
    before: LadderState, after: LadderState, facts: Facts, found: list[Trigger], policy: Policy
) -> LadderState:
    """`after` with what was said and compared now; the request of a new plan is the caller's to set."""
    if after.band is Band.HEALTHY:
        return LadderState(degraded=after.degraded)
    if found:
        after = _replace(after, said_ns=facts.now_ns, said_shortfall=facts.shortfall, checked_ns=facts.now_ns)
    elif _check_due(before, facts.now_ns, policy):
        after = _replace(after, checked_ns=facts.now_ns)
    if after.band not in LIQUIDATING:
        return _replace(after, request=None)
    if Trigger.EXECUTED in found and after.request is not None:
        told = _replace(after.request, execution=facts.execution, progress_ns=facts.now_ns, failures=0)
        return _replace(after, request=told)
    return after


def requested(state: LadderState, liquidation_id: str, facts: Facts, *, stuck: bool) -> LadderState:
    """The state with a new plan asked for; it takes over how long nobody has executed anything."""
    last = state.request
    progress_ns = facts.now_ns if last is None or stuck else last.progress_ns
    failures = (0 if last is None else last.failures) + stuck
    return _replace(
        state,
        request=Request(
            liquidation_id, facts.fills, facts.ledger, facts.shortfall, progress_ns, facts.execution, failures
        ),
    )


def due_ns(state: LadderState, policy: Policy) -> int | None:
    """Event time before which only figures and inputs, not time, can make the pool speak; None for a healthy one."""
    if state.band is Band.HEALTHY:
        return None
    dues = [(state.checked_ns or 0) + _check_ns(state, policy)]
    if state.exit_since_ns is not None:
        dues.append(state.exit_since_ns + _ns(policy.ladder.exit_hold_seconds))
    elif state.deadline_ns is not None and not state.expired:
        dues.append(state.deadline_ns)
    return min(dues)


def _check_due(state: LadderState, now_ns: int, policy: Policy) -> bool:
    if state.band is Band.HEALTHY:
        return False
    return now_ns >= (state.checked_ns or 0) + _check_ns(state, policy)


def _check_ns(state: LadderState, policy: Policy) -> int:
    if state.band in LIQUIDATING:
        return _ns(policy.liquidation.replan_seconds) * _patience(state.request)
    return _ns(policy.ladder.update_check_seconds)


def _patience(request: Request | None) -> int:
    """How many times longer to wait for an exchange that has executed nothing: doubled with each failure."""
    return 1 if request is None else 2 ** min(request.failures, PATIENCE_DOUBLINGS_MAX)


def _of_shortfall(before: LadderState, facts: Facts, ladder: Ladder) -> list[Trigger]:
    silent = before.said_ns is None or facts.now_ns - before.said_ns >= _ns(ladder.update_seconds)
    return [Trigger.MOVED] if silent or _changed(before.said_shortfall, facts.shortfall, ladder) else []


def _of_plan(request: Request | None, facts: Facts, rules: LiquidationRules, ladder: Ladder) -> list[Trigger]:
    if request is None:
        return [Trigger.OUTDATED]
    executed = facts.execution != request.execution
    if not executed and facts.now_ns - request.progress_ns >= _ns(rules.stuck_seconds) * _patience(request):
        return [Trigger.STUCK]
    other = (facts.fills, facts.ledger) != (request.fills, request.ledger)
    return [Trigger.OUTDATED] if other or _changed(request.shortfall, facts.shortfall, ladder) else []


def _changed(said: Decimal | None, shortfall: Decimal, ladder: Ladder) -> bool:
    if said is None:
        return True
    with exact():
        # |now - said| > change * said
        return abs(shortfall - said) > ladder.update_shortfall_change * said


def _ns(seconds: Decimal) -> int:
    return math.ceil(seconds * NANOSECONDS)
