"""Stop-watch and scales of the benchmarks."""

import os
import statistics
from collections.abc import Callable, Iterable
from pathlib import Path

Clock = Callable[[], int]
"""Nanoseconds; only differences count."""
_STATM = Path("/proc/self/statm")


class Stopwatch:
    """Times calls by one clock."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def seconds(self, call: Callable[[], object]) -> float:
        """How long one call takes."""
        began = self._clock()
        call()
        return (self._clock() - began) / 1e9

    def median_seconds(self, calls: Iterable[Callable[[], object]]) -> float:
        """The median of several calls."""
        return statistics.median(self.seconds(call) for call in calls)


def resident_bytes() -> int | None:
    """Memory that the operating system keeps for this process; None where it does not say so in /proc."""
    if not _STATM.exists():
        return None
    pages = int(_STATM.read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")
