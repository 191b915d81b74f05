"""What a replay counts on its way, and the worst second of it."""

from collections import Counter
from collections.abc import Callable, Iterable

import msgspec

from engine.rejections import Rejection

REFUSED_SHOWN_MAX = 20
"""Records named in the summary; all are counted, and written where a file is given for them."""


class Refused(msgspec.Struct, frozen=True):
    """A record that is not an input, or that its account could not take."""

    place: str
    reason: str
    detail: str


class Second(msgspec.Struct, frozen=True):
    """One second of event time, and what it cost."""

    time_ns: int
    """Its beginning."""
    events: int
    marks: int
    wall_ms: float


class Counts:
    """Running counts of one replay."""

    def __init__(self, clock: Callable[[], int]) -> None:
        """`clock`: nanoseconds; only differences count."""
        self.marks = self.applied = self.duplicates = self.executing_fills = self.events = 0
        self.marks_refused: Counter[str] = Counter()
        self.quarantined: Counter[str] = Counter()
        self.by_type: Counter[str] = Counter()
        self.first_refused: list[Refused] = []
        self.on_refused: Callable[[Refused], object] = lambda _: None
        self.most_events: Second | None = None
        self.slowest: Second | None = None
        self._clock = clock
        self._began: tuple[int, int, int, int] | None = None
        """Of the running second: when it began, then the clock, events and marks at that time."""

    def refuse_marks(self, refused: Iterable[Rejection]) -> None:
        """Marks that the mark book did not believe."""
        self.marks_refused.update(str(it.code) for it in refused)

    def count_inputs(self, applied: int, duplicates: int, executing: int) -> None:
        """Account inputs put before the ledger; `executing` fills name a liquidation."""
        self.applied += applied
        self.duplicates += duplicates
        self.executing_fills += executing

    def count_event(self, event_type: str) -> None:
        """An event was said."""
        self.events += 1
        self.by_type[event_type] += 1

    def quarantine(self, refused: Refused) -> None:
        """A record was put aside."""
        self.quarantined[str(refused.reason)] += 1
        if len(self.first_refused) < REFUSED_SHOWN_MAX:
            self.first_refused.append(refused)
        self.on_refused(refused)

    def begin_second(self, time_ns: int) -> None:
        """A second of event time begins. The first, in which all accounts come and are judged, is none."""
        self._began = time_ns, self._clock(), self.events, self.marks

    def end_second(self) -> None:
        """The running second is over, if one runs."""
        if self._began is None:
            return
        time_ns, clock, events, marks = self._began
        wall_ms = (self._clock() - clock) / 1e6
        second = Second(time_ns, self.events - events, self.marks - marks, wall_ms)
        if self.most_events is None or second.events > self.most_events.events:
            self.most_events = second
        if self.slowest is None or second.wall_ms > self.slowest.wall_ms:
            self.slowest = second
