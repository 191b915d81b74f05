"""How long an account can pay funding at the current rates before it crosses a line.

    room to a line   = collateral value - line * requirement
    drain per hour   = room now - room after one hour of payments       (an owed asset may raise the requirement)
    hours to a line  = room / drain per hour
Prices, positions and rates are held; payments of one interval are spread evenly over its hours.
"""

from collections.abc import Sequence
from decimal import Decimal

import msgspec

from engine.ledger.accounts import AccountState
from engine.margin.cross.cross_pool import cross_positions
from engine.margin.figures import Figures
from engine.margin.funding_accrual import funding_payment
from engine.margin.margin_model import shared_figures
from engine.margin.quotes import index_price
from engine.marks.mark_book import Prices
from engine.numbers import ONE, ZERO, canonical, divide, exact
from engine.policy import Policy


class PositionFunding(msgspec.Struct, frozen=True):
    """What one cross position pays (< 0) or receives for one funding interval."""

    key: str
    interval_hours: Decimal
    payment: Decimal
    """Per interval, account currency."""


class FundingDrain(msgspec.Struct, frozen=True):
    """Funding of the shared pool at the current rates."""

    positions: tuple[PositionFunding, ...]
    drain_per_hour: Decimal
    """Room to a line of 1 lost per hour, account currency; < 0 when funding is received."""
    hours_to_line: tuple[tuple[Decimal, Decimal | None], ...]
    """By line (a portfolio margin ratio): hours, 0 where it is crossed already, None where it is never reached."""


def funding_drain(
    state: AccountState, prices: Prices, policy: Policy, lines: Sequence[Decimal]
) -> FundingDrain:
    """The drain of the shared pool, and how long it takes to each of `lines`."""
    now = shared_figures(state, prices, policy)
    with exact():
        positions, per_hour = _payments(state, prices, policy)
        balances = dict(state.balances)
        for asset, amount in per_hour.items():
            balances[asset] = balances.get(asset, ZERO) + amount
    hour_later = shared_figures(msgspec.structs.replace(state, balances=balances), prices, policy)
    with exact():
        return FundingDrain(
            tuple(positions),
            canonical(_room(now, ONE) - _room(hour_later, ONE)),
            tuple((line, _hours(now, hour_later, line)) for line in lines),
        )


def _room(figures: Figures, line: Decimal) -> Decimal:
    return figures.collateral_value - line * figures.requirement


def _hours(now: Figures, hour_later: Figures, line: Decimal) -> Decimal | None:
    # hours to a line = room / (room now - room after one hour of payments)
    room = _room(now, line)
    drain = room - _room(hour_later, line)
    if room < 0:
        return ZERO
    return divide(room, drain) if drain > 0 and now.requirement else None


def _payments(
    state: AccountState, prices: Prices, policy: Policy
) -> tuple[list[PositionFunding], dict[str, Decimal]]:
    """Each position's payment, and what all of them pay in an hour by settle asset."""
    held, _ = cross_positions(state, prices, policy)
    positions: list[PositionFunding] = []
    per_hour: dict[str, Decimal] = {}
    for margin in held:
        payment = funding_payment(margin, prices, policy)
        if not payment:
            continue
        hours = policy.instruments[margin.symbol].funding_interval_hours
        index, _ = index_price(policy, margin.settle, prices)
        positions.append(PositionFunding(margin.key, hours, canonical(payment * index)))
        per_hour[margin.settle] = per_hour.get(margin.settle, ZERO) + divide(payment, hours)
    return positions, per_hour
