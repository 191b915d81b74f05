"""A recorded day as a desk sees it: moments of it, and what every account was at each. Played once and kept in memory; nothing is read again.

An account is kept as often as something happened to it, so a day costs what its inputs and events cost, however many moments it has.
"""

import bisect
from typing import NamedTuple

import msgspec

from engine.inputs import Mark
from streams.desk.book_copy import CopiedBook, Entry, ShardCopy
from streams.desk.book_course import CourseSample
from streams.desk.stream_events import StreamEvent


class Moment(NamedTuple):
    """The market and the book at one time."""

    sample: CourseSample
    marks: list[Mark]
    breaker: bytes | None
    events: int
    """So many had been said."""

    @property
    def time_ns(self) -> int:
        """Event time."""
        return self.sample.time_ns


class DayReport(msgspec.Struct, frozen=True, kw_only=True):
    """The moments that may be asked for."""

    source: str
    times_ns: tuple[int, ...]
    unwell: tuple[int, ...]
    """Accounts that are not healthy, at each."""


class RecordedDay:
    """All of it; filled by who plays it."""

    def __init__(self, source: str) -> None:
        """Nothing has happened."""
        self.source = source
        self.moments: list[Moment] = []
        self.accounts: dict[str, list[tuple[int, Entry]]] = {}
        """What each was from which time on."""
        self.events: list[StreamEvent] = []

    def nearest(self, time_ns: int) -> int:
        """Number of the moment that is nearest to this time."""
        times = [it.time_ns for it in self.moments]
        after = bisect.bisect_left(times, time_ns)
        around = [it for it in (after - 1, after) if 0 <= it < len(times)]
        return min(around, key=lambda it: abs(times[it] - time_ns))

    def book(self, number: int) -> "RecordedBook":
        """Every account as it was at that moment."""
        moment, shard = self.moments[number], ShardCopy()
        for account, kept in self.accounts.items():
            place = bisect.bisect_right(kept, moment.time_ns, key=lambda it: it[0])
            if place:
                shard.entries[account] = kept[place - 1][1]
        shard.marks, shard.breaker = moment.marks, moment.breaker
        return RecordedBook(shard, moment.time_ns)

    def report(self) -> DayReport:
        """For who chooses a moment."""
        healthy = [it.sample.accounts["healthy"] for it in self.moments]
        counts = [sum(it.sample.accounts.values()) for it in self.moments]
        return DayReport(
            source=self.source,
            times_ns=tuple(it.time_ns for it in self.moments),
            unwell=tuple(count - well for count, well in zip(counts, healthy, strict=True)),
        )


class RecordedBook(CopiedBook):
    """A book at a moment that is over."""

    def __init__(self, shard: ShardCopy, time_ns: int) -> None:
        """`time_ns`: what time it is there."""
        super().__init__([shard], {}, time_ns)

    def now_ns(self) -> int:
        """See `Shelf`."""
        return self.refreshed_ns

    def frozen(self) -> "RecordedBook":
        """Nothing in it changes."""
        return self
