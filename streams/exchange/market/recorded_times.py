"""Times of a recording: which unit a file has, and each of its times in Unix milliseconds.

A number says its unit by its size: between the years 2000 and 2100, seconds, milliseconds, microseconds and nanoseconds
have no number in common. The first time of a file decides for all of it, so a file that changes its unit is told by line,
and no row is ever played in another decade. A time without an offset is UTC.
"""

from collections.abc import Callable
from datetime import UTC, datetime
from decimal import ROUND_FLOOR, Decimal, InvalidOperation
from functools import lru_cache

import msgspec

from streams.exchange.market.recorded_text import shown

SECONDS_MIN, SECONDS_MAX = 946_684_800, 4_102_444_800
"""The years 2000 to 2100."""
UNITS = {"seconds": 1, "milliseconds": 10**3, "microseconds": 10**6, "nanoseconds": 10**9}
ISO = "ISO 8601"
ACCEPTED = "accepted are ISO 8601, and seconds, milliseconds, microseconds or nanoseconds since 1970, of 2000 to 2100"
_MS = 1_000
_UTC_WORDS = (" UTC", " GMT")
_SHOWN_MAX = 40


class TimeFault(Exception):  # noqa: N818 - it names what is wrong with a time
    """A time cannot be read; the message is its rule."""


class Clock(msgspec.Struct, frozen=True):
    """How a file writes its times."""

    unit: str
    ms: Callable[[str], int]
    """Unix ms of a time; raises `TimeFault` for one in another unit."""


def clock_of(text: str) -> Clock:
    """The clock of a file by its first time. Raises `TimeFault` where it is none."""
    unit = _unit_of(text)
    if unit is None:
        raise TimeFault(f"time {shown(text, _SHOWN_MAX)} is in no unit that is known: {ACCEPTED}")
    if unit == ISO:
        return Clock(unit, lambda text: _iso_ms(text, unit))
    return Clock(unit, _numbers(unit))


def is_time(text: str) -> bool:
    """Whether a field can be a time at all."""
    return _unit_of(text) is not None


def _numbers(unit: str) -> Callable[[str], int]:
    per_second = UNITS[unit]
    low, high = SECONDS_MIN * per_second, SECONDS_MAX * per_second

    def ms(text: str) -> int:
        try:
            number: int | Decimal = int(text)
        except ValueError:
            number = _number(text) or 0
        if low <= number < high:
            # time in ms = number / units per second * 1000, down to the whole one
            return int((Decimal(number) * _MS / per_second).to_integral_value(ROUND_FLOOR))
        raise _other(text, unit)

    def whole_ms(text: str) -> int:
        try:
            number = int(text)
        except ValueError:
            return ms(text)
        if low <= number < high:
            return number
        raise _other(text, unit)

    return whole_ms if per_second == _MS else ms


def _iso_ms(text: str, unit: str) -> int:
    moment = _iso(text)
    if moment is None:
        raise _other(text, unit)
    return int(moment.timestamp()) * _MS + moment.microsecond // _MS


def _other(text: str, unit: str) -> TimeFault:
    found = _unit_of(text)
    said = f"in {found}" if found else f"in no unit that is known ({ACCEPTED})"
    return TimeFault(f"time {shown(text, _SHOWN_MAX)} is {said}, the file's first is in {unit}")


def _unit_of(text: str) -> str | None:
    number = _number(text)
    if number is not None:
        for unit, per_second in UNITS.items():
            if SECONDS_MIN * per_second <= number < SECONDS_MAX * per_second:
                return unit
    return ISO if _iso(text) else None


def _number(text: str) -> Decimal | None:
    try:
        number = Decimal(text)
    except InvalidOperation:
        return None
    return number if number.is_finite() else None


@lru_cache(maxsize=1_024)
def _iso(text: str) -> datetime | None:
    text = text.upper()  # "t" and "z" may be small
    for word in _UTC_WORDS:
        text = text.removesuffix(word)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return moment if SECONDS_MIN <= moment.timestamp() < SECONDS_MAX else None
