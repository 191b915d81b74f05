"""What moves of prices take of the room that a row has left: budgets instead of sums anew.

A budget is the whole of an account's room, counted as 1. `spend` says how much of it each move takes at most; bounds that
together take no more than 1 hold, whichever way they are shared out (see above). `stretch` moves a bound that a price has left by
what is left in reserve, without a look at the account's other positions.
"""

import numpy as np

from engine.book.kernels.compiling import compiled
from engine.book.kernels.row_flags import ISOLATED
from engine.book.kernels.spans import ENTRY_ROUNDING, Room, piecewise
from engine.book.ragged import Array

SINGLE = 2.0**-22
"""Relative widening: four times the rounding of single precision."""
PRICE_LEAST = 1e-30
"""Bounds around a price of 0 (a worthless option) are those around this, which no price lies below but 0."""
GRAIN = 2.0**-17
"""How finely it is kept how far a whole budget carries a price: 16 bits for up to half of it."""
CARE = 1 - 2.0**-20
"""Of what a budget pays for: more than all roundings take, those of single precision included."""
_STRIDE = 0.03
"""A bound that is left moves beyond the price by so much of what the reserve pays for: rarely again, and all bounds alike."""


@compiled
def spend(  # noqa: C901, PLR0915 - one loop, as `span`
    symbols: Array,
    assets: Array,
    tiers: Array,
    terms: Array,
    flags: int,
    low_line: float,
    high_line: float,
    left: Room,
    first: int,
    end: int,
    reach: float,
    doubts: bool,  # noqa: FBT001 - compiled
) -> None:
    """Add to each symbol (`fall`, `rise`) what a relative move takes of the row's room, while no price is beyond `reach`."""
    below, above = 1 / left.lower, 1 / left.upper
    down, up = 1 - reach, 1 + reach
    i, stop = np.uint64(first), np.uint64(end)
    while i < stop:
        asset = terms[i].asset
        spec = assets[np.uint32(asset)]
        of_index, index_haircut, dearest = 0, 0.0, 1.0
        indexed = spec.symbol >= 0 and symbols[np.uint32(spec.symbol)].known != 0
        if indexed:
            of_index = spec.symbol
            index_haircut = min(symbols[np.uint32(of_index)].haircut, 1.0) if doubts else 0.0
            dearest = symbols[np.uint32(of_index)].price * (1 + index_haircut) * up
        slope, borrowed = max(1.0, spec.liability), 0.0
        if not flags & ISOLATED:
            for line in range(spec.borrow_first, spec.borrow_end):
                borrowed = max(borrowed, tiers[line].rate)
        # parts of the room that 1 less or more of equity takes, and 1 more or less of MM
        lost, gained = (slope + low_line * borrowed) * below, (slope + high_line * borrowed) * above
        more, less = low_line * below, high_line * above
        owned = owed = required = 0.0
        while i < stop and terms[i].asset == asset:
            held = terms[i]
            i += np.uint64(1)
            amount, entry = held.amount, held.entry
            if held.symbol < 0:
                owned += amount
                owed -= amount
                continue
            symbol = symbols[np.uint32(held.symbol)]
            near = far = entry
            most = abs(entry) + abs(amount) * ENTRY_ROUNDING
            moved = 0.0
            if symbol.known:
                haircut = min(symbol.haircut, 1.0) if doubts else 0.0
                value = amount * max(symbol.price, PRICE_LEAST)
                near, far = value * (down * (1 - haircut)), value * (up * (1 + haircut))
                most = abs(far)
                moved = abs(value) * ((1 + haircut) * dearest)
            owned += max(near, far) - entry
            owed -= min(near, far) - entry
            tier, highest = np.uint32(symbol.tier_first), np.uint32(symbol.tier_end - 1)
            while tier < highest and most >= tiers[tier + np.uint32(1)].floor:
                tier += np.uint32(1)
            rate = tiers[tier].rate
            required += rate * most + tiers[tier].offset
            if amount > 0:
                symbol.fall += moved * max(lost, rate * less)
                symbol.rise += moved * max(rate * more, gained)
            else:
                symbol.fall += moved * (gained + rate * less)
                symbol.rise += moved * (lost + rate * more)
        if indexed:
            owned, owed = max(owned, 0.0), max(owed, 0.0)
            if borrowed > 0:
                required += piecewise(tiers, spec.borrow_first, spec.borrow_end, owed)
            owed *= slope
            index = symbols[np.uint32(of_index)]
            price = max(index.price, PRICE_LEAST) * (1 + index_haircut)
            index.fall += price * max(owned * below, (owed + high_line * required) * above)
            index.rise += price * max((owed + low_line * required) * below, owned * above)


@compiled
def stretch(
    floor: float, ceiling: float, fall: int, rise: int, reserve: float, low: float, high: float
) -> tuple[float, float, float]:
    """Bounds with `low` to `high` within them, and what then is left of the reserve: below 0 if it does not pay for them."""
    if not 0 < floor < ceiling:
        return floor, ceiling, -1.0
    new_floor, new_ceiling = floor, ceiling
    # the price around which the box was given is no less than its floor
    if low < floor:
        whole = fall * GRAIN * floor
        most = reserve * whole * CARE
        new_floor = np.float64(np.float32(floor - min(floor - low + _STRIDE * most, most)))
        reserve = reserve - (floor - new_floor) / whole if new_floor <= low else -1.0
    if high > ceiling:
        whole = rise * GRAIN * floor
        most = reserve * whole * CARE
        new_ceiling = np.float64(np.float32(ceiling + min(high - ceiling + _STRIDE * most, most)))
        reserve = reserve - (new_ceiling - ceiling) / whole if new_ceiling >= high else -1.0
    return new_floor, new_ceiling, reserve * (1 - SINGLE)
