"""When funding settles, and which settlement a payment is for.

    settlements = offset + n * interval since the epoch

A payment is for the newest settlement that is not later than a sixteenth of the interval after it was booked: exchanges book a moment
before the hour, at it, or for a while after.
"""

from engine.policy import Instrument

_HOUR_NS = 3600 * 1_000_000_000
_EARLY = 16


def funding_interval_ns(instrument: Instrument) -> int:
    """Time between two settlements."""
    return int(instrument.funding_interval_hours * _HOUR_NS)


def last_settlement_ns(instrument: Instrument, time_ns: int) -> int:
    """The newest settlement at or before this time."""
    offset_ns = int(instrument.funding_offset_hours * _HOUR_NS)
    return time_ns - (time_ns - offset_ns) % funding_interval_ns(instrument)


def paid_settlement_ns(instrument: Instrument, booked_ns: int) -> int:
    """The settlement that a payment booked at this time is for."""
    return last_settlement_ns(instrument, booked_ns + funding_interval_ns(instrument) // _EARLY)
