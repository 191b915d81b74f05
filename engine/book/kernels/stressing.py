"""Who is condemned in each of several markets, and what is lost beyond equity, for the stress of a whole book."""

import numpy as np

from engine.book.columns import Columns
from engine.book.kernels.compiling import compiled
from engine.book.kernels.row_flags import DEGRADED
from engine.book.kernels.spans import EPSILON, span
from engine.book.ragged import Array

_BAND_LIQUIDATION = 4
"""`ladder.SEVERITY` of liquidation."""


@compiled
def stress(
    columns: Columns,
    markets: Array,
    skipped: Array,
    line: float,
    withholds: bool,  # noqa: FBT001
    pools: Array,
    notional: Array,
    deficit: Array,
    equity: Array,
    undecided: Array,
) -> None:
    """Write what becomes of every account that is not `skipped`, by market and account (`analytics.book_stress`).

    `markets` are the symbols in each market. `undecided` are accounts of which a pool is within the rounding error of the line
    or of bankruptcy in a market: what is written of them does not count.
    """
    assets, tiers, rows, terms = columns.assets, columns.tiers, columns.rows, columns.terms
    for account in range(len(skipped)):
        if skipped[account]:
            continue
        first_row, term = columns.row_start[account], columns.term_start[account]
        for row in range(first_row, first_row + columns.row_count[account]):
            flags, first, end = rows[row].flags, term, term + rows[row].terms
            term = end
            under_way = rows[row].band >= _BAND_LIQUIDATION
            if first == end:
                if row == first_row and under_way:
                    for market in range(len(markets)):
                        pools[market, account] += 1
                continue  # nothing, or an isolated position that is judged no more
            withheld = withholds and flags & DEGRADED != 0
            for market in range(len(markets)):
                at = span(markets[market], assets, tiers, terms, flags, first, end, False)  # noqa: FBT003 - compiled
                equity[market, account] += at.equity_low
                error = EPSILON * at.weight
                gap = at.collateral_low - line * at.maintenance_low
                if abs(gap) <= error * (1 + 4 * line) or abs(at.equity_low) <= error:
                    undecided[account] = 1
                if under_way or (not withheld and (gap < 0 or at.equity_low < 0)):
                    pools[market, account] += 1
                    deficit[market, account] += max(0.0, -at.equity_low)
                    notional[market, account] += _notional(markets[market], assets, terms, first, end)


@compiled
def _notional(symbols: Array, assets: Array, terms: Array, first: int, end: int) -> float:
    """Of the positions among these terms, in account currency."""
    total = 0.0
    i, stop = np.uint64(first), np.uint64(end)
    while i < stop:
        held = terms[i]
        i += np.uint64(1)
        if held.symbol >= 0:
            symbol, index = symbols[held.symbol], assets[held.asset].symbol
            value = held.amount * symbol.price if symbol.known else held.entry
            # |value(mark)| * index(settle); an index that was never seen counts 1
            total += abs(value) * (symbols[index].price if index >= 0 else 1.0)
    return total
