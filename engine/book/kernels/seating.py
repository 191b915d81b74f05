"""Many accounts at once into a table of the roster."""

from engine.book.kernels.compiling import compiled
from engine.book.ragged import Array


@compiled
def seat(table: Array, places: Array, numbers: Array) -> None:
    """Write each number at its place in an open hash table, or the next free one; a free slot is below zero, and not all are taken."""
    mask = len(table) - 1
    for i in range(len(numbers)):
        slot = places[i] & mask
        while table[slot] >= 0:
            slot = (slot + 1) & mask
        table[slot] = numbers[i]
