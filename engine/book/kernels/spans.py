"""Figures of a row at the present prices, wherever doubted ones may lie, and how far it is from having anything to say."""

from typing import Any, NamedTuple

import numpy as np

from engine.book.columns import Columns
from engine.book.kernels.compiling import compiled
from engine.book.kernels.row_flags import (
    CERTAIN,
    DEGRADED,
    EMPTY_IS_QUIET,
    ISOLATED,
    NEGATIVE,
    NEVER,
    NOT_ABOVE,
    NOT_BELOW,
    POSITIVE,
    SECURES,
    STOPPED,
)
from engine.book.ragged import Array

EPSILON = 2.0**-40
"""Relative bound of the rounding errors; see above."""
REACH_MAX = 0.5
"""The widest box: wider ones would hardly ever be left later, and prices must stay positive."""
TERMS_MAX = 2048
"""Terms of a row within the error bound; a larger row is always judged exactly."""
ENTRY_ROUNDING = 1e-18
"""`numbers.divide` rounds an average entry price by at most half of this."""
Record = Any
"""One record of a column: its fields are attributes to the compiler, and unknown to the type checker."""


class Span(NamedTuple):
    """Least and greatest figures of a row, in account currency; they differ only where a price is doubted."""

    equity_low: float
    equity_high: float
    collateral_low: float
    collateral_high: float
    maintenance_low: float
    maintenance_high: float
    weight: float
    """Sum of the magnitudes of everything added up: the scale of the rounding error."""
    doubted: bool
    """A price is doubted, whether or not the figures need it."""
    unknown: bool
    """A price that the figures need is bounded by nothing."""


class Room(NamedTuple):
    """How far a row is from having anything to say, in account currency. Both above 0: a judgement changes nothing."""

    lower: float
    """The least of what must stay above 0 and falls as equity falls: C - low * MM, E."""
    upper: float
    """The least of what must stay above 0 and falls as equity rises: high * MM - C or, if greater, - E; - E."""
    weight: float
    """As in `Span`; 0 of a row without terms."""


@compiled
def span(  # noqa: C901, PLR0912, PLR0915 - one loop: a call for each term would count references to every array
    symbols: Array,
    assets: Array,
    tiers: Array,
    terms: Array,
    flags: int,
    first: int,
    end: int,
    doubts: bool,  # noqa: FBT001 - compiled
) -> Span:
    """Figures of a row with terms `first` to `end`; `doubts`: with every doubted price anywhere in its plausible range.

    Indices are unsigned, because a signed one is asked at each use whether it counts from the end.
    """
    equity_low = equity_high = collateral_low = collateral_high = 0.0
    maintenance_low = maintenance_high = weight = 0.0
    doubted = unknown = False
    i, stop = np.uint64(first), np.uint64(end)
    while i < stop:
        asset = terms[i].asset
        spec = assets[np.uint32(asset)]
        low = high = required_low = required_high = gross = 0.0
        while i < stop and terms[i].asset == asset:
            held = terms[i]
            i += np.uint64(1)
            amount, entry = held.amount, held.entry
            if held.symbol < 0:
                low += amount
                high += amount
                gross += abs(amount)
                continue
            symbol = symbols[np.uint32(held.symbol)]
            # value = quantity * multiplier * mark
            near = far = amount * symbol.price
            if symbol.haircut > 0 or not symbol.known:
                doubted |= symbol.haircut > 0
                unknown |= symbol.haircut == np.inf
                if not symbol.known:
                    slack = abs(amount) * ENTRY_ROUNDING
                    near, far = entry - slack, entry + slack
                elif doubts:
                    haircut = min(symbol.haircut, 1.0)
                    near, far = near * (1 - haircut), far * (1 + haircut)
            least, most = abs(near), abs(far)
            if least > most:
                least, most = most, least
            if near < 0 < far:
                least = 0.0
            # uPnL = value - entry value
            low += min(near, far) - entry
            high += max(near, far) - entry
            # MM = tier rate * notional - tier deduction
            tier, highest = np.uint32(symbol.tier_first), np.uint32(symbol.tier_end - 1)
            while tier < highest and least >= tiers[tier + np.uint32(1)].floor:
                tier += np.uint32(1)
            required_low += tiers[tier].rate * least + tiers[tier].offset
            while tier < highest and most >= tiers[tier + np.uint32(1)].floor:
                tier += np.uint32(1)
            required_high += tiers[tier].rate * most + tiers[tier].offset
            gross += most + abs(entry)
        index_low = index_high = 1.0
        fresh = may_count = True
        if spec.symbol >= 0:
            index = symbols[np.uint32(spec.symbol)]
            fresh = index.fresh != 0
            may_count = fresh or (doubts and index.haircut < np.inf)
            doubted |= index.haircut > 0
            unknown |= index.haircut == np.inf and flags & SECURES != 0
            if index.known:
                index_low = index_high = index.price
                if doubts and index.haircut > 0:
                    haircut = min(index.haircut, 1.0)
                    index_low, index_high = index_low * (1 - haircut), index_high * (1 + haircut)
        # E = sum over assets of E_a * index_a
        equity_low += min(low * index_low, low * index_high)
        equity_high += max(high * index_low, high * index_high)
        if flags & ISOLATED:
            collateral_low, collateral_high = equity_low, equity_high
        else:
            if spec.borrow_first < spec.borrow_end:
                # borrow MM = marginal tiers of the coins owed * rate
                required_low += piecewise(tiers, spec.borrow_first, spec.borrow_end, max(-high, 0.0))
                required_high += piecewise(tiers, spec.borrow_first, spec.borrow_end, max(-low, 0.0))
            # C = sum over assets of value(E_a) * index_a
            worth_low = worth(tiers, spec, low, fresh)
            worth_high = worth(tiers, spec, high, may_count)
            collateral_low += min(worth_low * index_low, worth_low * index_high)
            collateral_high += max(worth_high * index_low, worth_high * index_high)
        # MM = sum over assets of (MM of positions settled in it + borrow MM) * index
        maintenance_low += required_low * index_low
        maintenance_high += required_high * index_high
        weight += gross * index_high * spec.liability
    return Span(
        equity_low,
        equity_high,
        collateral_low,
        collateral_high,
        maintenance_low,
        maintenance_high,
        weight,
        doubted,
        unknown,
    )


