"""From a pool's figures to its band, with hysteresis in event time.

Rules
-----
* Lines are compared by multiplication, never through a rounded ratio; without a requirement there is no ratio, but
  collateral that after haircuts no longer covers the liabilities (C < 0) is below every line.
* Getting worse takes effect at once, over as many bands as the figures say.
* Getting better needs the figures above the current band's line plus `exit_band`, without interruption, for
  `exit_hold_seconds` of event time; then the band follows the exit lines (again over as many as they say).
* A call that becomes urgent (reduce-only or worse) may have to be met sooner (`urgent_call_deadline_seconds`).
* A call that is not met by its deadline expires. From then on the pool is kept in the band that `expired_call` names, or a
  worse one, until it is above the exit line of the call. While a pool is on its way out (above its exit line) no call expires.
* A degraded pool (its verdict hangs on a doubted price, or its account is stopped) never *enters* liquidation or bankruptcy
  where the policy withholds that (not by recovering from bankruptcy either); it stops at reduce_only and moves on as
  soon as it can be trusted again. Doubt is held for `degraded_hold_seconds`: it neither flaps nor is it asked at every tick.
* Where the policy wants liquidations confirmed (`liquidation_confirm_ms`), a pool below that line stops at reduce_only until it
  has been below for so long; calls never wait.
* So it is with a pool that the breaker holds (`breaker`), until its band gets better or the breaker closes.
"""

from decimal import Decimal
from typing import Final, Literal

import msgspec

from engine.ladder.states import SEVERITY, Band, LadderState
from engine.margin.figures import Figures
from engine.marks.mark_book import NANOSECONDS
from engine.numbers import ZERO, exact
from engine.policy import Ladder
from engine.policy.rules.policy_switches import ExpiredCall

LEAVING: Final = "leaving"
"""The verdict on a pool above its exit line."""
Verdict = Band | Literal["leaving"]

_replace = msgspec.structs.replace


def band_at(figures: Figures, ladder: Ladder, *, exiting: bool = False) -> Band:
    """The band that the figures alone say; `exiting` moves every line up by the exit band."""
    if figures.equity < 0 or (figures.equity == 0 and figures.requirement):
        return Band.BANKRUPT
    lift = ladder.exit_band if exiting else ZERO
    requirement = figures.requirement
    lines = (
        (Band.LIQUIDATION, ladder.liquidation),
        (Band.REDUCE_ONLY, ladder.reduce_only),
        (Band.MARGIN_CALL, ladder.margin_call),
        (Band.WARNING, ladder.warning),
    )
    with exact():
        if figures.collateral_value >= (ladder.warning + lift) * requirement:
            return Band.HEALTHY
        for band, line in lines:
            if figures.collateral_value < (line + lift) * requirement:
                return band
    return Band.HEALTHY


def exit_line(state: LadderState, ladder: Ladder) -> Decimal:
    """The ratio from which the pool may leave its band. Inside `numbers.exact()`."""
    return leaving_line(state, ladder) + ladder.exit_band


def leaving_line(state: LadderState, ladder: Ladder) -> Decimal:
    """The entry line of the band, of a bankrupt pool that of liquidation; of one that an expired call keeps, the call's."""
    if state.expired and SEVERITY[state.band] <= SEVERITY[kept_in(ladder)]:
        return ladder.margin_call
    return {
        Band.HEALTHY: ladder.warning,
        Band.WARNING: ladder.warning,
        Band.MARGIN_CALL: ladder.margin_call,
        Band.REDUCE_ONLY: ladder.reduce_only,
    }.get(state.band, ladder.liquidation)


def kept_in(ladder: Ladder) -> Band:
    """The best band of a pool whose call has expired."""
    return Band.MARGIN_CALL if ladder.expired_call is ExpiredCall.NOTIFY else Band(ladder.expired_call)


def verdict(state: LadderState, figures: Figures, ladder: Ladder) -> Verdict:
    """Where these figures lead the pool, whatever is held or withheld; both ways of being liquidated are one."""
    entered = _kept(band_at(figures, ladder), state, ladder)
    now = min(state.band, Band.LIQUIDATION, key=SEVERITY.__getitem__)
    if SEVERITY[entered] > SEVERITY[now]:
        return min(entered, Band.LIQUIDATION, key=SEVERITY.__getitem__)
    leaving_to = _kept(band_at(figures, ladder, exiting=True), state, ladder)
    return LEAVING if SEVERITY[leaving_to] < SEVERITY[now] else now


def advance(
    state: LadderState,
    figures: Figures,
    now_ns: int,
    ladder: Ladder,
    hold: int | None = None,
    *,
    doubt_hold_ns: int = 0,
) -> LadderState:
    """Band, flag, hold timer and deadline of the pool at event time `now_ns`; what was said is the caller's to keep.

    `hold` is the number of the breaker's opening while it is open. A flag for doubt that is in `figures` stays for
    `doubt_hold_ns`.
    """
    state, figures = _doubted(state, figures, now_ns, doubt_hold_ns)
    after = _freed(state, _moved(state, figures, now_ns, ladder, hold))
    if after is state:
        return state
    after = _with_deadline(state, after, now_ns, ladder)
    due = after.deadline_ns is not None and after.deadline_ns <= now_ns and not after.expired
    if not due or after.exit_since_ns is not None:
        return after
    expired = _replace(after, expired=True)
    return _freed(state, _moved(expired, figures, now_ns, ladder, hold))


