"""What a formula may do with a number, so that one text of it serves exact figures and bounds of figures alike.

A formula that is generic over its number N adds, multiplies and negates, and asks `Arithmetic` by name for everything that an
exact number would branch on: its sign, its tier, where a venue rounds. `exact_arithmetic` answers for `Decimal`,
`engine.book.boxes.swing` for numbers of which only bounds are known: there "the tier" may be two tiers, and both signs be open.
Amounts that the policy or the account states (rates, quantities, entry values) are `Decimal` in both.
"""

from collections.abc import Sequence
from decimal import Decimal
from typing import Protocol, Self, TypeVar

from engine.policy.rules.asset_terms import TierLine


class Number(Protocol):
    """What is computed with."""

    def __add__(self, other: Self, /) -> Self: ...
    def __sub__(self, other: Self, /) -> Self: ...
    def __mul__(self, other: Self | Decimal, /) -> Self: ...
    def __neg__(self) -> Self: ...


N = TypeVar("N", bound=Number)


class Arithmetic(Protocol[N]):
    """The operations on one kind of number; a module is one."""

    @property
    def NOTHING(self) -> N:  # noqa: N802
        """0."""

    def fixed(self, amount: Decimal, /) -> N:
        """A number that is known and does not move."""

    def divide(self, numerator: N, denominator: N | Decimal, /) -> N:
        """Quotient, rounded as `engine.numbers.divide` has it."""

    def larger(self, first: N, second: N, /) -> N:
        """max(first, second)."""

    def smaller(self, first: N, second: N, /) -> N:
        """min(first, second)."""

    def magnitude(self, amount: N, /) -> N:
        """|amount|."""

    def above_zero(self, amount: N, /) -> N:
        """max(0, amount)."""

    def parts(self, amount: N, /) -> tuple[N | None, N | None]:
        """max(0, amount) and max(0, -amount); None for one that is surely 0, but never for both."""

    def weighted(self, profit: N, weight: N, /) -> N:
        """A profit times its weight (0..1), a loss whole."""

    def dampened(self, profit: N, dampener: Decimal, /) -> N:
        """A loss less the dampener (>= 0), 0 at most; a profit as it is."""

    def stepped(self, amount: N, step: Decimal, rounding: str, /) -> N:
        """Rounded to a multiple of the step as `engine.numbers.to_step` has it."""

    def tiered(self, amount: N, lines: Sequence[TierLine], /) -> N:
        """What the line that holds the amount (>= 0) makes of it; an edge belongs to the line above it."""
