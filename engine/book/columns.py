"""The columns of the screening book: what the compiled code reads and writes, field by field.

    account --> rows     one per pool: the cross pool first, then each isolated position
            --> terms    the rows' wallets and positions, row by row, grouped by asset within a row
            --> watches  every price symbol that any of its pools depends on, with the slot there
    symbol  --> holders  for each account that watches it: the prices between which the account stays silent
                         (`floor`, `ceiling`), summarised per block of `kernels.BLOCK` holders, and how far
                         its whole budget would move each of them (`fall`, `rise`)

Scanned data (holders) lies in plain arrays; data reached by a jump (terms, rows) in records, one cache line each.
Prices between which nobody speaks are single precision, rounded inwards: half the memory to scan.
"""

from struct import Struct
from typing import NamedTuple

import numpy as np

from engine.book.ragged import Array

SYMBOL = np.dtype(
    [
        ("price", "f8"),
        (
            "haircut",
            "f8",
        ),  # the price lies within this part of itself; 0 is certain, infinity not known at all
        ("sourced", "f8"),  # ... as far as a second source has a say
        ("stale_after_ns", "i8"),
        ("fall", "f8"),  # of the account that is being examined: what a move down or up takes of its budget,
        ("rise", "f8"),  # relative to the price
        ("tier_first", "i4"),  # its risk tiers; none for an index
        ("tier_end", "i4"),
        ("known", "u1"),  # had a mark
        ("fresh", "u1"),  # collateral priced by it counts
        ("turned", "u1"),  # what is doubted of it has changed in the instant that is being walked
    ],
    align=True,
)
ASSET = np.dtype(
    [
        ("liability", "f8"),
        ("symbol", "i4"),  # of its index price; -1 for the account currency
        ("tier_first", "i4"),
        ("tier_end", "i4"),
        ("borrow_first", "i4"),  # what owing it requires; none for most
        ("borrow_end", "i4"),
    ],
    align=True,
)
TIER = np.dtype([("floor", "f8"), ("rate", "f8"), ("offset", "f8")])
"""From `floor` up, an amount counts rate * amount + offset: risk tiers (notional), collateral and borrow tiers (coins) alike."""

TERM = np.dtype(
    [
        ("amount", "f8"),  # wallet, or quantity * multiplier
        ("entry", "f8"),  # entry value of a position
        ("symbol", "i2"),  # -1 for a wallet
        ("asset", "i2"),  # wallet or settle asset, or its twin that is no collateral
    ]
)
PACKED_TERM = Struct("=ddhh")
"""A `TERM` in bytes: several times faster to write one by one than by numpy."""
ROW = np.dtype(
    [
        ("low", "f8"),  # stays silent while C >= low * MM
        ("high", "f8"),  # ... and while C < high * MM
        ("terms", "i4"),
        ("flags", "u2"),
        ("band", "u1"),  # severity
    ],
    align=True,
)
PACKED_ROW = Struct("=ddiHBx")
"""A `ROW` in bytes."""
MARK = np.dtype(
    [
        ("price", "f8"),
        ("time_ns", "i8"),
        ("symbol", "i4"),
        ("same", "u1"),  # the price is exactly that of the symbol's mark before
    ],
    align=True,
)
WATCH = np.dtype([("symbol", "i4"), ("slot", "i4")])


class Columns(NamedTuple):
    """Everything the compiled code sees. All arrays grow in place (`ragged.grow`), so one tuple of them stays true."""

    symbols: Array
    assets: Array
    tiers: Array
    status: Array
    reserves: Array
    """Per account: the part of its budget that no bounds have used; 0 where there is none."""
    row_start: Array
    row_count: Array
    rows: Array
    term_start: Array
    terms: Array
    watch_start: Array
    watch_count: Array
    watches: Array
    holder_start: Array
    holder_count: Array
    floors: Array
    ceilings: Array
    holders: Array
    falls: Array
    """In `kernels.budgets.GRAIN`s of the price, as `rises`."""
    rises: Array
    block_floors: Array
    """Per block: the highest floor of its holders, or higher."""
    block_ceilings: Array
    """Per block: the lowest ceiling of its holders, or lower."""
