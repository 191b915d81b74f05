"""Times that cannot be meant: in another unit than nanoseconds, or far from when they were taken in.

Rule
----
What is known of the present (the receipt of a record, or the newest believed event time) decides, because logs made by hand
and tests count from 0. Where the present is known and lies in the era of exchanges, a time from before it is refused: that is
every present time written in micro-, milli- or seconds, and 1970. Where all that is known is small, nothing is.
"""

from engine.marks.doubts import NANOSECONDS

ERA_NS = 1_262_304_000 * NANOSECONDS
"""2010-01-01: no coin was traded before. A present time in microseconds is a thousandth of one in nanoseconds."""
NOT_RECEIVED_NS = 2**63 - 1
"""Receipt time of what was read from a file: nothing is dated ahead of it, and it says nothing of the present."""
SILENCE_NS = 366 * 24 * 3600 * NANOSECONDS
"""Where there is no receipt, an event time further ahead of the newest one than a year is none."""
AHEAD_NS = 24 * 3600 * NANOSECONDS
"""An account input dated further ahead of the log's own time than a day is a mistake of the producer."""


def floor_of(known_ns: int) -> int:
    """The smallest plausible time where the present is `known_ns` (0 or anything small: not known)."""
    return ERA_NS if known_ns >= ERA_NS else 0


def latest_of(newest_ns: int) -> int:
    """The latest that the present can be where only the newest event time tells of it; 0 where that tells nothing."""
    return newest_ns + SILENCE_NS if newest_ns >= ERA_NS else 0


def time_fault(time_ns: int, known_ns: int, *, ahead_ns: int | None = None) -> str | None:
    """What is wrong with an event time where the present is `known_ns`, or None. `ahead_ns`: how far ahead it may be."""
    if time_ns < floor_of(known_ns):
        return f"time_ns {time_ns} lies before 2010: is it in nanoseconds?"
    if ahead_ns is not None and known_ns >= ERA_NS and time_ns - known_ns > ahead_ns:
        return f"time_ns {time_ns} is far ahead of {known_ns}, when it was taken in"
    return None
