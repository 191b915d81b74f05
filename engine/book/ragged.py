"""Lists of different lengths in flat arrays: each key owns one segment, and segments grow without moving others.

A key's records stay contiguous. A segment that outgrows its capacity moves to the tail with at least half as much
room again, and leaves a hole; the holes of a key add up to at most twice its capacity, so nothing is ever compacted.

Arrays grow in place by a sixteenth (`grow`). The system moves a large array's pages without copying them, so a growth
costs what filling the new part does, and no more than a sixteenth is ever kept in vain. With a million accounts in the
book no put of 100,000 new ones took more than 19 ms of processor time, one in a thousand more than 7 ms.
"""

from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]

NOTHING: Array = np.zeros((), np.uint8)
"""Fills any column of numbers with zeros."""
_KEYS_MIN = 64
_RECORDS_MIN = 1024
_GROWTH = 16
"""An array grows by one part in so many."""


def grow(column: Array, length: int, fill: Array, block: int = 1) -> None:
    """Make the array at least `length` long, a multiple of `block`, in place: no view of it may be used after."""
    before = len(column)
    if length > before:
        larger = max(length, before + before // _GROWTH)
        column.resize(larger + -larger % block, refcheck=False)
        column[before:] = fill


class Ragged:
    """Segments of parallel columns, by integer key."""

    def __init__(self, *empty: Array, block: int = 1) -> None:
        """One column per given record (of no dimension), which fills free slots; segments start and end at multiples of `block`."""
        self._empty = empty
        self._block = block
        self._tail = 0
        self.start: Array = np.zeros(_KEYS_MIN, np.int64)
        self.count: Array = np.zeros(_KEYS_MIN, np.int32)
        self._capacity: Array = np.zeros(_KEYS_MIN, np.int32)
        self.columns: list[Array] = [np.full(_RECORDS_MIN, fill, fill.dtype) for fill in empty]

    def resize(self, key: int, count: int) -> int:
        """Give the key `count` slots, the first ones keeping their records; returns where they start."""
        if key >= len(self.start):
            self._make_keys(key + 1)
        if count > self._capacity.item(key):
            self._move(key, count)
        self.count[key] = count
        start: int = self.start.item(key)
        return start

    def replace(self, key: int, packed: bytes) -> None:
        """Have the key own these records, the bytes of a single column, instead of its own."""
        size = self._empty[0].itemsize
        start = self.resize(key, len(packed) // size) * size
        # through a view of bytes: numpy takes five times as long to copy a few records
        self.columns[0].view(np.uint8).data[start : start + len(packed)] = packed

    def extend(self, first_key: int, counts: Array) -> slice:
        """Give the keys from `first_key` on, which are new, so many slots each, one after the other; returns where."""
        keys = slice(first_key, first_key + len(counts))
        self._make_keys(keys.stop)
        ends = self._tail + np.cumsum(counts)
        begin, self._tail = self._tail, int(ends[-1]) if len(ends) else self._tail
        self._make_records(self._tail)
        self.start[keys], self.count[keys], self._capacity[keys] = ends - counts, counts, counts
        return slice(begin, self._tail)

    def make_room(self, keys: int, of: int) -> None:
        """Expect this many keys, with as many records each as the first `of` have on average."""
        self._make_keys(keys)
        if of:
            self._make_records(self._tail * keys // of)

    def records(self, keys: Array) -> tuple[Array, Array]:
        """How many records each of these keys has, and all of them, of the first column, key after key."""
        counts = self.count[keys]
        ends = np.cumsum(counts)
        where = np.repeat(self.start[keys] - (ends - counts), counts) + np.arange(
            ends[-1] if len(ends) else 0
        )
        return counts, self.columns[0][where]

    def slice(self, key: int) -> slice:
        """Where the key's records are in each column."""
        start = int(self.start[key])
        return slice(start, start + int(self.count[key]))

    def _move(self, key: int, count: int) -> None:
        held, old = int(self.count[key]), int(self.start[key])
        room = max(count, held + held // 2)
        room += -room % self._block
        self._make_records(self._tail + room)
        for column, fill in zip(self.columns, self._empty, strict=True):
            column[self._tail : self._tail + held] = column[old : old + held]
            column[old : old + held] = fill
        self.start[key], self._capacity[key] = self._tail, room
        self._tail += room

    def _make_keys(self, keys: int) -> None:
        for column in (self.start, self.count, self._capacity):
            grow(column, keys, NOTHING)

    def _make_records(self, records: int) -> None:
        if records > len(self.columns[0]):
            for column, fill in zip(self.columns, self._empty, strict=True):
                grow(column, records, fill, self._block)
