"""How wide an account's box may be: from the exact figures of its pools and how far they can swing.

For each line that a pool must not cross (`encode.Need`), g > 0 is the exact distance to it at the present prices, and

    low line    g = C - low * R,            moves by at most  slope(C) + low * slope(R) per width,
    high line   g = high * R - C (or -E)                      and drift(C) + low * drift(R) whatever the width
so a box of width x keeps it while slope * x + drift < g. The bounds hold up to the reach that they were computed for; a
narrower reach gives tighter bounds and meets fewer edges of tiers, so a few reaches are tried, from wide to narrow.

Rounding: the figures and prices are exact, their floats off by 2^-53 relative; bounds are sums of magnitudes with a few
thousand operations at most, each off by as much. `_MARGIN` = 2^-36 of everything that is added up covers that more than
ten times over; differences within a bound (of deviations, of tier values) carry their own noise.
"""

import math
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from engine.book.boxes.mark_facts import Facts
from engine.book.boxes.pool_swings import PoolSwing, cross, isolated
from engine.book.boxes.swing import UnboundedError
from engine.book.boxes.swing_view import View
from engine.book.boxes.unit_swings import portfolio
from engine.book.encode import Need
from engine.events.pools import CROSS
from engine.ledger.accounts import AccountState
from engine.margin.figures import Figures
from engine.margin.margin_model import model_of
from engine.marks.mark_book import NANOSECONDS, Prices
from engine.policy import Policy
from engine.policy.rules.policy_switches import MarginModel
from engine.position_keys import symbol_of

REACHES = (2.0**-4, 2.0**-8, 2.0**-12)
"""Widths that bounds are computed for, in turn: a wider box would seldom be left later, and most stop at the first."""
REACH_LEAST = 1e-6
"""A narrower box would be left by the next tick: such an account stays with the exact judge."""
HORIZON_NS = 600 * NANOSECONDS
"""How long a box lasts that time moves: ten minutes change options little, but on their last day."""
FOREVER_NS = 2**63 - 1
_MARGIN = 2.0**-36


class Box(NamedTuple):
    """Prices within `reach` (relative) of the present ones change nothing before `until_ns`."""

    reach: float
    until_ns: int


def box(
    state: AccountState,
    pools: Mapping[str, tuple[Need, Figures]],
    prices: Prices,
    facts: Facts,
    policy: Policy,
) -> Box | None:
    """The widest box found in which every pool keeps what it needs; None where that is too narrow to be of use.

    `pools` has the exact figures of each pool at `prices`. Raises UnboundedError, which says why, where no bound is at hand.
    """
    gaps = {pool: list(_gaps(need, figures)) for pool, (need, figures) in pools.items()}
    until_ns, widest = _until_ns(state, prices, policy), 0.0
    for reach in REACHES:
        view = View(policy, prices, facts, reach, until_ns)
        widths = [_width(gaps[pool], _swings(state, pool, view)) for pool in gaps]
        widest = max(widest, min(reach, *widths) if widths else reach)
        if widest >= reach / 16:  # bounds for a narrower reach could not give more
            break
    return Box(widest * (1 - _MARGIN), until_ns) if widest >= REACH_LEAST else None


class _Gap(NamedTuple):
    """Distance to a line, and how much each figure counts in it."""

    room: float
    sizes: float
    """Sum of the magnitudes whose difference it is."""
    equity: float = 0.0
    collateral: float = 0.0
    requirement: float = 0.0


def _gaps(need: Need, figures: Figures) -> Iterator[_Gap]:
    equity, collateral = float(figures.equity), float(figures.collateral_value)
    required = float(figures.requirement)
    if need.low:
        # C - low * R
        line = need.low * required
        yield _Gap(collateral - line, abs(collateral) + line, collateral=1.0, requirement=need.low)
    if need.high:
        # high * R - C, or equity < 0, whichever is further away
        line = need.high * required
        above = _Gap(line - collateral, abs(collateral) + line, collateral=1.0, requirement=need.high)
        yield max(above, _Gap(-equity, abs(equity), equity=1.0))
    if need.positive:
        yield _Gap(equity, abs(equity), equity=1.0)
    if need.negative:
        yield _Gap(-equity, abs(equity), equity=1.0)


def _width(gaps: list[_Gap], pool: PoolSwing) -> float:
    """The width up to which no line can be met."""
    width = 1.0
    for gap in gaps:
        parts = (
            (pool.equity, gap.equity),
            (pool.collateral, gap.collateral),
            (pool.requirement, gap.requirement),
        )
        slope = sum(part.slope * counts for part, counts in parts if counts)
        drift = sum(part.drift * counts for part, counts in parts if counts)
        room = gap.room - drift - _MARGIN * (gap.sizes + slope + drift)
        if not (room > 0 and math.isfinite(slope)):  # nor where a bound overflowed
            return 0.0
        width = min(width, room / slope) if slope else width
    return width


def _swings(state: AccountState, pool: str, view: View) -> PoolSwing:
    if pool != CROSS:
        return isolated(state, pool, view)
    model = model_of(state, view.policy)
    if model is MarginModel.HEALTH:
        raise UnboundedError("health_model")
    return portfolio(state, view) if model is MarginModel.PORTFOLIO else cross(state, view)


def _until_ns(state: AccountState, prices: Prices, policy: Policy) -> int:
    """How long time is bounded: for ever where it moves nothing, and never beyond the next expiry."""
    if model_of(state, policy) is not MarginModel.PORTFOLIO:
        return FOREVER_NS
    expiries = {policy.instruments[symbol_of(key)].expiry_ns for key in state.positions}
    coming = [expiry_ns for expiry_ns in expiries if expiry_ns > prices.time_ns]
    return min(prices.time_ns + HORIZON_NS, *coming) if coming else FOREVER_NS
