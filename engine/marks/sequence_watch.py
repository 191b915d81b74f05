"""The order of a symbol's marks: what is newer, what is a feed that began anew, what is a number gone wrong.

    next                          epoch as before, sequence above the last by no more than a step: newer
                                  (a step grows with the time passed: sequences may be times)
    a higher epoch                newer at once: the feed says that it began anew
    anything else                 waits. `confirmations` marks in a row that go on from each other, newer in time than the last
                                  believed mark and each `spacing` after the last one counted, are the feed now

So a feed that restarts at 1 goes on after a few marks, and one absurd number locks nothing: before it is believed other marks have
gone on from the last, and had it been believed (as a first mark, or before a restart) it would be found out in the same way. A mark
delivered late or again is older in time than the last one, and stays refused.
"""

from enum import StrEnum

import msgspec

from engine.inputs import Mark
from engine.marks.trail import Confirming

STEP_PER_NS = 10
"""Sequences that are times in a unit no finer than a tenth of a nanosecond never take too large a step."""


class Order(StrEnum):
    """What a mark's number says against the last believed one's."""

    NEXT = "next"
    EPOCH = "epoch"
    """Of a new epoch."""
    RESTART = "restart"
    """Recognised: the feed began anew, with lower numbers."""
    LEAP = "leap"
    """Recognised: the feed goes on far ahead."""
    OLD = "old"
    AHEAD = "ahead"
    """Absurdly far ahead, not recognised (yet)."""


class _Run(msgspec.Struct, frozen=True):
    """Marks out of order that go on from each other."""

    epoch: int
    sequence: int
    time_ns: int
    counted_ns: int
    """Event time of the last one counted."""
    seen: int


class SequenceWatch:
    """The order of one symbol's marks."""

    __slots__ = ("_rule", "_run", "_step_max", "last")

    def __init__(self, rule: Confirming, step_max: int) -> None:
        """Nothing believed yet."""
        self._rule, self._step_max = rule, step_max
        self.last: Mark | None = None
        self._run: _Run | None = None

    @property
    def seen(self) -> int:
        """How many of them go on from each other."""
        return 0 if self._run is None else self._run.seen

    def believe(self, mark: Mark) -> None:
        """It is the newest now."""
        self.last, self._run = mark, None

    def order(self, mark: Mark, horizon_ns: int) -> Order:
        """Judge a mark; `horizon_ns`: no present time lies beyond it."""
        last = self.last
        if last is None:
            return Order.NEXT
        if mark.epoch > last.epoch:
            return Order.EPOCH
        ahead = (mark.epoch, mark.sequence) > (last.epoch, last.sequence)
        if ahead and self._steps(mark, last.sequence, last.time_ns):
            return Order.NEXT
        if self._recognised(mark, last, horizon_ns):
            return Order.LEAP if ahead else Order.RESTART
        return Order.AHEAD if ahead else Order.OLD

    def _recognised(self, mark: Mark, last: Mark, horizon_ns: int) -> bool:
        # a last mark dated beyond the horizon was taken by a clock gone wrong: nothing could be newer than it
        newer = mark.time_ns > last.time_ns or last.time_ns > horizon_ns
        if not newer or mark.time_ns > horizon_ns:
            return False
        run = self._run
        if run is not None and (mark.epoch, mark.sequence) == (run.epoch, run.sequence):
            return False
        goes_on = (
            run is not None
            and mark.epoch == run.epoch
            and mark.time_ns >= run.time_ns
            and mark.sequence > run.sequence
            and self._steps(mark, run.sequence, run.time_ns)
        )
        if run is None or not goes_on:
            run = _Run(mark.epoch, mark.sequence, mark.time_ns, mark.time_ns, 1)
        elif mark.time_ns - run.counted_ns >= self._rule.spacing_ns:
            run = _Run(mark.epoch, mark.sequence, mark.time_ns, mark.time_ns, run.seen + 1)
        else:
            run = _Run(mark.epoch, mark.sequence, mark.time_ns, run.counted_ns, run.seen)
        self._run = run
        return run.seen >= self._rule.confirmations

    def _steps(self, mark: Mark, sequence: int, time_ns: int) -> bool:
        step_max = self._step_max + STEP_PER_NS * max(0, mark.time_ns - time_ns)
        return mark.sequence - sequence <= step_max
