"""Lists of different lengths in flat arrays: each key owns one segment, and segments grow without moving others.

A key's records stay contiguous. A segment that outgrows its capacity moves to the tail with at least half as much
room again, and leaves a hole; the holes of a key add up to at most twice its capacity, so nothing is ever compacted.
"""

from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]

_KEYS_MIN = 64
_RECORDS_MIN = 1024


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
            self._grow_keys(key)
        if count > self._capacity[key]:
            self._move(key, count)
        self.count[key] = count
        return int(self.start[key])

    def slice(self, key: int) -> slice:
        """Where the key's records are in each column."""
        start = int(self.start[key])
        return slice(start, start + int(self.count[key]))

    def _move(self, key: int, count: int) -> None:
        held, old = int(self.count[key]), int(self.start[key])
        room = max(count, held + held // 2)
        room += -room % self._block
        while self._tail + room > len(self.columns[0]):
            self.columns = [
                _doubled(column, fill) for column, fill in zip(self.columns, self._empty, strict=True)
            ]
        for column, fill in zip(self.columns, self._empty, strict=True):
            column[self._tail : self._tail + held] = column[old : old + held]
            column[old : old + held] = fill
        self.start[key], self._capacity[key] = self._tail, room
        self._tail += room

    def _grow_keys(self, key: int) -> None:
        while key >= len(self.start):
            self.start, self.count, self._capacity = (
                _doubled(column, np.zeros((), column.dtype))
                for column in (self.start, self.count, self._capacity)
            )


def _doubled(column: Array, fill: Array) -> Array:
    larger: Array = np.empty(2 * len(column), column.dtype)
    larger[: len(column)] = column
    larger[len(column) :] = fill
    return larger
