"""How the whole book stood over the day: accounts by band, their equity and maintenance margin, second by second and then minute by minute.

Kept in memory and bounded: the newest quarter of an hour by the second, a day by the half minute. A process that starts begins anew.
Equity and maintenance margin are those of each account's worst pool, as the list of accounts shows them.
"""

import asyncio
import time
from collections import Counter, deque
from collections.abc import Callable
from decimal import Decimal
from typing import NamedTuple

import msgspec

from engine.ladder import Band
from engine.numbers import ZERO, canonical, exact

SAMPLE_SECONDS = 1.0
FINE_SAMPLES_MAX = 900
COARSE_NS = 30_000_000_000
COARSE_SAMPLES_MAX = 2_880
BAND_NAMES = tuple(it.value for it in Band)


class Standing(NamedTuple):
    """What an account counts with."""

    band: Band
    equity: Decimal
    maintenance_margin: Decimal


class CourseSample(NamedTuple):
    """The book at one moment; amounts in account currency."""

    time_ns: int
    accounts: dict[str, int]
    """By band."""
    equity: Decimal
    maintenance_margin: Decimal


class CourseReport(msgspec.Struct, frozen=True, kw_only=True):
    """The samples in order, one list a figure."""

    times_ns: tuple[int, ...]
    accounts: dict[str, tuple[int, ...]]
    """By band: how many have their worst pool in it."""
    equity: tuple[Decimal, ...]
    maintenance_margin: tuple[Decimal, ...]


class BookTotals:
    """The sum over accounts, kept up as each of them changes: exact, and no walk over all of them."""

    def __init__(self) -> None:
        """Nobody."""
        self._accounts: Counter[Band] = Counter()
        self._equity = self._maintenance = ZERO

    def change(self, before: Standing | None, after: Standing | None) -> None:
        """An account counts otherwise than before; None where it does not count."""
        with exact():
            if before is not None:
                self._accounts[before.band] -= 1
                self._equity -= before.equity
                self._maintenance -= before.maintenance_margin
            if after is not None:
                self._accounts[after.band] += 1
                self._equity += after.equity
                self._maintenance += after.maintenance_margin

    def sample(self, time_ns: int) -> CourseSample:
        """As it stands."""
        accounts = {band.value: self._accounts[band] for band in Band}
        return CourseSample(time_ns, accounts, canonical(self._equity), canonical(self._maintenance))


class BookCourse:
    """The samples that are kept."""

    def __init__(self) -> None:
        """None yet."""
        self._fine: deque[CourseSample] = deque()
        self._coarse: deque[CourseSample] = deque(maxlen=COARSE_SAMPLES_MAX)

    def add(self, sample: CourseSample) -> None:
        """The next one."""
        self._fine.append(sample)
        if len(self._fine) > FINE_SAMPLES_MAX:
            oldest = self._fine.popleft()
            if not self._coarse or oldest.time_ns - self._coarse[-1].time_ns >= COARSE_NS:
                self._coarse.append(oldest)

    def since(self, time_ns: int) -> CourseReport:
        """All that are later."""
        return course_report([it for it in (*self._coarse, *self._fine) if it.time_ns > time_ns])

    async def run(self, totals: BookTotals, complete: Callable[[], bool]) -> None:
        """Take samples until cancelled; none while not everybody counts, as in the seconds after a start."""
        while True:
            await asyncio.sleep(SAMPLE_SECONDS)
            if complete():
                self.add(totals.sample(time.time_ns()))


def course_report(samples: list[CourseSample]) -> CourseReport:
    """The samples, one list a figure."""
    return CourseReport(
        times_ns=tuple(it.time_ns for it in samples),
        accounts={band: tuple(it.accounts[band] for it in samples) for band in BAND_NAMES},
        equity=tuple(it.equity for it in samples),
        maintenance_margin=tuple(it.maintenance_margin for it in samples),
    )
