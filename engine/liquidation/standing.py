"""Where a pool stands against the exit line, now and after hypothetical reductions and repayments.

`PoolProbe` asks the margin model for the figures of the hypothetical account: right for every model, and as dear as judging
the account once more each time. `engine.liquidation.cross_probe` answers the same from sums.
"""

from decimal import Decimal
from typing import NamedTuple, Protocol

from engine.accounts import AccountState
from engine.liquidation.trades import converted, marks_of, positions_of, reduced
from engine.margin.isolated import isolated_figures
from engine.margin.model import shared_figures
from engine.margin.position import position_margin
from engine.marks import Prices
from engine.policy import Policy
from engine.position_keys import symbol_of


class Standing(NamedTuple):
    """What decides about liquidation; in account currency."""

    equity: Decimal
    collateral_value: Decimal
    requirement: Decimal

    @property
    def bankrupt(self) -> bool:
        """As `engine.ladder.band_at` has it."""
        return self.equity < 0 or (not self.equity and bool(self.requirement))

    def gap(self, line: Decimal) -> Decimal:
        """What the pool has above the line. Inside `numbers.exact()`."""
        # C - line * requirement
        return self.collateral_value - line * self.requirement

    def out(self, line: Decimal) -> bool:
        """Whether the pool may leave liquidation at this line: it is not below it, and not bankrupt."""
        return self.gap(line) >= 0 and not self.bankrupt


class Probe(Protocol):
    """One pool of an account as it is, and as it would be. Everything inside `numbers.exact()`."""

    state: AccountState
    marks: dict[str, Decimal]
    """By position key."""
    now: Standing

    def notional(self, key: str) -> Decimal:
        """What the tier of a position is picked by, in settle asset."""

    def reduced(self, key: str, quantity: Decimal) -> Standing:
        """With so many contracts closed at the mark and their cost paid."""

    def converted(self, sell_asset: str, amount: Decimal, repay_asset: str) -> Standing:
        """With so many coins sold to repay a debt."""


def standing(state: AccountState, pool: str, prices: Prices, policy: Policy) -> Standing:
    """Where the pool stands, by its margin model."""
    figures = isolated_figures(state, pool, prices, policy) if pool else shared_figures(state, prices, policy)
    return Standing(figures.equity, figures.collateral_value, figures.requirement)


class PoolProbe:
    """Any pool, by the figures of hypothetical accounts."""

    def __init__(self, state: AccountState, pool: str, prices: Prices, policy: Policy) -> None:
        """Take the account as it is."""
        self.state, self._pool, self._prices, self._policy = state, pool, prices, policy
        self.marks = marks_of(state, pool, prices, policy)
        self.now = standing(state, pool, prices, policy)

    def notional(self, key: str) -> Decimal:
        """See `Probe.notional`."""
        position, symbol = positions_of(self.state, self._pool)[key], symbol_of(key)
        leverage = self.state.leverage.get(symbol, self._policy.leverage_default)
        return position_margin(key, position, self.marks[key], leverage, self._policy).notional

    def reduced(self, key: str, quantity: Decimal) -> Standing:
        """See `Probe.reduced`."""
        after = reduced(self.state, self._pool, key, quantity, self.marks[key], self._policy)
        return self._at(after)

    def converted(self, sell_asset: str, amount: Decimal, repay_asset: str) -> Standing:
        """See `Probe.converted`."""
        return self._at(converted(self.state, sell_asset, amount, repay_asset, self._prices, self._policy))

    def _at(self, state: AccountState) -> Standing:
        return standing(state, self._pool, self._prices, self._policy)
