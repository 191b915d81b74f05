"""Winners of the other side, in the order in which a queue closes them.

Source of the rankings: FLOX-Foundation/flox, `LiquidationEngine`; Binance and Bybit rank by profit times effective leverage.
"""

from collections.abc import Iterable
from decimal import Decimal
from fractions import Fraction

import msgspec

from engine.policy.rules.policy_switches import AdlRanking


class AdlCandidate(msgspec.Struct, frozen=True):
    """A position on the opposite side of one that is taken over. Amounts in account currency unless said otherwise."""

    account: str
    quantity: Decimal
    """Signed contracts."""
    unrealised_pnl: Decimal
    notional: Decimal
    equity: Decimal
    """What backs the position before its unrealised P&L: isolated margin, or the pool's equity without it."""
    entry_value: Decimal
    """Of the whole position, in settle asset (`Position.entry_value`)."""
    position: str = ""
    """Its key, where it matters which of the account's it is."""
    isolated: bool = False
    neutral: bool = False
    """Whether the account is hedged in the underlying; known only where the policy asks for it."""


def ranked(candidates: Iterable[AdlCandidate], ranking: AdlRanking) -> list[AdlCandidate]:
    """The candidates in profit, first to be closed first. Equal scores keep their order: pass accounts in order.

    A winner without equity of its own has no finite leverage and ranks before all that have, by its profit.
    """
    winners = [candidate for candidate in candidates if candidate.unrealised_pnl > 0]
    return sorted(winners, key=lambda winner: _score(winner, ranking), reverse=True)


def _score(winner: AdlCandidate, ranking: AdlRanking) -> tuple[bool, Fraction]:
    """(without equity, score); fractions, so that no rounding decides who is first."""
    if ranking is AdlRanking.POSITION_SIZE:
        return False, abs(Fraction(winner.quantity))
    profit, equity = Fraction(winner.unrealised_pnl), Fraction(winner.equity)
    if equity <= 0:
        return True, profit
    # uPnL / equity;  leverage_weighted: uPnL * notional / equity
    weight = Fraction(winner.notional) if ranking is AdlRanking.LEVERAGE_WEIGHTED else Fraction(1)
    return False, profit * weight / equity
