"""The only two things that round."""

import math
from fractions import Fraction

_UNITS = 10**18


def quotient(numerator: Fraction, denominator: Fraction) -> Fraction:
    """Half-even at 18 decimal places."""
    return Fraction(round(numerator * _UNITS / denominator), _UNITS)


def stepped(amount: Fraction, step: Fraction, rounding: str) -> Fraction:
    """The multiple of `step` that `rounding` picks: up is away from zero, down towards it."""
    steps = amount / step
    if rounding == "half_even":
        return round(steps) * step
    whole = math.ceil(abs(steps)) if rounding == "up" else math.floor(abs(steps))
    return whole * step if steps >= 0 else -whole * step
