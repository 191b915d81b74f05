"""Who holds what: per symbol the accounts that watch it, contiguous, with the bounds of their silence."""

import numpy as np

from engine.book.kernels import BLOCK
from engine.book.ragged import Array, Ragged, grow


class Holders:
    """Holders by symbol, in the order in which they came; a leaver's slot is taken by the last one."""

    def __init__(self, symbols: int) -> None:
        """Nobody holds any of the `symbols`."""
        # a free slot has bounds that no price leaves
        self._free = (
            np.array(-np.inf, np.float32),
            np.array(np.inf, np.float32),
            np.array(-1, np.int32),
            np.array(0, np.uint16),
            np.array(0, np.uint16),
        )
        self._lists = Ragged(*self._free, block=BLOCK)
        for symbol in range(symbols):
            self._lists.resize(symbol, 0)
        self.block_floors: Array = np.empty(0, np.float32)
        self.block_ceilings: Array = np.empty(0, np.float32)
        self._cover_blocks()

    @property
    def columns(self) -> tuple[Array, ...]:
        """Start and count by symbol; floors, ceilings, accounts, falls and rises by slot; floors and ceilings by block."""
        lists = self._lists
        return (lists.start, lists.count, *lists.columns, self.block_floors, self.block_ceilings)

    def add(self, symbol: int, account: int) -> int:
        """Append the account, without bounds yet; returns its slot, counted from the symbol's first."""
        slot = int(self._lists.count[symbol])
        before = self._lists.start[symbol]
        start = self._lists.resize(symbol, slot + 1)
        if start != before:
            self._cover_blocks()
            self._summarise(start, slot + 1)
        self._lists.columns[2][start + slot] = account
        return slot

    def of(self, symbol: int) -> Array:
        """The accounts that hold the symbol; outdated by the next change."""
        held: Array = self._lists.columns[2][self._lists.slice(symbol)]
        return held

    def make_slots(self, counts: Array) -> Array:
        """Give each symbol so many more slots, which compiled code fills; returns the first new one of each."""
        before = self._lists.count[: len(counts)].copy()
        for symbol in np.flatnonzero(counts).tolist():
            self._lists.resize(symbol, int(before[symbol] + counts[symbol]))
        self._cover_blocks()
        self._summarise(0, len(self._lists.columns[0]))
        return before

    def remove(self, symbol: int, slot: int) -> int:
        """Free the slot; returns the account that now has it (-1: it was the last one)."""
        last = int(self._lists.count[symbol]) - 1
        start = self._lists.resize(symbol, last)
        moved = int(self._lists.columns[2][start + last]) if slot != last else -1
        for column, free in zip(self._lists.columns, self._free, strict=True):
            column[start + slot] = column[start + last]
            column[start + last] = free
        self._summarise(start + slot - slot % BLOCK, 1)
        return moved

    def _cover_blocks(self) -> None:
        """Have as many block bounds as there are blocks; new ones make every tick look inside."""
        blocks = len(self._lists.columns[0]) // BLOCK
        grow(self.block_floors, blocks, np.array(np.inf, np.float32))
        grow(self.block_ceilings, blocks, np.array(-np.inf, np.float32))

    def _summarise(self, start: int, count: int) -> None:
        """Recompute the bounds of the blocks that hold `count` slots from `start`, which begins a block."""
        first, end = start // BLOCK, (start + count + BLOCK - 1) // BLOCK
        floors, ceilings = self._lists.columns[:2]
        slots = slice(first * BLOCK, end * BLOCK)
        self.block_floors[first:end] = floors[slots].reshape(-1, BLOCK).max(axis=1)
        self.block_ceilings[first:end] = ceilings[slots].reshape(-1, BLOCK).min(axis=1)
