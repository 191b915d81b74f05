"""Playing a recorded day for a desk to look at: the replay as ever, and at every so many seconds of event time a moment is kept.

How long the day is nobody knows before it was played. So moments are kept by the second at first; when there are too many, those are
dropped that are nearer to the one before than twice that, and from then on they are kept half as often.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import NamedTuple

import msgspec

from engine.book.account_book import Totals
from engine.events.effects import RiskEvent, Stream
from engine.ladder import Band
from engine.ledger.accounts import encode
from engine.marks.mark_book import NANOSECONDS
from engine.numbers import canonical
from engine.policy import Policy
from streams.answers.account_report import worst_band
from streams.contract.cloudevents import read_event
from streams.contract.record import Decoded
from streams.desk.book_copy import Entry
from streams.desk.book_course import CourseSample
from streams.desk.recorded_day import Moment, RecordedDay
from streams.desk.stream_events import stream_event
from streams.replay.arrivals import Arrival
from streams.replay.runner import Replay
from streams.replay.sources import Files

MOMENTS_MAX = 720
"""As many as a slider has places for; of a longer day about half of it or more are kept."""


class _Record(NamedTuple):
    """An event as a topic of one partition would carry it."""

    value: bytes
    partition: int
    offset: int


class _Recorder:
    """Takes arrivals, keeps moments."""

    def __init__(self, files: Files, policy: Policy, clock: Callable[[], int], moments_max: int) -> None:
        self.day = RecordedDay(files.path.name)
        self._replay = Replay(policy, say=self._say, clock=clock)
        (self._shard,) = self._replay.shards
        self._moments_max, self._every_ns, self._next_ns = moments_max, NANOSECONDS, 0
        self._changed: set[str] = set()
        self._bands: dict[str, Band] = {}
        self._offsets = dict.fromkeys(Stream, 0)

    def take(self, arrival: Arrival) -> None:
        replay = self._replay
        if replay.judging and arrival.time_ns > replay.time_ns >= self._next_ns:
            # before it, so that all of the instant in front has come
            self._look()
            self._thin()
            self._next_ns = self.day.moments[-1].time_ns + self._every_ns
        if isinstance(arrival.body, Decoded):
            self._changed.add((arrival.body.record.key or b"").decode(errors="replace"))
        replay.take(arrival)

    def finish(self) -> RecordedDay:
        self._replay.finish()
        self._look()
        return self.day

    def _say(self, value: bytes) -> None:
        event = read_event(value)
        stream = event.stream if isinstance(event, RiskEvent) else Stream.MARGIN_EVENTS
        told = stream_event(stream, _Record(value, 0, self._offsets[stream]))
        self._offsets[stream] += 1
        if isinstance(event, RiskEvent):
            self._changed.add(event.account)
        if told is not None:
            self.day.events.append(told)

    def _look(self) -> None:
        time_ns, day, book = self._replay.time_ns, self.day, self._shard.book
        for account in self._changed:
            state = self._shard.state(account)
            if state is None:
                continue
            risk = book.risk(account)
            self._bands[account] = worst_band(risk)
            entry = Entry(encode(state), msgspec.json.encode(risk), risk)
            day.accounts.setdefault(account, []).append((time_ns, entry))
        self._changed.clear()
        sample = self._sample(time_ns, book.totals(()))
        marks = list(self._replay.marks.prices.marks.values())
        day.moments.append(Moment(sample, marks, msgspec.json.encode(book.breaker.state), len(day.events)))

    def _thin(self) -> None:
        while len(self.day.moments) > self._moments_max:
            self._every_ns *= 2
            self.day.moments = _spaced(self.day.moments, self._every_ns)

    def _sample(self, time_ns: int, totals: Totals) -> CourseSample:
        counts = Counter(self._bands.values())
        equity, maintenance = (_amount(it) for it in (totals.equity, totals.maintenance_margin))
        return CourseSample(time_ns, {band.value: counts[band] for band in Band}, equity, maintenance)


def record_day(
    files: Files,
    policy: Policy,
    clock: Callable[[], int],
    told: Callable[[], None] = lambda: None,
    moments_max: int = MOMENTS_MAX,
) -> RecordedDay:
    """Play the files to their end; `told` is called now and then. Raises `FeedError` for a file that cannot be played."""
    recorder = _Recorder(files, policy, clock, moments_max)
    for arrival in _telling(files, told):
        recorder.take(arrival)
    return recorder.finish()


def _telling(files: Files, told: Callable[[], None]) -> Iterator[Arrival]:
    for number, arrival in enumerate(files.arrivals()):
        if not number % 1000:
            told()
        yield arrival


def _spaced(moments: list[Moment], least_ns: int) -> list[Moment]:
    """Those that are so far apart at least."""
    kept: list[Moment] = []
    for it in moments:
        if not kept or it.time_ns - kept[-1].time_ns >= least_ns:
            kept.append(it)
    return kept


def _amount(value: float) -> Decimal:
    # of sums that are floats: two places are more than anybody reads from a curve
    return canonical(Decimal(f"{value:.2f}"))
