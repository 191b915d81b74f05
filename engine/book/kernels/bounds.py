"""Bounds of accounts: between which prices each stays silent, given, ended and looked at again."""

import numpy as np

from engine.book.columns import Columns
from engine.book.kernels.budgets import CARE, GRAIN, PRICE_LEAST, SINGLE, spend
from engine.book.kernels.compiling import compiled
from engine.book.kernels.row_flags import HOVERING, NEVER, QUIET, UNJUDGED
from engine.book.kernels.spans import REACH_MAX, asks_doubts, room
from engine.book.ragged import Array

BLOCK = 64
"""Holders summarised by one pair of bounds: large enough that a quiet tick reads 1/64, small enough to rescan."""
_SPREAD = 16.0
"""A single price may go so many times as far as all could together, and then some: weight counts more than what moves."""
_SHARE = 0.5
"""Part of a budget that goes to all prices alike; the rest waits for those that go further than others."""


@compiled
def examine(columns: Columns, account: int) -> bool:
    """Give the account a budget and new bounds around the present prices; False, and neither, when it must be judged."""
    # columns are handed on one by one: passing the tuple would count references to all of them, again and again
    symbols, assets, tiers, rows, terms, watches = (
        columns.symbols,
        columns.assets,
        columns.tiers,
        columns.rows,
        columns.terms,
        columns.watches,
    )
    begin = columns.watch_start[account]
    end = begin + columns.watch_count[account]
    for i in range(np.uint64(begin), np.uint64(end)):
        symbol = symbols[np.uint32(watches[i].symbol)]
        symbol.fall = symbol.rise = 0.0
    spread, quiet = REACH_MAX, True
    term = columns.term_start[account]
    for row in range(columns.row_start[account], columns.row_start[account] + columns.row_count[account]):
        left = room(symbols, assets, tiers, rows, terms, row, term)
        quiet = left.lower > 0 and left.upper > 0
        if not quiet:
            break
        held = rows[row]
        if held.terms:
            # costs hold within the reach that they are computed for, so an account's is that of its narrowest row
            reach = min(REACH_MAX, _SPREAD * min(left.lower, left.upper) / left.weight)
            spread = min(spread, reach)
            until = term + held.terms
            doubts = asks_doubts(held.flags)
            spend(
                symbols,
                assets,
                tiers,
                terms,
                held.flags,
                held.low,
                held.high,
                left,
                term,
                until,
                reach,
                doubts,
            )
            term = until
    # with reach 0 the floor lies above the ceiling: every tick comes here
    reach, spent = 0.0, 0.0
    if quiet:
        for i in range(np.uint64(begin), np.uint64(end)):
            symbol = symbols[np.uint32(watches[i].symbol)]
            spent += symbol.fall + symbol.rise
        reach = min(spread / 2, CARE * _SHARE / spent)
    columns.status[account] = QUIET if quiet else HOVERING
    columns.reserves[account] = np.float32((1 - reach * spent) * CARE) if quiet else np.float32(0.0)
    _set_budgets(
        symbols, watches, begin, end, columns.holder_start, columns.falls, columns.rises, spread - reach
    )
    _set_bounds(
        symbols,
        watches,
        begin,
        end,
        columns.holder_start,
        columns.floors,
        columns.ceilings,
        columns.block_floors,
        columns.block_ceilings,
        1 - reach,
        1 + reach,
    )
    return quiet


@compiled
def dismiss(columns: Columns, account: int) -> None:
    """Mark the account as unjudged: exact at its next touch."""
    columns.status[account], columns.reserves[account] = UNJUDGED, np.float32(0.0)
    first = columns.watch_start[account]
    _set_bounds(
        columns.symbols,
        columns.watches,
        first,
        first + columns.watch_count[account],
        columns.holder_start,
        columns.floors,
        columns.ceilings,
        columns.block_floors,
        columns.block_ceilings,
        np.inf,
        -np.inf,
    )


@compiled
def settle(columns: Columns, accounts: Array, due: Array) -> None:
    """Give accounts that changed bounds around the present prices, but for those that are `due` to be judged or must be."""
    for i in range(len(accounts)):
        if due[i] or not examine(columns, accounts[i]):
            dismiss(columns, accounts[i])


