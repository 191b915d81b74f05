"""Random decimals that like edges."""

from collections.abc import Sequence
from decimal import Decimal
from random import Random
from typing import TypeVar

from engine.numbers import divide

_T = TypeVar("_T")


def dec(*texts: str) -> tuple[Decimal, ...]:
    """Decimals from texts."""
    return tuple(Decimal(text) for text in texts)


def amount(random: Random, digits: int = 7, places: int = 6) -> Decimal:
    """A positive decimal of up to that many digits, up to that many of them behind the point."""
    return Decimal(random.randrange(1, 10 ** random.randint(1, digits))).scaleb(-random.randint(0, places))


def signed(random: Random, value: Decimal) -> Decimal:
    """The value with a random sign."""
    return -value if random.random() < 0.5 else value


def chance(random: Random, probability: float) -> bool:
    """True with that probability."""
    return random.random() < probability


def rising(random: Random, choices: Sequence[_T], count: int) -> list[_T]:
    """That many different choices, in rising order."""
    return sorted(random.sample(choices, count))


def exact_quotient(numerator: Decimal, denominator: Decimal) -> Decimal | None:
    """The quotient, where it has at most 18 decimal places."""
    quotient = divide(numerator, denominator)
    return quotient if quotient * denominator == numerator else None
