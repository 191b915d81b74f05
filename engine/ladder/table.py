"""The ladder as one table: every transition that there is, and what is said when it is made.

A transition that is not listed is illegal: asking for one is a broken invariant and stops the process. On `margin-events`
liquidation and bankruptcy show as the `reduce_only` step of the episode, so that stream alone tells every episode from opened
to resolved. The verdict is said at once, by figures alone; what takes longer to find out, a plan or a detail, is said behind it by an
event of its own (`planned`, `explained`), which names the verdict.
"""

from collections.abc import Mapping
from enum import StrEnum

from engine.ladder.states import Band


class EventType(StrEnum):
    """CloudEvents types. `opened` starts an episode, `resolved` ends it."""

    WARNING_OPENED = "margin.warning.opened"
    WARNING_UPDATED = "margin.warning.updated"
    WARNING_RESOLVED = "margin.warning.resolved"
    CALL_OPENED = "margin.call.opened"
    CALL_ESCALATED = "margin.call.escalated"
    CALL_UPDATED = "margin.call.updated"
    CALL_EXPIRED = "margin.call.expired"
    CALL_RESOLVED = "margin.call.resolved"
    REDUCE_ONLY_OPENED = "margin.reduce_only.opened"
    REDUCE_ONLY_ESCALATED = "margin.reduce_only.escalated"
    REDUCE_ONLY_UPDATED = "margin.reduce_only.updated"
    REDUCE_ONLY_RESOLVED = "margin.reduce_only.resolved"
    LIQUIDATION_ENTERED = "liquidation.entered"
    LIQUIDATION_REQUESTED = "liquidation.requested"
    LIQUIDATION_PROGRESSED = "liquidation.progressed"
    LIQUIDATION_FAILED = "liquidation.failed"
    LIQUIDATION_COMPLETED = "liquidation.completed"
    ACCOUNT_BANKRUPT = "account.bankrupt"
    DEGRADED = "engine.degraded"
    RECOVERED = "engine.recovered"
    EXPLAINED = "margin.explained"


class Trigger(StrEnum):
    """Why a pool makes a transition."""

    WORSE = "worse"
    """The figures fell below a line."""
    BETTER = "better"
    """The figures stayed above the exit line for the hold time."""
    MOVED = "moved"
    """What is missing changed enough, or was not spoken of for long enough."""
    EXPIRED = "expired"
    """A call was not met by its deadline."""
    EXECUTED = "executed"
    """Fills named the running liquidation."""
    OUTDATED = "outdated"
    """Inputs or prices moved since the plan was made."""
    STUCK = "stuck"
    """Nobody executes the plan."""
    DEGRADED = "degraded"
    """The verdict hangs on a doubted price, or the account was stopped."""
    RECOVERED = "recovered"
    """It does no more, and it was not for a while."""
    PLANNED = "planned"
    """The plan that was asked for is made."""
    EXPLAINED = "explained"
    """The detail of the verdict is found."""


Key = tuple[Band, Trigger, Band]

_H, _W, _C, _R, _L, _B = Band
_E, _T = EventType, Trigger

