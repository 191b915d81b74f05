"""Quantities on the grid of an instrument's lots, and the least of them that is enough."""

from collections.abc import Callable
from decimal import Decimal

from engine.numbers import QUOTIENT_DIGITS, whole_steps

FINEST = Decimal(1).scaleb(-QUOTIENT_DIGITS)
"""Lot of what has none: no amount has more digits."""


def lot_of(step: Decimal) -> Decimal:
    """The lot of an instrument with this quantity step."""
    return step or FINEST


def lots_to_cover(amount: Decimal, lot: Decimal) -> int:
    """The least number of lots that is `amount` (>= 0) or more."""
    return int(whole_steps(amount, lot, "up"))


def tradable(count: int, smallest: int, amount: Decimal, lot: Decimal) -> int:
    """The least lots from `count` (> 0) on that can be traded of `amount`, and leave nothing that cannot; `smallest`: lots of the least order."""
    count, whole = max(count, smallest), lots_to_cover(amount, lot)
    # the last lot may be a part: where there is a least order, what is left has to be one by itself
    left = whole_steps(amount, lot, "down") - count
    return count if left >= smallest else whole


Probe = Callable[[int], tuple[Decimal, bool]]
"""What a number of lots does: the distance to the line, and whether it is reached (which a distance >= 0 may not be)."""


def least(probe: Probe, short: int, short_gap: Decimal, enough: int, enough_gap: Decimal) -> int:
    """The least count above `short`, which is known not to reach, up to `enough`, which is known to.

    Secant on the bracket, with a bisection whenever a secant step did not halve it; where the distance is not monotonic,
    one of the counts that reach while the count below does not. Inside `numbers.exact()`.
    """
    low, low_gap, high, high_gap = short, short_gap, enough, enough_gap
    while (width := high - low) > 1:
        for choose in (_secant, _middle):
            at = choose(low, low_gap, high, high_gap)
            gap, reached = probe(at)
            if reached:
                high, high_gap = at, gap
                # within a linear piece the secant is exact, so the count below is the one to ask
                if high - low > 1 and choose is _secant:
                    gap, reached = probe(high - 1)
                    if not reached:
                        return high
                    high, high_gap = high - 1, gap
            else:
                low, low_gap = at, gap
            if 2 * (high - low) <= width:
                break
    return high


def _secant(low: int, low_gap: Decimal, high: int, high_gap: Decimal) -> int:
    if not low_gap < 0 <= high_gap:
        return _middle(low, low_gap, high, high_gap)
    # low + width * -gap(low) / (gap(high) - gap(low)), rounded up, strictly between the two
    steps = int(whole_steps((high - low) * -low_gap, high_gap - low_gap, "up"))
    return max(low + 1, min(high - 1, low + steps))


def _middle(low: int, _low_gap: Decimal, high: int, _high_gap: Decimal) -> int:
    return (low + high) // 2
