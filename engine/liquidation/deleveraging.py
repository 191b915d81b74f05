"""Who gives up what when the insurance fund cannot bear a takeover: a quantity and a price for each winner.

    price of a cut   of bankruptcy price, the winner's entry price and the mark the best for the winner, but no better than the mark:
                     nobody is closed at a loss, or gains by being closed
    given            |value(quantity, price) - value(quantity, mark)| * index(settle)
    needed           deficit - what the fund pays of it

    size position    closed = the contracts that are taken over, whatever is needed of them
    size deficit     closed = the fewest lots whose given is what is needed, and no more contracts than are taken over

    queue            one winner after the other, each whole, until there is enough
    pro rata         share of a winner = weight / sum of weights; what one cannot give, the others do by the same weights
    neutral last     first among accounts that are not hedged in the underlying, then among the others what is left

Shares are rounded on their running sum, so all of them together are at most one lot more than was asked for.
Closing at a bankruptcy price gives a fixed sum per contract. A rule that counts contracts therefore takes what the fund could
have borne as well, while a rule that counts money does not: that difference is the overshoot (`engine.liquidation.adl_score`).
"""

import math
from collections.abc import Iterable, Sequence
from decimal import Decimal
from fractions import Fraction
from typing import NamedTuple

import msgspec

from engine.liquidation.adl import AdlCandidate, ranked
from engine.liquidation.lots import FINEST, lot_of
from engine.numbers import ONE, ZERO, canonical, divide, exact, to_step
from engine.policy import Instrument
from engine.policy.rules.deleveraging_rules import DeleveragingRules
from engine.policy.rules.policy_switches import DeleveragedSize, Deleveraging


class Closing(msgspec.Struct, frozen=True, kw_only=True):
    """A position that is taken over, whose other side is closed."""

    instrument: Instrument
    quantity: Decimal
    """Signed contracts of the account that is taken over."""
    price: Decimal
    """Its bankruptcy price."""
    mark: Decimal
    index: Decimal
    """Of the settle asset."""

    @property
    def deficit(self) -> Decimal:
        """What taking it over at its price loses at the mark, in account currency; 0 where that gains. Inside `exact()`."""
        # a long is worth less than its price, a short costs more
        worse = self.price - self.mark if self.quantity > 0 else self.mark - self.price
        return self.given(abs(self.quantity), self.price) if worse > 0 else ZERO

    def given(self, quantity: Decimal, price: Decimal) -> Decimal:
        """What winners give whose `quantity` contracts are closed at `price`, in account currency. Inside `exact()`."""
        # |value(quantity, price) - value(quantity, mark)| * index(settle)
        value = self.instrument.value
        return abs(value(quantity, price) - value(quantity, self.mark)) * self.index


class AdlCut(msgspec.Struct, frozen=True):
    """What one winner gives up. Amounts in account currency."""

    account: str
    position: str
    isolated: bool
    quantity: Decimal
    """Contracts that are closed, > 0."""
    price: Decimal
    forgone: Decimal
    """What closing them at this price gives up against the mark."""
    unrealised_pnl: Decimal
    """Of the whole position before."""
    equity_after: Decimal
    """equity + uPnL - forgone."""


def closing_short_of(
    deficit: Decimal,
    price: Decimal,
    mark: Decimal,
    index: Decimal,
    instrument: Instrument,
    *,
    taken_long: bool,
) -> Closing | None:
    """The fewest lots of a position whose takeover at `price` leaves `deficit` (account currency) unpaid; None where none does."""
    with exact():
        side = ONE if taken_long else -ONE
        one = Closing(instrument=instrument, quantity=side, price=price, mark=mark, index=index)
        if not one.deficit:
            return None
        # quantity = deficit / deficit of one contract
        quantity = to_step(divide(deficit, one.deficit), lot_of(instrument.quantity_step), "up")
        return msgspec.structs.replace(one, quantity=canonical(side * quantity))


class _Seat(NamedTuple):
    """A winner, and at what price a contract of it gives how much."""

    winner: AdlCandidate
    price: Decimal
    gives: Decimal

    @property
    def contracts(self) -> Decimal:
        return abs(self.winner.quantity)


def deleverage(
    closing: Closing, candidates: Iterable[AdlCandidate], rules: DeleveragingRules, needed: Decimal
) -> tuple[AdlCut, ...]:
    """The cuts that give `needed` (account currency), or close all that is taken over, as the size has it; in their order.

    Candidates of the side that is taken over and those without profit are passed over. Equal scores keep their order.
    """
    with exact():
        seats = [
            _seat(closing, winner)
            for winner in candidates
            if winner.quantity * closing.quantity < 0 and winner.unrealised_pnl > 0
        ]
        if rules.size is DeleveragedSize.DEFICIT:
            seats = [seat for seat in seats if seat.gives]
        contracts, money, cuts = abs(closing.quantity), needed, []
        for group in _groups(seats, rules):
            for cut in _cut(closing, group, rules, contracts, money):
                cuts.append(cut)
                contracts, money = contracts - cut.quantity, money - cut.forgone
        return tuple(cuts)


