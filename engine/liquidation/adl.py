"""A bankrupt pool's deficit: the insurance fund pays first, then the winners of the other side give up profit.

    deficit        = sum of max(0, -equity) over the pools that were taken over
    from the fund  = min(deficit, fund)
    forgone        = min(deficit left, uPnL)                    winner by winner, in rank order

A winner is closed at the bankruptcy price and so forgoes no more than the deficit that is left; it keeps the rest of its
profit. Paying out the whole profit would create money. Source of rankings and rule: FLOX-Foundation/flox,
`LiquidationEngine`; Binance and Bybit rank by profit times effective leverage.
"""

from collections.abc import Iterable
from decimal import Decimal
from fractions import Fraction
from typing import Literal

import msgspec

from engine.numbers import ZERO, exact

AdlRanking = Literal["pnl_ratio", "leverage_weighted", "position_size"]
"""uPnL / equity | uPnL * notional / equity | |quantity|; the largest score is closed first."""


class AdlCandidate(msgspec.Struct, frozen=True):
    """A position on the opposite side of a bankrupt one."""

    account: str
    quantity: Decimal
    unrealised_pnl: Decimal
    notional: Decimal
    equity: Decimal
    """What backs the position before its unrealised P&L: isolated margin, or the pool's equity without it."""
    position: str = ""
    """Its key, where it matters which of the account's it is."""
    isolated: bool = False


class AdlCut(msgspec.Struct, frozen=True):
    """What one winner gives up."""

    account: str
    forgone: Decimal
    equity_after: Decimal
    """Its equity once the position is closed: equity + uPnL - forgone."""


class DeficitCover(msgspec.Struct, frozen=True):
    """Who bears a deficit; the parts sum to it."""

    deficit: Decimal
    from_fund: Decimal
    fund_after: Decimal
    cuts: tuple[AdlCut, ...]
    uncovered: Decimal
    """What neither fund nor winners could pay."""


def total_deficit(equities: Iterable[Decimal]) -> Decimal:
    """What pools taken over at these equities leave unpaid."""
    with exact():
        # sum of max(0, -equity)
        return sum((max(ZERO, -equity) for equity in equities), ZERO)


def ranked(candidates: Iterable[AdlCandidate], ranking: AdlRanking) -> list[AdlCandidate]:
    """The candidates in profit, first to be closed first. Equal scores keep their order: pass accounts in order.

    A winner without equity of its own has no finite leverage and ranks before all that have, by its profit.
    """
    winners = [candidate for candidate in candidates if candidate.unrealised_pnl > 0]
    return sorted(winners, key=lambda winner: _score(winner, ranking), reverse=True)


def cover_deficit(deficit: Decimal, insurance_fund: Decimal, winners: Iterable[AdlCandidate]) -> DeficitCover:
    """Spread `deficit` over the fund and then over `winners` in the order given (see `ranked`)."""
    with exact():
        # from the fund = min(deficit, fund)
        from_fund = min(deficit, insurance_fund)
        left = deficit - from_fund
        cuts = []
        for winner in winners:
            if not left:
                break
            # forgone = min(deficit left, uPnL)
            forgone = min(left, winner.unrealised_pnl)
            left -= forgone
            cuts.append(AdlCut(winner.account, forgone, winner.equity + winner.unrealised_pnl - forgone))
        return DeficitCover(deficit, from_fund, insurance_fund - from_fund, tuple(cuts), left)


def _score(winner: AdlCandidate, ranking: AdlRanking) -> tuple[bool, Fraction]:
    """(without equity, score); fractions, so that no rounding decides who is first."""
    if ranking == "position_size":
        return False, abs(Fraction(winner.quantity))
    profit, equity = Fraction(winner.unrealised_pnl), Fraction(winner.equity)
    if equity <= 0:
        return True, profit
    # uPnL / equity;  leverage_weighted: uPnL * notional / equity
    weight = Fraction(winner.notional) if ranking == "leverage_weighted" else Fraction(1)
    return False, profit * weight / equity
