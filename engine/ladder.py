"""The ladder: from a pool's figures to its band, with hysteresis in event time.

    band            entered when                      the account may
    healthy         C >= warning * MM                 trade
    warning         C <  warning * MM                 trade, and is told
    margin_call     C <  margin_call * MM             trade, and is asked for collateral
    reduce_only     C <  reduce_only * MM             only reduce
    liquidation     C <  liquidation * MM             be liquidated
    bankrupt        equity <= 0 (< 0 without MM)      be taken over at the bankruptcy price

Rules
-----
* Lines are compared by multiplication, never through a rounded ratio; without a requirement there is no ratio, but
  collateral that after haircuts no longer covers the liabilities (C < 0) is below every line.
* Getting worse takes effect at once, over as many bands as the figures say.
* Getting better needs the figures above the current band's line plus `exit_band`, without interruption, for
  `exit_hold_seconds` of event time; then the band follows the exit lines (again over as many as they say).
* A degraded pool (stale price, stopped account) never *enters* liquidation or bankruptcy where the policy
  withholds that (not by recovering from bankruptcy either); it stops at reduce_only and moves on as soon as it
  can be trusted again.
* One episode from leaving healthy to coming back.
"""

from enum import StrEnum

import msgspec

from engine.margin.figures import Figures
from engine.marks import NANOSECONDS
from engine.numbers import ZERO, exact
from engine.policy import Ladder


class Band(StrEnum):
    """The states of a pool, from best to worst; their order is `SEVERITY`."""

    HEALTHY = "healthy"
    WARNING = "warning"
    MARGIN_CALL = "margin_call"
    REDUCE_ONLY = "reduce_only"
    LIQUIDATION = "liquidation"
    BANKRUPT = "bankrupt"


SEVERITY = {band: severity for severity, band in enumerate(Band)}


class LadderState(msgspec.Struct, frozen=True):
    """Where one pool stands."""

    band: Band = Band.HEALTHY
    episode_id: str | None = None
    """Set from the opening event to the resolving one."""
    degraded: bool = False
    exit_since_ns: int | None = None
    """Event time since which the figures have been above the exit line; None while they are not."""


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
        for band, line in lines:
            if figures.collateral_value < (line + lift) * requirement:
                return band
    return Band.HEALTHY


def advance(state: LadderState, figures: Figures, now_ns: int, ladder: Ladder) -> LadderState:
    """The pool's next state at event time `now_ns`. The episode id is the caller's to set."""
    entered = band_at(figures, ladder)
    withheld = figures.degraded and ladder.withhold_liquidation_when_degraded
    if withheld:
        entered = min(entered, Band.REDUCE_ONLY, key=SEVERITY.__getitem__)
    if SEVERITY[entered] > SEVERITY[state.band]:
        return LadderState(entered, state.episode_id, figures.degraded)
    leaving_to = band_at(figures, ladder, exiting=True)
    if SEVERITY[leaving_to] >= SEVERITY[state.band] or (withheld and leaving_to is Band.LIQUIDATION):
        return LadderState(state.band, state.episode_id, figures.degraded)
    since_ns = now_ns if state.exit_since_ns is None else state.exit_since_ns
    if now_ns - since_ns < ladder.exit_hold_seconds * NANOSECONDS:
        return LadderState(state.band, state.episode_id, figures.degraded, since_ns)
    return LadderState(leaving_to, state.episode_id, figures.degraded)
