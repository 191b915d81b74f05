"""Whether an answer is what a case expects.

A number is equal within abs + rel * |expected|; lists and mappings are compared element by element; everything
else (booleans, words, null) must be the same. A number may be written as a string where JSON readers would lose
digits of it.
"""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import msgspec

from engine.numbers import ZERO, exact
from tests.conformance.registry import Answer, number


class Tolerance(msgspec.Struct, frozen=True):
    """How far a number may be from the expected one."""

    abs: Decimal = ZERO
    rel: Decimal = ZERO


class Difference(msgspec.Struct, frozen=True):
    """One figure: what was expected, what came, and whether that is within tolerance."""

    key: str
    expected: Any
    got: Any
    same: bool


MISSING = "(no such figure)"


def differences(expected: Mapping[str, Any], answer: Answer, tolerance: Tolerance) -> list[Difference]:
    """One entry per expected key, in the case's order."""
    return [
        Difference(key, value, answer[key], same(value, answer[key], tolerance))
        if key in answer
        else Difference(key, value, MISSING, same=False)
        for key, value in expected.items()
    ]


def same(expected: Any, got: Any, tolerance: Tolerance) -> bool:
    """Whether `got` is `expected` within `tolerance`."""
    if isinstance(expected, Mapping):
        return isinstance(got, Mapping) and all(
            key in got and same(value, got[key], tolerance) for key, value in expected.items()
        )
    if isinstance(expected, list):
        return (
            isinstance(got, list | tuple)
            and len(got) == len(expected)
            and all(same(want, have, tolerance) for want, have in zip(expected, got, strict=True))
        )
    if isinstance(expected, bool) or isinstance(got, bool):
        return expected is got
    if isinstance(got, Decimal | int):
        return _near(expected, number(got), tolerance)
    return type(expected) is type(got) and bool(expected == got)


def _near(expected: Any, got: Decimal, tolerance: Tolerance) -> bool:
    try:
        wanted = number(expected)
    except ValueError:
        return False
    if not (wanted.is_finite() and got.is_finite()):
        return wanted == got
    with exact():
        # |got - expected| <= abs + rel * |expected|
        return abs(got - wanted) <= tolerance.abs + tolerance.rel * abs(wanted)
