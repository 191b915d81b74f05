"""Profit of a contract whose funding is kept as an index that accumulates what one unit pays.

Source: derivexyz/v2-core, PerpAsset.
"""

from decimal import Decimal

from engine.numbers import ZERO, exact


def profit_with_funding(
    quantity: Decimal,
    mark: Decimal,
    entry: Decimal,
    funding_index: Decimal = ZERO,
    funding_index_entry: Decimal = ZERO,
) -> Decimal:
    """Unrealised P&L of a linear contract with the funding it has run up since its funding was last settled.

    quantity * (mark - entry) - quantity * (funding index - funding index then); the index accumulates what one unit pays
    """
    with exact():
        return quantity * (mark - entry) - quantity * (funding_index - funding_index_entry)
