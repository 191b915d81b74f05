"""How bad an account's figures are, for the order in which accounts are heard."""

from engine.book.columns import Columns
from engine.book.kernels.compiling import compiled
from engine.book.kernels.row_flags import NEVER
from engine.book.kernels.spans import EPSILON, Span, present
from engine.book.ragged import Array

_UNCERTAIN = -1
"""`urgency.UNCERTAIN`."""
_BANKRUPT = 5
"""`ladder.SEVERITY` of bankrupt; the bands between it and healthy have a line each."""


@compiled
def worst_bands(columns: Columns, accounts: Array, lines: Array, worst: Array) -> None:
    """Write to `worst` the severity of the worst band that the figures of each account's pools say.

    -1 within the rounding error of a line, and for those that the columns cannot express.
    `lines` are those of the bands from the best (warning) to the worst (liquidation).
    """
    for i in range(len(accounts)):
        worst[i] = _worst_band(columns, accounts[i], lines)


@compiled
def _worst_band(columns: Columns, account: int, lines: Array) -> int:
    rows, term = columns.rows, columns.term_start[account]
    worst = 0
    for row in range(columns.row_start[account], columns.row_start[account] + columns.row_count[account]):
        flags, first, end = rows[row].flags, term, term + rows[row].terms
        term = end
        if flags & NEVER:
            return _UNCERTAIN
        if first == end:
            continue
        at = present(columns, flags, first, end)
        band = _band(at, lines)
        if band == _UNCERTAIN:
            return _UNCERTAIN
        worst = max(worst, band)
    return worst


@compiled
def _band(at: Span, lines: Array) -> int:
    """As `ladder.band_at`, of figures of a single point."""
    error = EPSILON * at.weight
    if at.equity_low <= error:
        return _BANKRUPT if at.equity_high < -error else _UNCERTAIN
    for place in range(len(lines) - 1, -1, -1):
        line = lines[place]
        # C < line * MM
        above = at.collateral_low - line * at.maintenance_high
        if above <= error * (1 + 4 * line):
            below = at.collateral_high - line * at.maintenance_low
            return place + 1 if below < -error * (1 + 4 * line) else _UNCERTAIN
    return 0
