"""Counts and sums over all accounts, for metrics."""

from typing import NamedTuple

import numpy as np

from engine.book.columns import Columns
from engine.book.kernels.compiling import compiled
from engine.book.kernels.row_flags import DEGRADED, OPEN, STOPPED
from engine.book.kernels.spans import piecewise, present, worth
from engine.book.ragged import Array


class Sums(NamedTuple):
    """`port.Totals` in numbers."""

    by_band: Array
    isolated_by_band: Array
    below: Array
    degraded: int
    stopped: int
    equity: float
    maintenance: float


def total(columns: Columns, accounts: int, edges: Array) -> Sums:
    """Count and sum over the first `accounts` accounts."""
    by_band, isolated, below = np.zeros(6, np.int64), np.zeros(6, np.int64), np.zeros(len(edges), np.int64)
    of_all = _total(columns, accounts, edges, by_band, isolated, below)
    return Sums(by_band, isolated, below, *of_all)


@compiled
def _total(
    columns: Columns, accounts: int, edges: Array, by_band: Array, isolated: Array, below: Array
) -> tuple[int, int, float, float]:
    """Add up bands, of isolated positions too, and who stands below each edge; degraded, stopped, equity and MM of all."""
    degraded = stopped = 0
    row_start, row_count, rows = columns.row_start, columns.row_count, columns.rows
    for account in range(accounts):
        first, count = row_start[account], row_count[account]
        cross = rows[first]
        by_band[cross.band] += 1
        stopped += cross.flags & STOPPED != 0
        flags = 0
        for row in range(first, first + count):
            flags |= rows[row].flags
            if rows[row].flags & OPEN:
                isolated[rows[row].band] += 1
        degraded += flags & DEGRADED != 0
    equity, maintenance = _sum(
        columns.symbols,
        columns.assets,
        columns.tiers,
        row_start,
        rows,
        columns.term_start,
        columns.terms,
        accounts,
        edges,
        below,
    )
    return degraded, stopped, equity, maintenance


@compiled
def equity_of(columns: Columns, accounts: Array) -> float:
    """Equity of the shared pools of these accounts; 0 for those without terms."""
    equity = 0.0
    for account in accounts:
        row = columns.rows[columns.row_start[account]]
        first = columns.term_start[account]
        at = present(columns, row.flags, first, first + row.terms)
        equity += at.equity_low
    return equity


@compiled
def _sum(
    symbols: Array,
    assets: Array,
    tiers: Array,
    row_start: Array,
    rows: Array,
    term_start: Array,
    terms: Array,
    accounts: int,
    edges: Array,
    below: Array,
) -> tuple[float, float]:
    """Equity and MM of the shared pools, and in `below` how many stand below each edge.

    `span` without doubts, in one loop: a call for each account would count references to every array.
    """
    equity_sum = maintenance_sum = 0.0
    for account in range(accounts):
        equity = collateral = maintenance = 0.0
        i = np.uint64(term_start[account])
        end = i + np.uint64(rows[row_start[account]].terms)
        while i < end:
            asset = terms[i].asset
            spec = assets[np.uint32(asset)]
            held = required = 0.0
            while i < end and terms[i].asset == asset:
                term = terms[i]
                if term.symbol < 0:
                    held += term.amount
                else:
                    symbol = symbols[np.uint32(term.symbol)]
                    # value = quantity * multiplier * mark; without a mark the entry value
                    value = term.amount * symbol.price if symbol.known else term.entry
                    held += value - term.entry
                    # `piecewise`
                    tier, highest = np.uint32(symbol.tier_first), np.uint32(symbol.tier_end - 1)
                    while tier < highest and abs(value) >= tiers[tier + np.uint32(1)].floor:
                        tier += np.uint32(1)
                    required += tiers[tier].rate * abs(value) + tiers[tier].offset
                i += np.uint64(1)
            index, fresh = 1.0, True
            if spec.symbol >= 0:
                quote = symbols[np.uint32(spec.symbol)]
                fresh = quote.fresh != 0
                index = quote.price if quote.known else 1.0
            if held < 0 and spec.borrow_first < spec.borrow_end:
                required += piecewise(tiers, spec.borrow_first, spec.borrow_end, -held)
            equity += held * index
            collateral += worth(tiers, spec, held, fresh) * index
            maintenance += required * index
        equity_sum += equity
        maintenance_sum += maintenance
        if maintenance > 0:
            for edge in range(len(edges)):
                below[edge] += collateral < edges[edge] * maintenance
    return equity_sum, maintenance_sum
