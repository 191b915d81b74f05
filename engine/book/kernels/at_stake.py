"""What all accounts hold together, for the breaker."""

from engine.book.columns import Columns
from engine.book.kernels.compiling import compiled
from engine.book.ragged import Array


@compiled
def holdings(columns: Columns, accounts: int, contracts: Array, wallets: Array) -> int:
    """Add gross contracts by symbol and wallets by asset (and twin); returns how many of the first `accounts` hold or owe anything."""
    exposed = 0
    row_start, row_count, rows = columns.row_start, columns.row_count, columns.rows
    for account in range(accounts):
        term = columns.term_start[account]
        end = term
        for row in range(row_start[account], row_start[account] + row_count[account]):
            end += rows[row].terms
        found = False
        while term < end:
            it = columns.terms[term]
            if it.symbol < 0:
                wallets[it.asset] += it.amount
                found = found or it.amount < 0
            else:
                contracts[it.symbol] += abs(it.amount)
                found = True
            term += 1
        exposed += found
    return exposed
