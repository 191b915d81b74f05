"""Figures of an account that is known by its totals only, and what of them may be spent or withdrawn.

    margin balance    = balance - borrowed - interest + realised P&L + unrealised P&L
    equity            = margin balance + option value
    available         = max(0, margin balance - IM)
    withdrawable      = max(0, available - max(0, profit of the session that is not settled))

Sources: Deribit, account summary (segregated standard margin, and X:PM, where each currency shows the whole account); Bybit, wallet balance (equity of a coin with a spot loan);
Orderly, "Formulas and definitions" (total and free collateral).
"""

from collections.abc import Iterable
from decimal import Decimal

import msgspec

from engine.margin.figures import Figures
from engine.margin.quotes import requirement_price
from engine.marks.mark_book import Prices
from engine.numbers import ZERO, divide, exact
from engine.policy import Policy


class AccountTotals(msgspec.Struct, frozen=True, kw_only=True):
    """What a venue says of an account without its positions; all in one currency."""

    balance: Decimal = ZERO
    """Settled."""
    borrowed: Decimal = ZERO
    interest: Decimal = ZERO
    realised_pnl: Decimal = ZERO
    """Realised since the last settlement."""
    unrealised_pnl: Decimal = ZERO
    """Of contracts other than options."""
    option_value: Decimal = ZERO
    initial_margin: Decimal = ZERO
    maintenance_margin: Decimal = ZERO

    @property
    def unsettled_profit(self) -> Decimal:
        """Realised + unrealised P&L since the last settlement."""
        with exact():
            return self.realised_pnl + self.unrealised_pnl


def totals_figures(totals: AccountTotals) -> Figures:
    """The figures of an account whose margin balance is its collateral value."""
    with exact():
        # balance - borrowed - interest + P&L since the last settlement
        margin_balance = totals.balance - totals.borrowed - totals.interest + totals.unsettled_profit
        return Figures(
            equity=margin_balance + totals.option_value,
            collateral_value=margin_balance,
            initial_margin=totals.initial_margin,
            maintenance_margin=totals.maintenance_margin,
            degraded=False,
        )


def withdrawable(figures: Figures, unsettled_profit: Decimal = ZERO) -> Decimal:
    """What may leave the account, in account currency: the available margin without a profit that is not settled yet."""
    with exact():
        # available - max(0, unsettled profit)
        return max(ZERO, figures.available_margin - max(ZERO, unsettled_profit))


def figures_in(asset: str, figures: Figures, prices: Prices, policy: Policy) -> Figures:
    """The figures of the whole account in units of `asset`, at the price at which requirements in it count."""
    with exact():
        price = requirement_price(policy, asset, prices)
        return Figures(
            # amount / requirement price
            equity=divide(figures.equity, price),
            collateral_value=divide(figures.collateral_value, price),
            initial_margin=divide(figures.initial_margin, price),
            maintenance_margin=divide(figures.maintenance_margin, price),
            degraded=figures.degraded,
        )


def account_leverage(deltas: Iterable[Decimal], equity: Decimal) -> Decimal:
    """Sum of |delta| / equity, negative with negative equity. Raises `decimal.DivisionByZero` without equity."""
    with exact():
        return divide(sum(map(abs, deltas), ZERO), equity)
