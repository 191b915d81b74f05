"""What accounts lack to the exit lines of their bands, where a judgement at the present prices would change nothing of these."""

from engine.book.columns import Columns
from engine.book.kernels.bounds import dismiss, examine
from engine.book.kernels.compiling import compiled
from engine.book.kernels.spans import EPSILON, present
from engine.book.ragged import Array


@compiled
def missing(columns: Columns, accounts: Array, lines: Array, least: Array, most: Array, quiet: Array) -> None:
    """Examine accounts and write between what each of their rows lacks to its line; of whom `quiet` says no, nothing is written.

    `lines`, `least` and `most` are by row, those of the first account first.
    """
    place = 0
    for i in range(len(accounts)):
        account = accounts[i]
        first, rows = columns.row_start[account], columns.row_count[account]
        quiet[i] = examine(columns, account)
        if quiet[i]:
            _write_missing(columns, account, first, rows, lines[place:], least[place:], most[place:])
        else:
            dismiss(columns, account)
        place += rows


@compiled
def _write_missing(
    columns: Columns, account: int, first: int, count: int, lines: Array, least: Array, most: Array
) -> None:
    term = columns.term_start[account]
    for i in range(count):
        row = columns.rows[first + i]
        at = present(columns, row.flags, term, term + row.terms)
        term += row.terms
        error = EPSILON * at.weight * (1 + 4 * lines[i])
        # max(0, line * MM - C)
        least[i] = max(0.0, lines[i] * at.maintenance_low - at.collateral_high - error)
        most[i] = max(0.0, lines[i] * at.maintenance_high - at.collateral_low + error)
