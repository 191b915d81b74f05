"""How a margin requirement of fixed positions answers to a market: its steepest rises, and how far its peak stands above its trough.

rise within a window    max over t1 < t2 <= t1 + window of    margin(t2) / margin(t1) - 1
peak to trough          max margin / min margin

A window longer than the recording cannot be filled; the rise is then the largest of the whole recording, and says so.

Source: D. Murphy, M. Vasios, N. Vause, "An investigation into the procyclicality of risk-based initial margin models", Bank of England
Financial Stability Paper 29 (2014): n-day and peak-to-trough measures of a constant portfolio.
"""

from collections import deque
from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import NamedTuple

import msgspec

from engine.numbers import ONE, divide, exact


class MarginSample(NamedTuple):
    """A requirement at a time."""

    time_ns: int
    margin: Decimal
    """Account currency."""


class Rise(msgspec.Struct, frozen=True, kw_only=True):
    """The largest rise within a window."""

    window_ns: int
    """As it was asked for."""
    shorter: bool
    """The recording is shorter than the window, so it is the rise of the whole recording."""
    rise: Decimal | None
    """As a fraction, >= 0; None where nothing was required."""
    from_ns: int
    to_ns: int
    """When it began and ended; equal where nothing rose."""


class Responsiveness(msgspec.Struct, frozen=True, kw_only=True):
    """One course of a requirement; amounts in account currency."""

    samples: int
    length_ns: int
    first: Decimal
    last: Decimal
    peak: Decimal
    peak_ns: int
    trough: Decimal
    trough_ns: int
    peak_to_trough: Decimal | None
    """None where the trough is nothing."""
    rises: tuple[Rise, ...]


def responsiveness(samples: Sequence[MarginSample], windows_ns: Iterable[int]) -> Responsiveness:
    """Of samples (at least one) in the order of time."""
    peak = max(samples, key=lambda it: it.margin)
    trough = min(samples, key=lambda it: it.margin)
    length_ns = samples[-1].time_ns - samples[0].time_ns
    with exact():
        return Responsiveness(
            samples=len(samples),
            length_ns=length_ns,
            first=samples[0].margin,
            last=samples[-1].margin,
            peak=peak.margin,
            peak_ns=peak.time_ns,
            trough=trough.margin,
            trough_ns=trough.time_ns,
            peak_to_trough=divide(peak.margin, trough.margin) if trough.margin else None,
            rises=tuple(_largest_rise(samples, window_ns, length_ns) for window_ns in windows_ns),
        )


def _largest_rise(samples: Sequence[MarginSample], window_ns: int, length_ns: int) -> Rise:
    # the least margins of the window that ends at the present sample, each lower than those behind it
    lowest: deque[MarginSample] = deque()
    best: Decimal | None = None
    begin = end = samples[0].time_ns
    for sample in samples:
        if not sample.margin:
            # out of nothing there is no rise
            continue
        while lowest and lowest[-1].margin >= sample.margin:
            lowest.pop()
        lowest.append(sample)
        while sample.time_ns - lowest[0].time_ns > window_ns:
            lowest.popleft()
        rise = divide(sample.margin, lowest[0].margin) - ONE
        if best is None or rise > best:
            best, begin, end = rise, lowest[0].time_ns, sample.time_ns
    return Rise(window_ns=window_ns, shorter=length_ns < window_ns, rise=best, from_ns=begin, to_ns=end)