@compiled
def enclose(columns: Columns, account: int, reach: float) -> None:
    """Give the account a box that somebody else has computed: quiet within `reach` of the present prices."""
    columns.status[account], columns.reserves[account] = QUIET, np.float32(0.0)
    first = columns.watch_start[account]
    _set_bounds(
        columns.symbols,
        columns.watches,
        first,
        first + columns.watch_count[account],
        columns.holder_start,
        columns.floors,
        columns.ceilings,
        columns.block_floors,
        columns.block_ceilings,
        1 - reach,
        1 + reach,
    )


@compiled
def disclose(columns: Columns, symbol: int) -> None:
    """End the boxes of all holders of a symbol of whose marks other facts than the price have moved."""
    first = columns.holder_start[symbol]
    for slot in range(first, first + columns.holder_count[symbol]):
        account = columns.holders[slot]
        if columns.rows[columns.row_start[account]].flags & NEVER:
            dismiss(columns, account)


@compiled
def review(columns: Columns, first: int, end: int) -> None:
    """Examine the accounts `first` to `end`, which are new or have prices that changed without a judgement."""
    for account in range(first, end):
        if not examine(columns, account):
            dismiss(columns, account)


@compiled
def enlist(columns: Columns, first: int, end: int, slots: Array) -> None:
    """Write the accounts `first` to `end` among the holders of what they watch, at the next of each symbol's `slots`."""
    for account in range(first, end):
        begin = columns.watch_start[account]
        for i in range(begin, begin + columns.watch_count[account]):
            symbol = columns.watches[i].symbol
            slot = slots[symbol]
            columns.watches[i].slot = slot
            columns.holders[columns.holder_start[symbol] + slot] = account
            slots[symbol] += 1


@compiled
def sweep(columns: Columns, symbol: int, found: Array) -> int:
    """Examine all holders of a symbol whose freshness changed; returns the number of candidates in `found`."""
    candidates = 0
    first = columns.holder_start[symbol]
    for slot in range(first, first + columns.holder_count[symbol]):
        account = columns.holders[slot]
        if columns.status[account] == UNJUDGED or not examine(columns, account):
            found[candidates] = account
            candidates += 1
    return candidates


@compiled
def _set_budgets(
    symbols: Array,
    watches: Array,
    begin: int,
    end: int,
    starts: Array,
    falls: Array,
    rises: Array,
    beyond: float,
) -> None:
    """How far the whole budget would move each bound of the watches `begin` to `end`: no further than `beyond`."""
    for i in range(np.uint64(begin), np.uint64(end)):
        number = np.uint32(watches[i].symbol)
        symbol = symbols[number]
        slot = np.uint64(starts[number] + watches[i].slot)
        # a division only where it is needed: min(1 / cost, beyond)
        fall = beyond if symbol.fall * beyond <= 1 else 1 / symbol.fall
        rise = beyond if symbol.rise * beyond <= 1 else 1 / symbol.rise
        falls[slot], rises[slot] = np.uint16(fall * (CARE / GRAIN)), np.uint16(rise * (CARE / GRAIN))


@compiled
def _set_bounds(
    symbols: Array,
    watches: Array,
    begin: int,
    end: int,
    starts: Array,
    floors: Array,
    ceilings: Array,
    block_floors: Array,
    block_ceilings: Array,
    low: float,
    high: float,
) -> None:
    """Silence between `low` and `high` times the present price of each of the watches `begin` to `end`."""
    for i in range(np.uint64(begin), np.uint64(end)):
        symbol = np.uint32(watches[i].symbol)
        price = max(symbols[symbol].price, PRICE_LEAST)
        slot = np.uint64(starts[symbol] + watches[i].slot)
        floor, ceiling = np.float32(price * low * (1 + SINGLE)), np.float32(price * high * (1 - SINGLE))
        floors[slot], ceilings[slot] = floor, ceiling
        block = slot // np.uint64(BLOCK)
        block_floors[block] = max(block_floors[block], floor)
        block_ceilings[block] = min(block_ceilings[block], ceiling)


@compiled
def summarise(floors: Array, ceilings: Array, block_floors: Array, block_ceilings: Array, block: int) -> None:
    """Make the block's bounds those of its holders."""
    floor, ceiling = np.float32(-np.inf), np.float32(np.inf)
    for slot in range(block * BLOCK, block * BLOCK + BLOCK):
        floor = max(floor, floors[slot])
        ceiling = min(ceiling, ceilings[slot])
    block_floors[block], block_ceilings[block] = floor, ceiling