TRANSITIONS: Mapping[Key, tuple[EventType, ...]] = {
    (_H, _T.WORSE, _W): (_E.WARNING_OPENED,),
    (_H, _T.WORSE, _C): (_E.CALL_OPENED,),
    (_H, _T.WORSE, _R): (_E.REDUCE_ONLY_OPENED,),
    (_H, _T.WORSE, _L): (_E.REDUCE_ONLY_OPENED, _E.LIQUIDATION_ENTERED),
    (_H, _T.WORSE, _B): (_E.REDUCE_ONLY_OPENED, _E.LIQUIDATION_ENTERED, _E.ACCOUNT_BANKRUPT),
    (_W, _T.WORSE, _C): (_E.CALL_ESCALATED,),
    (_W, _T.WORSE, _R): (_E.REDUCE_ONLY_ESCALATED,),
    (_W, _T.WORSE, _L): (_E.REDUCE_ONLY_ESCALATED, _E.LIQUIDATION_ENTERED),
    (_W, _T.WORSE, _B): (_E.REDUCE_ONLY_ESCALATED, _E.LIQUIDATION_ENTERED, _E.ACCOUNT_BANKRUPT),
    (_C, _T.WORSE, _R): (_E.REDUCE_ONLY_ESCALATED,),
    (_C, _T.WORSE, _L): (_E.REDUCE_ONLY_ESCALATED, _E.LIQUIDATION_ENTERED),
    (_C, _T.WORSE, _B): (_E.REDUCE_ONLY_ESCALATED, _E.LIQUIDATION_ENTERED, _E.ACCOUNT_BANKRUPT),
    (_R, _T.WORSE, _L): (_E.LIQUIDATION_ENTERED,),
    (_R, _T.WORSE, _B): (_E.LIQUIDATION_ENTERED, _E.ACCOUNT_BANKRUPT),
    (_L, _T.WORSE, _B): (_E.ACCOUNT_BANKRUPT,),
    (_W, _T.BETTER, _H): (_E.WARNING_RESOLVED,),
    (_C, _T.BETTER, _H): (_E.CALL_RESOLVED,),
    (_C, _T.BETTER, _W): (_E.WARNING_UPDATED,),
    (_R, _T.BETTER, _H): (_E.REDUCE_ONLY_RESOLVED,),
    (_R, _T.BETTER, _W): (_E.WARNING_UPDATED,),
    (_R, _T.BETTER, _C): (_E.CALL_UPDATED,),
    (_L, _T.BETTER, _H): (_E.REDUCE_ONLY_RESOLVED, _E.LIQUIDATION_COMPLETED),
    (_L, _T.BETTER, _W): (_E.WARNING_UPDATED, _E.LIQUIDATION_COMPLETED),
    (_L, _T.BETTER, _C): (_E.CALL_UPDATED, _E.LIQUIDATION_COMPLETED),
    (_L, _T.BETTER, _R): (_E.LIQUIDATION_COMPLETED,),
    (_B, _T.BETTER, _H): (_E.REDUCE_ONLY_RESOLVED, _E.LIQUIDATION_COMPLETED),
    (_B, _T.BETTER, _W): (_E.WARNING_UPDATED, _E.LIQUIDATION_COMPLETED),
    (_B, _T.BETTER, _C): (_E.CALL_UPDATED, _E.LIQUIDATION_COMPLETED),
    (_B, _T.BETTER, _R): (_E.LIQUIDATION_COMPLETED,),
    (_B, _T.BETTER, _L): (_E.REDUCE_ONLY_UPDATED,),
    (_W, _T.MOVED, _W): (_E.WARNING_UPDATED,),
    (_C, _T.MOVED, _C): (_E.CALL_UPDATED,),
    (_R, _T.MOVED, _R): (_E.REDUCE_ONLY_UPDATED,),
    (_C, _T.EXPIRED, _C): (_E.CALL_EXPIRED,),
    (_R, _T.EXPIRED, _R): (_E.CALL_EXPIRED,),
    (_L, _T.EXPIRED, _L): (_E.CALL_EXPIRED,),
    (_B, _T.EXPIRED, _B): (_E.CALL_EXPIRED,),
    (_L, _T.EXECUTED, _L): (_E.LIQUIDATION_PROGRESSED,),
    (_L, _T.OUTDATED, _L): (),
    (_L, _T.STUCK, _L): (_E.LIQUIDATION_FAILED,),
    (_B, _T.EXECUTED, _B): (_E.LIQUIDATION_PROGRESSED,),
    (_B, _T.OUTDATED, _B): (),
    (_B, _T.STUCK, _B): (_E.LIQUIDATION_FAILED,),
    (_L, _T.PLANNED, _L): (_E.LIQUIDATION_REQUESTED,),
    (_B, _T.PLANNED, _B): (_E.LIQUIDATION_REQUESTED,),
    **{(band, _T.DEGRADED, band): (_E.DEGRADED,) for band in Band},
    **{(band, _T.RECOVERED, band): (_E.RECOVERED,) for band in Band},
    **{(band, _T.EXPLAINED, band): (_E.EXPLAINED,) for band in Band if band is not Band.HEALTHY},
}
"""By band before, trigger and band after: what is said, in order."""

LIQUIDATING = frozenset({Band.LIQUIDATION, Band.BANKRUPT})
"""Bands in which a liquidation runs."""
