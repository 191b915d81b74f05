"""How far a number may swing while prices stay in a box: arithmetic on bounds.

A box of width x (0 <= x <= reach) around the present prices p0: every price within p0 * (1 - x) .. p0 * (1 + x), everything
else (time, facts of marks) anywhere in its stated range. A `Swing` bounds a number q over such boxes:

    low <= q <= high                          anywhere in the box of width `reach`
    |q - q0| <= slope * x + drift             anywhere in the box of width x

Each function below gives bounds of its result that follow from those of its arguments:

    a + b               |a + b - a0 - b0| <= |a - a0| + |b - b0|
    a * b               = (a - a0) * b + a0 * (b - b0), so at most |a - a0| * most b + most a * |b - b0|
    max, min, | |       no further apart than the arguments are
    1 / a, a > 0        |1/a - 1/a0| = |a - a0| / (a * a0), at most |a - a0| / low^2
    tiers               at most the steepest rate in reach * |a - a0|, and every jump in reach once
    rounded to steps    (a >= 0) less than a step further apart than the arguments are

The functions are an `engine.margin.arithmetic.Arithmetic`, so the formulas of `engine.margin` that are generic run on swings.

Floats round; `engine.book.boxes.reach` leaves room for all of it at once.
"""

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from decimal import Decimal

import msgspec

from engine.numbers import QUOTIENT_DIGITS
from engine.policy.rules.asset_terms import TierLine

ROUNDED = 10.0**-QUOTIENT_DIGITS
"""`numbers.divide` moves two quotients apart by at most this."""
_EDGE = 1e-12
"""Amounts this close to a tier's floor (relative) may be on either side of it."""

_Line = tuple[float, float, float]
"""From this floor up, an amount counts rate * amount + offset."""


class UnboundedError(Exception):
    """No bound is at hand; the argument says why."""


class Swing(msgspec.Struct, frozen=True):
    """Bounds of one number over boxes; see above."""

    low: float
    high: float
    slope: float = 0.0
    drift: float = 0.0

    @property
    def most(self) -> float:
        """Largest magnitude."""
        return max(-self.low, self.high)

    def __add__(self, other: "Swing") -> "Swing":
        return Swing(
            self.low + other.low, self.high + other.high, self.slope + other.slope, self.drift + other.drift
        )

    def __neg__(self) -> "Swing":
        return Swing(-self.high, -self.low, self.slope, self.drift)

    def __sub__(self, other: "Swing") -> "Swing":
        return Swing(
            self.low - other.high, self.high - other.low, self.slope + other.slope, self.drift + other.drift
        )

    def __mul__(self, other: "Swing | Decimal") -> "Swing":
        if not isinstance(other, Swing):
            return self.times(float(other))
        ends = (self.low * other.low, self.low * other.high, self.high * other.low, self.high * other.high)
        mine, others = self.most, other.most
        return Swing(
            min(ends),
            max(ends),
            self.slope * others + mine * other.slope,
            self.drift * others + mine * other.drift,
        )

    def times(self, factor: float) -> "Swing":
        """The number times a constant."""
        low, high, size = self.low * factor, self.high * factor, abs(factor)
        if factor < 0:
            low, high = high, low
        return Swing(low, high, self.slope * size, self.drift * size)

    def loosened(self, drift: float) -> "Swing":
        """The number and an error of up to `drift`, and so up to `drift` further apart."""
        return Swing(self.low - drift, self.high + drift, self.slope, self.drift + drift)


NOTHING = Swing(0.0, 0.0)
ONE = Swing(1.0, 1.0)


def fixed(amount: Decimal | float) -> Swing:
    """A number that does not move."""
    known = float(amount)
    return Swing(known, known)


def price(at: float, reach: float) -> Swing:
    """A price."""
    return Swing(at * (1 - reach), at * (1 + reach), at)


def within(low: float, high: float) -> Swing:
    """A number of which only its range is known."""
    return Swing(low, high, 0.0, high - low)


def total(swings: Iterable[Swing]) -> Swing:
    """Sum."""
    low = high = slope = drift = 0.0
    for one in swings:
        low += one.low
        high += one.high
        slope += one.slope
        drift += one.drift
    return Swing(low, high, slope, drift)


