"""From a pool's figures to its band, with hysteresis in event time.

Rules
-----
* Lines are compared by multiplication, never through a rounded ratio; without a requirement there is no ratio, but
  collateral that after haircuts no longer covers the liabilities (C < 0) is below every line.
* Getting worse takes effect at once, over as many bands as the figures say.
* Getting better needs the figures above the current band's line plus `exit_band`, without interruption, for
  `exit_hold_seconds` of event time; then the band follows the exit lines (again over as many as they say).
* A call that is not met by its deadline expires. From then on the pool is kept in the band that `expired_call` names, or a
  worse one, until it is above the exit line of the call. While a pool is on its way out (above its exit line) no call expires.
* A degraded pool (stale price, stopped account) never *enters* liquidation or bankruptcy where the policy
  withholds that (not by recovering from bankruptcy either); it stops at reduce_only and moves on as soon as it
  can be trusted again.
"""

from decimal import Decimal

import msgspec

from engine.ladder.states import SEVERITY, Band, LadderState
from engine.margin.figures import Figures
from engine.marks import NANOSECONDS
from engine.numbers import ZERO, exact
from engine.policy import Ladder

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
    return Band.MARGIN_CALL if ladder.expired_call == "notify" else Band(ladder.expired_call)


def advance(state: LadderState, figures: Figures, now_ns: int, ladder: Ladder) -> LadderState:
    """Band, flag, hold timer and deadline of the pool at event time `now_ns`; what was said is the caller's to keep."""
    after = _moved(state, figures, now_ns, ladder)
    if after is state:
        return state
    after = _with_deadline(state, after, now_ns, ladder)
    due = after.deadline_ns is not None and after.deadline_ns <= now_ns and not after.expired
    if not due or after.exit_since_ns is not None:
        return after
    expired = _replace(after, expired=True)
    return _moved(expired, figures, now_ns, ladder)


def _moved(state: LadderState, figures: Figures, now_ns: int, ladder: Ladder) -> LadderState:
    entered = _kept(band_at(figures, ladder), state, ladder)
    withheld = figures.degraded and ladder.withhold_liquidation_when_degraded
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


def _kept(band: Band, state: LadderState, ladder: Ladder) -> Band:
    """The band, or the worse one that an expired call keeps the pool in."""
    if not state.expired or SEVERITY[band] < SEVERITY[Band.MARGIN_CALL]:
        return band
    return max(band, kept_in(ladder), key=SEVERITY.__getitem__)


def _with_deadline(before: LadderState, after: LadderState, now_ns: int, ladder: Ladder) -> LadderState:
    """A call begins, goes on, or is over."""
    called = SEVERITY[Band.MARGIN_CALL]
    if SEVERITY[after.band] < called:
        return _replace(after, deadline_ns=None, expired=False)
    if SEVERITY[before.band] >= called or ladder.call_deadline_seconds is None:
        return after
    return _replace(after, deadline_ns=now_ns + int(ladder.call_deadline_seconds * NANOSECONDS))
