"""The walk: instant by instant, whose bounds are left."""

from typing import NamedTuple

import numpy as np

from engine.book.columns import Columns
from engine.book.kernels.bounds import BLOCK, examine, summarise
from engine.book.kernels.budgets import SINGLE, stretch
from engine.book.kernels.compiling import compiled
from engine.book.kernels.row_flags import FOUND, UNJUDGED
from engine.book.ragged import Array


class Walked(NamedTuple):
    """How far a walk came."""

    next: int
    """The instant to go on with."""
    candidates: int
    """How many accounts of `found` are to be judged exactly, after instant `next` - 1."""
    screened: int
    """Holders answered for."""
    examined: int
    """Holders whose figures were summed."""


@compiled
def walk(  # noqa: C901 - one loop: a call for each account would count references to every column
    columns: Columns, marks: Array, ends: Array, begin: int, now_ns: int, due_ns: int, found: Array
) -> Walked:
    """Apply instants from `begin` until one has candidates or a late mark, or until event time reaches `due_ns` *before* a later one.

    `marks` are `columns.MARK`, those of instant i end before `ends[i]`, no two of one symbol. An account stands in `found` once.
    """
    screened = examined = 0
    floors, ceilings, falls, rises = columns.floors, columns.ceilings, columns.falls, columns.rises
    reserves = columns.reserves
    for i in range(begin, len(ends)):
        first_mark = ends[i - 1] if i > 0 else 0
        at_ns = _newest_ns(marks, first_mark, ends[i], now_ns)
        # whatever is due at the time that names the first one was handed over; a mark in it may be newer than its name
        if at_ns >= due_ns and i > begin:
            return Walked(i, 0, screened, examined)
        now_ns = at_ns
        # all prices of the instant are set before anybody is asked
        late = _set_prices(columns.symbols, marks, first_mark, ends[i], now_ns)
        candidates = 0
        for place in range(first_mark, ends[i]):
            symbol, price, same = marks[place].symbol, marks[place].price, marks[place].same != 0
            whole = columns.symbols[symbol].turned != 0
            first, count = columns.holder_start[symbol], columns.holder_count[symbol]
            screened += count
            low, high = np.float32(price * (1 - SINGLE)), np.float32(price * (1 + SINGLE))
            for block in range(first // BLOCK, (first + count + BLOCK - 1) // BLOCK):
                if not whole and low >= columns.block_floors[block] and high <= columns.block_ceilings[block]:
                    continue
                for slot in range(block * BLOCK, min(block * BLOCK + BLOCK, first + count)):
                    if not whole and low >= floors[slot] and high <= ceilings[slot]:
                        continue
                    account = columns.holders[slot]
                    if not whole and reserves[account] > 0:
                        floor, ceiling, left = stretch(
                            np.float64(floors[slot]),
                            np.float64(ceilings[slot]),
                            falls[slot],
                            rises[slot],
                            np.float64(reserves[account]),
                            np.float64(low),
                            np.float64(high),
                        )
                        if left >= 0:
                            floors[slot], ceilings[slot] = np.float32(floor), np.float32(ceiling)
                            reserves[account] = np.float32(left)
                            continue
                    status = columns.status[account]
                    if status == FOUND or (status != UNJUDGED and same and not whole):
                        continue
                    examined += status != UNJUDGED
                    if status == UNJUDGED or not examine(columns, account):
                        columns.status[account] = FOUND
                        found[candidates] = account
                        candidates += 1
                summarise(floors, ceilings, columns.block_floors, columns.block_ceilings, block)
        if candidates or late:
            return Walked(i + 1, candidates, screened, examined)
    return Walked(len(ends), 0, screened, examined)


@compiled
def _newest_ns(marks: Array, begin: int, end: int, now_ns: int) -> int:
    """Event time after the marks `begin` to `end`."""
    for place in range(begin, end):
        now_ns = max(now_ns, marks[place].time_ns)
    return now_ns


@compiled
def _set_prices(symbols: Array, marks: Array, begin: int, end: int, now_ns: int) -> bool:
    """Take the prices of an instant. Whose doubt changes by it is marked as `turned`; whether a mark is stale at once.

    How much is to be doubted of such a one is not known here: all its holders are examined, and come out as candidates.
    """
    late = False
    for place in range(begin, end):
        mark = marks[place]
        record = symbols[mark.symbol]
        fresh = now_ns - mark.time_ns <= record.stale_after_ns
        haircut = record.sourced if fresh else np.inf
        record.turned = record.known == 0 or (record.fresh != 0) != fresh or record.haircut != haircut
        record.price, record.known, record.fresh, record.haircut = mark.price, 1, fresh, haircut
        late |= not fresh
    return late