def larger(first: Swing, *others: Swing) -> Swing:
    """The largest of them."""
    low, high, slope, drift = first.low, first.high, first.slope, first.drift
    for one in others:
        low, high = max(low, one.low), max(high, one.high)
        slope, drift = max(slope, one.slope), max(drift, one.drift)
    return Swing(low, high, slope, drift)


def smaller(first: Swing, *others: Swing) -> Swing:
    """The smallest of them."""
    low, high, slope, drift = first.low, first.high, first.slope, first.drift
    for one in others:
        low, high = min(low, one.low), min(high, one.high)
        slope, drift = max(slope, one.slope), max(drift, one.drift)
    return Swing(low, high, slope, drift)


def either(one: Swing, other: Swing) -> Swing:
    """One of both, now this and now that."""
    apart = max(one.high - other.low, other.high - one.low, 0.0)
    return Swing(
        min(one.low, other.low),
        max(one.high, other.high),
        max(one.slope, other.slope),
        max(one.drift, other.drift) + apart,
    )


def above_zero(amount: Swing) -> Swing:
    """max(0, amount)."""
    if amount.high <= 0:
        return NOTHING
    return amount if amount.low >= 0 else Swing(0.0, amount.high, amount.slope, amount.drift)


def magnitude(amount: Swing) -> Swing:
    """|amount|."""
    if amount.low >= 0:
        return amount
    return -amount if amount.high <= 0 else Swing(0.0, amount.most, amount.slope, amount.drift)


def parts(amount: Swing) -> tuple[Swing | None, Swing | None]:
    """max(0, amount) and max(0, -amount); None for one that is 0 all over the box."""
    if amount.low >= 0:
        return amount, None
    return (None if amount.high <= 0 else above_zero(amount)), above_zero(-amount)


def weighted(profit: Swing, weight: Swing) -> Swing:
    """A profit at its weight, a loss whole: as far apart as the profit itself, and the largest profit at how far apart the weights are."""
    low = profit.low * (weight.low if profit.low > 0 else 1.0)
    high = profit.high * (weight.high if profit.high > 0 else 1.0)
    most = max(profit.high, 0.0)
    return Swing(low, high, profit.slope + most * weight.slope, profit.drift + most * weight.drift)


def dampened(profit: Swing, dampener: Decimal) -> Swing:
    """A loss less the dampener, a profit as it is: no further apart than the profits are."""
    less = float(dampener)
    low, high = (min(0.0, it + less) if it < 0 else it for it in (profit.low, profit.high))
    return Swing(low, high, profit.slope, profit.drift)


def stepped(amount: Swing, step: Decimal, rounding: str) -> Swing:  # noqa: ARG001
    """The amount (>= 0) rounded to steps, whichever way: two of them are less than a step further apart."""
    return amount.loosened(float(step))


def divide(numerator: Swing, denominator: Swing | Decimal) -> Swing:
    """Quotient, rounded."""
    if isinstance(denominator, Swing):
        return (reciprocal(denominator) * numerator).loosened(ROUNDED)
    return numerator.times(1 / float(denominator)).loosened(ROUNDED)


def reciprocal(amount: Swing) -> Swing:
    """1 / amount, not rounded."""
    if amount.low <= 0:
        raise UnboundedError("price_of_zero")
    steep = 1 / amount.low**2
    return Swing(1 / amount.high, 1 / amount.low, amount.slope * steep, amount.drift * steep)


def tiered(amount: Swing, by: Sequence[TierLine]) -> Swing:
    """The amount (>= 0) counted by the line of the tier that holds it."""
    lines = [(float(floor), float(rate), float(offset)) for floor, rate, offset in by]
    floors = [line[0] for line in lines]
    low, high = max(amount.low, 0.0), max(amount.high, 0.0)
    first = max(bisect_right(floors, low * (1 - _EDGE)) - 1, 0)
    last = max(bisect_right(floors, high * (1 + _EDGE)) - 1, 0)
    ends = [_counted(lines[first], low), _counted(lines[last], high)]
    steep, jumps = abs(lines[first][1]), 0.0
    for below, line in zip(lines[first:last], lines[first + 1 : last + 1], strict=True):
        steep = max(steep, abs(line[1]))
        before, after = _counted(below, line[0]), _counted(line, line[0])
        ends += (before, after)
        jumps += abs(after - before)
    return Swing(min(ends), max(ends), steep * amount.slope, steep * amount.drift + jumps)


def _counted(line: _Line, amount: float) -> float:
    return line[1] * amount + line[2]
