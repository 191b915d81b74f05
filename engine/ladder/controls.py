"""What an account may do, and how urgently it is called, by where a pool stands.

    band          controls                    call, and what follows where nothing is done
    healthy       trade and withdraw          none
    warning       trade and withdraw          none
    margin_call   trade only                  standard: to be met by its deadline, where the policy sets one
    reduce_only   reduce only                 urgent: liquidation at the next line
    liquidation   locked                      urgent: the exchange executes the plan
    bankrupt      locked                      urgent: the exchange takes the pool over

An account that is stopped is locked, for its figures cannot be trusted. On a doubted price nothing is withdrawn. A call that was not met by
its deadline is aged, in whatever band the pool is kept by it.
"""

from collections.abc import Iterable, Mapping
from decimal import Decimal

import msgspec

from engine.ladder.states import SEVERITY, Band, Called, CallKind, Controls, LadderState
from engine.margin.figures import Figures
from engine.numbers import ZERO, canonical, exact
from engine.policy import Ladder

_CONTROLS = {
    Band.HEALTHY: Controls.TRADE_AND_WITHDRAW,
    Band.WARNING: Controls.TRADE_AND_WITHDRAW,
    Band.MARGIN_CALL: Controls.TRADE_ONLY,
    Band.REDUCE_ONLY: Controls.REDUCE_ONLY,
    Band.LIQUIDATION: Controls.LOCKED,
    Band.BANKRUPT: Controls.LOCKED,
}
_STRICTNESS = {controls: strictness for strictness, controls in enumerate(Controls)}


_replace = msgspec.structs.replace


def told(
    before: LadderState, after: LadderState, figures: Figures, now_ns: int, ladder: Ladder, *, stopped: bool
) -> LadderState:
    """`after` with what its account is told: controls, call, and the figures that a call begins with."""
    controls, call = controls_of(after, stopped=stopped), call_of(after)
    if (controls, call) == (after.controls, after.call):
        return after
    called = after.called
    if call is CallKind.NONE:
        called = None
    elif before.call is CallKind.NONE:
        called = Called(
            now_ns,
            outstanding(call, figures, ladder),
            None if (ratio := figures.ratio) is None else canonical(ratio),
            canonical(figures.equity),
            canonical(figures.collateral_value),
            canonical(figures.maintenance_margin),
        )
    return _replace(after, controls=controls, call=call, called=called)


def outstanding(call: CallKind, figures: Figures, ladder: Ladder) -> Decimal:
    """Collateral value that is missing to be rid of the call: to its exit line; 0 without one."""
    if call is CallKind.NONE:
        return ZERO
    with exact():
        return canonical(figures.shortfall(ladder.margin_call + ladder.exit_band))


def account_controls(pools: Mapping[str, LadderState], concerned: Iterable[str]) -> Controls:
    """What an account may do in these of its pools: what the strictest allows."""
    return strictest([Controls.TRADE_AND_WITHDRAW, *(pools[it].controls for it in concerned if it in pools)])


def controls_of(state: LadderState, *, stopped: bool) -> Controls:
    """What a pool that stands so allows; `stopped` is its account."""
    if stopped:
        return Controls.LOCKED
    of_band = _CONTROLS[state.band]
    return strictest((of_band, Controls.TRADE_ONLY)) if state.degraded else of_band


def strictest(controls: Iterable[Controls]) -> Controls:
    """The one that forbids most."""
    return max(controls, key=_STRICTNESS.__getitem__)


def call_of(state: LadderState) -> CallKind:
    """How urgently a pool that stands so is called."""
    if SEVERITY[state.band] < SEVERITY[Band.MARGIN_CALL]:
        return CallKind.NONE
    if state.expired:
        return CallKind.AGED
    return CallKind.STANDARD if state.band is Band.MARGIN_CALL else CallKind.URGENT
