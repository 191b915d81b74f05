"""SPAN's risk arrays, as published examples have them; the engine nets positions before it prices them."""

from collections.abc import Sequence
from decimal import Decimal

from engine.numbers import ZERO, exact


def netted(arrays: Sequence[Sequence[Decimal]], quantities: Sequence[Decimal]) -> list[Decimal]:
    """Risk array of a book: the arrays of P&L per unit, times the quantities, added scenario by scenario.

    Raises ValueError when the arrays differ in length. Source: SPAN, scanning risk.
    """
    with exact():
        return [
            sum((quantity * cell for quantity, cell in zip(quantities, row, strict=True)), ZERO)
            for row in zip(*arrays, strict=True)
        ]