@compiled
def present(columns: Columns, flags: int, first: int, end: int) -> Span:
    """Figures of the terms `first` to `end` of a row at the present prices, nothing doubted."""
    return span(columns.symbols, columns.assets, columns.tiers, columns.terms, flags, first, end, False)  # noqa: FBT003 - compiled


@compiled
def asks_doubts(flags: int) -> bool:
    """Whether what a row needs must hold in the whole plausible range of doubted prices.

    A flag for doubt stays until its timer runs out, or until no price is doubted any more: so long the range says nothing.
    """
    return flags & (STOPPED | DEGRADED) == 0


@compiled
def room(
    symbols: Array, assets: Array, tiers: Array, rows: Array, terms: Array, row: int, first: int
) -> Room:
    """What is left at the present prices until a judgement of `row` could change anything; `first` is where its terms begin."""
    held = rows[row]
    flags = held.flags
    if flags & NEVER:
        return Room(-1.0, -1.0, 0.0)
    if held.terms == 0:
        quiet = flags & EMPTY_IS_QUIET and (flags & STOPPED != 0) == (flags & DEGRADED != 0)
        left = np.inf if quiet else -1.0
        return Room(left, left, 0.0)
    at = span(symbols, assets, tiers, terms, flags, first, first + held.terms, asks_doubts(flags))
    if flags & STOPPED:
        known = flags & DEGRADED != 0
    elif flags & DEGRADED:
        known = at.doubted
    else:
        known = not at.unknown and (flags & CERTAIN == 0 or not at.doubted)
    if not known:
        return Room(-1.0, -1.0, at.weight)
    error = EPSILON * at.weight
    lower = upper = np.inf
    if flags & NOT_BELOW:
        # C - low * MM >= 0
        lower = at.collateral_low - held.low * at.maintenance_high - error * (1 + 4 * held.low)
    if flags & NOT_ABOVE:
        # high * MM - C > 0, or equity < 0
        line = held.high * at.maintenance_low - at.collateral_high - error * (1 + 4 * held.high)
        upper = max(line, -at.equity_high - error)
    if flags & POSITIVE:
        lower = min(lower, at.equity_low - error)
    if flags & NEGATIVE:
        upper = min(upper, -at.equity_high - error)
    return Room(lower, upper, at.weight)


@compiled
def piecewise(tiers: Array, first: int, end: int, amount: float) -> float:
    """The amount counted by the tier that holds it: rate * amount + offset."""
    i = first
    while i + 1 < end and amount >= tiers[i + 1].floor:
        i += 1
    counted: float = tiers[i].rate * amount + tiers[i].offset
    return counted


@compiled
def worth(tiers: Array, asset: Record, amount: float, fresh: bool) -> float:  # noqa: FBT001
    """Value at index 1: marginal tiers of a positive amount (0 when stale), a liability at its factor."""
    worth = 0.0
    if amount < 0:
        worth = amount * asset.liability
    elif fresh:
        worth = piecewise(tiers, asset.tier_first, asset.tier_end, amount)
    return worth
