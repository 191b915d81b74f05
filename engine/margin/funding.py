"""Funding between settlements, and how long an account can pay it.

    payment of an interval  = - value(mark) * funding rate            longs pay when the rate is positive
    accrued                 = payment * time since the last settlement / interval
Settlements are at the multiples of the instrument's interval since the epoch.
"""

from decimal import Decimal

from engine.margin.position import PositionMargin
from engine.marks import NANOSECONDS, Prices
from engine.numbers import ZERO, divide
from engine.policy import Instrument, Policy

_HOUR_NS = 3600 * NANOSECONDS


def funding_payment(margin: PositionMargin, prices: Prices, policy: Policy) -> Decimal:
    """What one whole interval at the current rate pays the position (< 0: costs it), in settle asset."""
    instrument, mark = policy.instruments[margin.symbol], prices.marks.get(margin.symbol)
    if instrument.kind != "perpetual" or mark is None or not mark.funding_rate:
        return ZERO
    # payment = - value(mark) * funding rate
    return -instrument.value(margin.quantity, margin.mark) * mark.funding_rate


def funding_accrued(margin: PositionMargin, prices: Prices, policy: Policy) -> Decimal:
    """The part of the running interval's payment that has accrued by `prices.time_ns`, in settle asset."""
    payment = funding_payment(margin, prices, policy)
    if not payment:
        return ZERO
    interval_ns = funding_interval_ns(policy.instruments[margin.symbol])
    # accrued = payment * time since the last settlement / interval
    return divide(payment * (prices.time_ns % interval_ns), Decimal(interval_ns))


def funding_interval_ns(instrument: Instrument) -> int:
    """The funding interval in nanoseconds."""
    return int(instrument.funding_interval_hours * _HOUR_NS)
