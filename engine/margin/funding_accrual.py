"""Funding between settlements, and how long an account can pay it.

    payment of an interval  = - value(mark) * funding rate            longs pay when the rate is positive, whatever the sign of
                                                                      the price: the value is that at its scale
    accrued                 = payment * time since the last booked settlement / interval

The last booked settlement is that of the newest payment, or the one before the position was opened, whichever is later
(`ledger.settlements`): so nothing jumps when the hour comes and the payment has not, or when the payment came a moment before the hour. A
payment that is missing for longer than `funding_grace_seconds` is taken as settled elsewhere, and accrual begins at the newest settlement.

Twin: `engine.book.boxes.position_swings`, which allows for all that can accrue at any rate of the band.
"""

from decimal import Decimal

from engine.ledger.accounts import AccountState
from engine.ledger.settlements import funding_interval_ns, last_settlement_ns
from engine.margin.position_margin import PositionMargin
from engine.marks.mark_book import NANOSECONDS, Prices
from engine.numbers import ZERO, divide
from engine.policy import Instrument, Policy
from engine.policy.rules.policy_switches import InstrumentKind

_PERPETUAL = InstrumentKind.PERPETUAL


def funding_payment(margin: PositionMargin, prices: Prices, policy: Policy) -> Decimal:
    """What one whole interval at the current rate pays the position (< 0: costs it), in settle asset."""
    instrument, mark = policy.instruments[margin.symbol], prices.marks.get(margin.symbol)
    if instrument.kind is not _PERPETUAL or mark is None or not mark.funding_rate:
        return ZERO
    # payment = - value(scale of the mark) * funding rate
    return -instrument.scaled_value(margin.quantity, margin.mark) * mark.funding_rate


def funding_accrued(
    margin: PositionMargin, state: AccountState, prices: Prices, policy: Policy, *, isolated: bool = False
) -> Decimal:
    """What has accrued by `prices.time_ns` and is not booked yet, in settle asset; ZERO where the policy does not count it."""
    payment = funding_payment(margin, prices, policy) if policy.pool.funding_accrual else ZERO
    if not payment:
        return ZERO
    settled = state.isolated_funded_ns if isolated else state.funded_ns
    instrument = policy.instruments[margin.symbol]
    elapsed_ns = _elapsed_ns(settled.get(margin.key), prices.time_ns, instrument, policy)
    # accrued = payment * time since the last booked settlement / interval
    return divide(payment * elapsed_ns, Decimal(funding_interval_ns(instrument)))


def _elapsed_ns(settled_ns: int | None, now_ns: int, instrument: Instrument, policy: Policy) -> int:
    """Time that has accrued; a little below 0 where the payment came before its hour."""
    longest_ns = funding_interval_ns(instrument) + int(policy.pool.funding_grace_seconds * NANOSECONDS)
    if settled_ns is None or now_ns - settled_ns > longest_ns:
        settled_ns = last_settlement_ns(instrument, now_ns)
    return now_ns - settled_ns
