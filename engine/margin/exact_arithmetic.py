"""`arithmetic.Arithmetic` of exact numbers: nothing is rounded but quotients, and where a policy says so.

Call everything inside `engine.numbers.exact()`.
"""

from collections.abc import Callable, Sequence
from decimal import Decimal

from engine import numbers
from engine.numbers import ZERO, to_step
from engine.policy.rules.asset_terms import TierLine

NOTHING = ZERO
divide = numbers.divide
magnitude: Callable[[Decimal], Decimal] = abs


def fixed(amount: Decimal) -> Decimal:
    """The amount itself."""
    return amount


def larger(first: Decimal, second: Decimal) -> Decimal:
    """max(first, second)."""
    return max(first, second)


def smaller(first: Decimal, second: Decimal) -> Decimal:
    """min(first, second)."""
    return min(first, second)


def above_zero(amount: Decimal) -> Decimal:
    """max(0, amount)."""
    return amount if amount > 0 else ZERO


def parts(amount: Decimal) -> tuple[Decimal | None, Decimal | None]:
    """The amount is one or the other; 0 is a positive one."""
    return (None, -amount) if amount < 0 else (amount, None)


def weighted(profit: Decimal, weight: Decimal) -> Decimal:
    """A profit times its weight, a loss whole."""
    return profit * weight if profit > 0 else profit


def dampened(profit: Decimal, dampener: Decimal) -> Decimal:
    """A loss less the dampener, a profit as it is."""
    return min(ZERO, profit + dampener) if profit < 0 else profit


def stepped(amount: Decimal, step: Decimal, rounding: str) -> Decimal:
    """The multiple of the step that the rounding picks."""
    return to_step(amount, step, rounding)


def tiered(amount: Decimal, lines: Sequence[TierLine]) -> Decimal:
    """The amount counted by the line that holds it."""
    found = lines[0]
    for line in lines:
        if amount < line[0]:
            break
        found = line
    return found[1] * amount + found[2]