def _seat(closing: Closing, winner: AdlCandidate) -> _Seat:
    instrument, long = closing.instrument, winner.quantity > 0
    size = winner.quantity * instrument.multiplier
    # entry value = size * entry price;  inverse: size / entry price
    entry = divide(size, winner.entry_value) if instrument.inverse else divide(winner.entry_value, size)
    # on the tick, in the winner's favour, and no better than the mark
    entry = to_step(entry, instrument.price_step or FINEST, "ceiling" if long else "floor")
    inner, outer = (min, max) if long else (max, min)
    price = outer(inner(closing.price, closing.mark), inner(entry, closing.mark))
    return _Seat(winner, price, closing.given(ONE, price))


def _groups(seats: list[_Seat], rules: DeleveragingRules) -> list[list[_Seat]]:
    """Those who are asked first, then those who are asked for what is left; each in the order in which they are cut."""
    if rules.rule is Deleveraging.QUEUE:
        by_winner = {id(seat.winner): seat for seat in seats}
        seats = [by_winner[id(it)] for it in ranked((seat.winner for seat in seats), rules.ranking)]
    if not rules.neutral_last:
        return [seats]
    return [[it for it in seats if it.winner.neutral is neutral] for neutral in (False, True)]


def _cut(
    closing: Closing, seats: list[_Seat], rules: DeleveragingRules, contracts: Decimal, money: Decimal
) -> list[AdlCut]:
    """Cuts among these that close `contracts`, or give `money`, as the policy counts it. Inside `exact()`."""
    by_money = rules.size is DeleveragedSize.DEFICIT
    if contracts <= 0 or (by_money and money <= 0):
        return []
    units = [Fraction(seat.gives) if by_money else Fraction(1) for seat in seats]
    shares = _shares(Fraction(money if by_money else contracts), seats, units, rules.rule)
    if by_money and sum(share / unit for share, unit in zip(shares, units, strict=True)) > contracts:
        # not even all contracts give the money in these shares: then it is they that are spread, as far as that is needed
        units = [Fraction(1)] * len(seats)
        shares = _shares(Fraction(contracts), seats, units, rules.rule)
        given = sum(
            (share * Fraction(seat.gives) for share, seat in zip(shares, seats, strict=True)), Fraction(0)
        )
        needed = min(Fraction(1), Fraction(money) / given)
        shares = [share * needed for share in shares]
    lot = lot_of(closing.instrument.quantity_step)
    cuts, asked, closed, left = [], Fraction(0), Fraction(0), contracts
    for seat, unit, share in zip(seats, units, shares, strict=True):
        asked += share
        lots = math.ceil((asked - closed) / unit / Fraction(lot))
        quantity = min(lot * lots, seat.contracts, left)
        if quantity <= 0:
            continue
        left -= quantity
        closed += Fraction(quantity) * unit
        cuts.append(_told(closing, seat, quantity))
    return cuts


def _shares(
    total: Fraction, seats: Sequence[_Seat], units: Sequence[Fraction], rule: Deleveraging
) -> list[Fraction]:
    """What each is asked for of `total`, and at most what it has, in the unit that is counted."""
    most = [Fraction(seat.contracts) * unit for seat, unit in zip(seats, units, strict=True)]
    if rule is Deleveraging.QUEUE:
        shares = []
        for has in most:
            shares.append(min(has, total))
            total -= shares[-1]
        return shares
    weights = [max(Fraction(0), Fraction(_weight(seat, rule))) for seat in seats]
    shares = [Fraction(0)] * len(seats)
    weighed = sum(weights)
    # who has least for its weight is full first
    for place in sorted(
        (it for it, weight in enumerate(weights) if weight), key=lambda it: (most[it] / weights[it], it)
    ):
        # share = left * weight / weights left
        shares[place] = min(most[place], total * weights[place] / weighed)
        total, weighed = total - shares[place], weighed - weights[place]
    return shares


def _weight(seat: _Seat, rule: Deleveraging) -> Decimal:
    match rule:
        case Deleveraging.PRO_RATA_PROFIT:
            return seat.winner.unrealised_pnl
        case Deleveraging.PRO_RATA_EQUITY:
            return seat.winner.equity + seat.winner.unrealised_pnl
        case _:
            return seat.contracts


def _told(closing: Closing, seat: _Seat, quantity: Decimal) -> AdlCut:
    winner, forgone = seat.winner, closing.given(quantity, seat.price)
    return AdlCut(
        winner.account,
        winner.position,
        winner.isolated,
        canonical(quantity),
        canonical(seat.price),
        canonical(forgone),
        winner.unrealised_pnl,
        canonical(winner.equity + winner.unrealised_pnl - forgone),
    )
