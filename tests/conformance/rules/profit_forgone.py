"""A deficit borne in money alone: the fund, then winner by winner, each up to its whole profit at whatever price that takes.

    from the fund = min(deficit, fund)
    forgone       = min(deficit left, uPnL)                    winner by winner, in rank order

The product closes contracts at a price, which gives no more than that (`engine.liquidation.deleveraging`).
Source: FLOX-Foundation/flox, `LiquidationEngine`.
"""

from collections.abc import Iterable
from decimal import Decimal

import msgspec

from engine.liquidation.adl import AdlCandidate
from engine.numbers import exact


class Forgone(msgspec.Struct, frozen=True):
    """What one winner gives up."""

    account: str
    forgone: Decimal
    equity_after: Decimal


class MoneyCover(msgspec.Struct, frozen=True):
    """Who bears a deficit; the parts sum to it."""

    deficit: Decimal
    from_fund: Decimal
    fund_after: Decimal
    cuts: tuple[Forgone, ...]
    uncovered: Decimal


def money_cover(deficit: Decimal, insurance_fund: Decimal, winners: Iterable[AdlCandidate]) -> MoneyCover:
    """Spread `deficit` over the fund and then over `winners` in the order given."""
    with exact():
        from_fund = min(deficit, insurance_fund)
        left = deficit - from_fund
        cuts = []
        for winner in winners:
            if not left:
                break
            forgone = min(left, winner.unrealised_pnl)
            left -= forgone
            cuts.append(Forgone(winner.account, forgone, winner.equity + winner.unrealised_pnl - forgone))
        return MoneyCover(deficit, from_fund, insurance_fund - from_fund, tuple(cuts), left)