def _doubted(state: LadderState, figures: Figures, now_ns: int, hold_ns: int) -> tuple[LadderState, Figures]:
    """Doubt as it is held: until when, and the figures flagged by it. It ends at once where no price is doubted any more."""
    until_ns = state.degraded_until_ns
    held = until_ns is not None and now_ns < until_ns and figures.doubted
    if held or not figures.degraded:
        if not held and until_ns is not None:
            state = _replace(state, degraded_until_ns=None)
        return state, _replace(figures, degraded=True) if held and not figures.degraded else figures
    until_ns = now_ns + hold_ns if hold_ns else None
    return _replace(state, degraded_until_ns=until_ns), figures


def _moved(
    state: LadderState, figures: Figures, now_ns: int, ladder: Ladder, hold: int | None = None
) -> LadderState:
    withheld = figures.degraded and ladder.withhold_liquidation_when_degraded
    by_figures = band_at(figures, ladder)
    waits = withheld or state.held_by is not None
    state, by_figures = _confirmed(state, by_figures, now_ns, ladder, withheld=waits)
    entered = _kept(by_figures, state, ladder)
    if hold is not None or state.held_by is not None:
        state = _held(state, entered, hold, withheld=withheld)
        withheld = withheld or state.held_by is not None
    if withheld:
        entered = min(entered, Band.REDUCE_ONLY, key=SEVERITY.__getitem__)
    if SEVERITY[entered] > SEVERITY[state.band]:
        return _replace(state, band=entered, degraded=figures.degraded, exit_since_ns=None)
    if state.band is Band.HEALTHY:
        return state if state.degraded == figures.degraded else _replace(state, degraded=figures.degraded)
    leaving_to = _kept(band_at(figures, ladder, exiting=True), state, ladder)
    if SEVERITY[leaving_to] >= SEVERITY[state.band] or (withheld and leaving_to is Band.LIQUIDATION):
        return _replace(state, degraded=figures.degraded, exit_since_ns=None)
    since_ns = now_ns if state.exit_since_ns is None else state.exit_since_ns
    if now_ns - since_ns < ladder.exit_hold_seconds * NANOSECONDS:
        return _replace(state, degraded=figures.degraded, exit_since_ns=since_ns)
    return _replace(state, band=leaving_to, degraded=figures.degraded, exit_since_ns=None)


def _confirmed(
    state: LadderState, band: Band, now_ns: int, ladder: Ladder, *, withheld: bool
) -> tuple[LadderState, Band]:
    """The band that the figures say, as far as it is confirmed, and since when a liquidation waits for that."""
    confirm_ns = int(ladder.liquidation_confirm_ms * NANOSECONDS / 1000)
    crossing = SEVERITY[band] >= SEVERITY[Band.LIQUIDATION] > SEVERITY[state.band]
    if not confirm_ns or not crossing or withheld:
        return state if state.crossed_since_ns is None else _replace(state, crossed_since_ns=None), band
    since_ns = now_ns if state.crossed_since_ns is None else state.crossed_since_ns
    if now_ns - since_ns >= confirm_ns:
        return _replace(state, crossed_since_ns=None), band
    if state.crossed_since_ns is None:
        state = _replace(state, crossed_since_ns=since_ns)
    return state, Band.REDUCE_ONLY


def _held(state: LadderState, entered: Band, hold: int | None, *, withheld: bool) -> LadderState:
    """Held is who would enter liquidation or bankruptcy while the breaker is open, until the band gets better or it closes."""
    condemned = SEVERITY[entered] > max(SEVERITY[Band.REDUCE_ONLY], SEVERITY[state.band]) and not withheld
    held_by = hold if condemned or state.held_by is not None else None
    return state if held_by == state.held_by else _replace(state, held_by=held_by)


def _freed(before: LadderState, after: LadderState) -> LadderState:
    """A better band ends the hold."""
    if after.held_by is None or SEVERITY[after.band] >= SEVERITY[before.band]:
        return after
    return _replace(after, held_by=None)


def _kept(band: Band, state: LadderState, ladder: Ladder) -> Band:
    """The band, or the worse one that an expired call keeps the pool in."""
    if not state.expired or SEVERITY[band] < SEVERITY[Band.MARGIN_CALL]:
        return band
    return max(band, kept_in(ladder), key=SEVERITY.__getitem__)


def _with_deadline(before: LadderState, after: LadderState, now_ns: int, ladder: Ladder) -> LadderState:
    """A call begins, becomes urgent, goes on, or is over."""
    if SEVERITY[after.band] < SEVERITY[Band.MARGIN_CALL]:
        return _replace(after, deadline_ns=None, expired=False)
    deadlines = [] if after.deadline_ns is None else [after.deadline_ns]
    for band, seconds in (
        (Band.MARGIN_CALL, ladder.call_deadline_seconds),
        (Band.REDUCE_ONLY, ladder.urgent_call_deadline_seconds),
    ):
        if seconds is not None and SEVERITY[before.band] < SEVERITY[band] <= SEVERITY[after.band]:
            deadlines.append(now_ns + int(seconds * NANOSECONDS))
    first_ns = min(deadlines, default=None)
    return after if first_ns == after.deadline_ns else _replace(after, deadline_ns=first_ns)
