"""Instants: marks that the exchange says hold together. All prices of an instant are set, then its holders are judged once.

Rules
-----
* The marks of one price record are one instant. Of two marks of one symbol in it the one with the higher sequence stands, in
  whatever order they come.
* Where the policy says so (`prices.instant = "time"`), records of one event time are one instant too (`Joining`).
* Instants may be joined (`joined`): what is judged after the last of them stood together. Never are prices of different
  moments mixed: an instant leaves every price at what it was after its own last record.
"""

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import NamedTuple

import msgspec

from engine.inputs import Mark
from engine.marks.doubts import Doubt


class InstantName(msgspec.Struct, frozen=True):
    """Which record made the prices what they are."""

    time_ns: int
    """Event time: of the newest mark in it."""
    partition: int = 0
    offset: int = -1
    """Of the record in the topic of prices; of joined records the last. -1 where prices came from elsewhere than a log."""


class Instant(NamedTuple):
    """Believed marks that hold together, at least one, at most one of a symbol."""

    marks: tuple[Mark, ...]
    name: InstantName
    doubts: Mapping[str, Doubt] | None = None
    """Symbols that a second source doubts, as of this instant; None where that is as it was."""
    waiting: Mapping[str, Decimal] | None = None
    """Quotes that wait beside the marks (`waiting_quotes`), as of this instant; None where that is as it was."""


class MarksRecord(NamedTuple):
    """The marks of one record, as they were sent, and where it lay."""

    marks: tuple[Mark, ...]
    partition: int = 0
    offset: int = -1

    @property
    def time_ns(self) -> int:
        """Event time: of its newest mark; 0 without any."""
        return max((mark.time_ns for mark in self.marks), default=0)


def in_sequence(marks: Sequence[Mark]) -> Sequence[Mark]:
    """The marks of one instant so that each symbol's come by their sequence, whatever order they were written in."""
    if len(marks) < 2 or len({mark.symbol for mark in marks}) == len(marks):  # noqa: PLR2004 - one is in order
        return marks
    return sorted(marks, key=lambda mark: (mark.symbol, mark.epoch, mark.sequence))


def joined(instants: Sequence[Instant]) -> Instant:
    """Several instants in order as the last of them: the newest mark of each symbol."""
    if len(instants) == 1:
        return instants[0]
    newest = {mark.symbol: mark for instant in instants for mark in instant.marks}
    doubts = next((it.doubts for it in reversed(instants) if it.doubts is not None), None)
    waiting = next((it.waiting for it in reversed(instants) if it.waiting is not None), None)
    return Instant(tuple(newest.values()), instants[-1].name, doubts, waiting)


class Joining:
    """Joins records of one event time, across partitions, before they are believed.

    A group waits until a record of a later time has come from every partition that spoke lately, or until it has waited for
    `wait_ns` since its first record was received. A record that comes after its group is a group of its own.
    """

    def __init__(self, wait_ns: int) -> None:
        """`wait_ns` bounds, in time of receipt, how long a group waits for records of other partitions."""
        self._wait_ns = wait_ns
        self._waiting: dict[int, list[MarksRecord]] = {}
        """By event time."""
        self._since_ns: dict[int, int] = {}
        """By event time: when its first record was received."""
        self._reached_ns: dict[int, int] = {}
        """By partition: the newest event time that it has told."""
        self._done_ns = 0
        """Groups up to this event time have been handed on."""
        self.late = 0
        """Records that came after their group."""

    def offer(self, records: Iterable[MarksRecord], received_ns: int) -> list[MarksRecord]:
        """Take records received at `received_ns`; the groups that are whole now, in order of event time."""
        late: list[MarksRecord] = []
        for record in records:
            time_ns = record.time_ns
            self._reached_ns[record.partition] = max(time_ns, self._reached_ns.get(record.partition, 0))
            if time_ns <= self._done_ns:
                self.late += 1
                late.append(record)
                continue
            self._waiting.setdefault(time_ns, []).append(record)
            self._since_ns.setdefault(time_ns, received_ns)
        return [*late, *self.due(received_ns)]

    def due(self, now_ns: int) -> list[MarksRecord]:
        """The groups that are whole, or have waited for long enough, at `now_ns` of receipt; a later one never goes before."""
        whole_ns = min(self._reached_ns.values(), default=0) - 1
        overdue = [
            time_ns for time_ns, since_ns in self._since_ns.items() if now_ns - since_ns >= self._wait_ns
        ]
        until_ns = max(whole_ns, *overdue) if overdue else whole_ns
        return [self._group(time_ns) for time_ns in sorted(self._waiting) if time_ns <= until_ns]

    def rest(self) -> list[MarksRecord]:
        """All groups, whole or not, in order of event time."""
        return [self._group(time_ns) for time_ns in sorted(self._waiting)]

    def _group(self, time_ns: int) -> MarksRecord:
        records = self._waiting.pop(time_ns)
        del self._since_ns[time_ns]
        self._done_ns = max(self._done_ns, time_ns)
        if len(self._reached_ns) > len({record.partition for record in records}):
            self._forget_silent(time_ns)
        last = records[-1]
        return MarksRecord(
            tuple(mark for record in records for mark in record.marks), last.partition, last.offset
        )

    def _forget_silent(self, time_ns: int) -> None:
        """A partition that has told nothing since holds up nobody any more; its next record counts again."""
        self._reached_ns = {
            partition: reached_ns
            for partition, reached_ns in self._reached_ns.items()
            if reached_ns >= time_ns
        }
