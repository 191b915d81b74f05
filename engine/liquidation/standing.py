"""Where a pool stands against the exit line, now and after hypothetical reductions and repayments.

`PoolProbe` asks the margin model for the figures of the hypothetical account: right for every model, and as dear as judging
the account once more each time. `engine.liquidation.cross_probe` answers the same from sums.
"""

from decimal import Decimal
from functools import cached_property
from typing import Protocol, Self

from engine.ledger.accounts import AccountState
from engine.liquidation.linear_closing import LinearClosing
from engine.liquidation.trades import converted, marks_of, positions_of, realised_amounts, reduced
from engine.margin.cross.cross_pool import cross_positions
from engine.margin.figures import Standing
from engine.margin.isolated_pool import isolated_figures
from engine.margin.margin_model import model_of, shared_figures
from engine.margin.position_margin import position_margin
from engine.marks.mark_book import Prices
from engine.numbers import ZERO
from engine.policy import Policy
from engine.policy.rules.policy_switches import MarginModel
from engine.position_keys import symbol_of


class Probe(Protocol):
    """One pool of an account as it is, and as it would be. Everything inside `numbers.exact()`."""

    state: AccountState
    tiered: bool
    """Whether what a position requires is its own, by its tier."""

    @property
    def now(self) -> Standing:
        """Where the pool stands."""

    def mark(self, key: str) -> Decimal:
        """What the position is judged by."""

    def notional(self, key: str) -> Decimal:
        """What the tier of a position is picked by, in settle asset."""

    def amounts(self) -> dict[str, Decimal]:
        """Of a shared pool, see `trades.realised_amounts`."""

    def foremost(self, limits: dict[str, Decimal]) -> list[str]:
        """Of the positions, of which so many contracts may be closed now, those that may gain most per cost."""

    def in_vain(self, sell_asset: str, amount: Decimal, repay_asset: str, line: Decimal) -> bool:
        """Whether selling so many coins to repay a debt surely brings the pool no nearer to the line."""

    def closing(self, key: str, cost: Decimal) -> LinearClosing | None:
        """What `reduced` tells, where that is linear in the contracts of the position; each costs so much settle asset."""

    def reduced(self, key: str, quantity: Decimal, cost: Decimal) -> Standing:
        """With so many contracts closed at the mark and their cost, in settle asset, paid."""

    def converted(self, sell_asset: str, amount: Decimal, repay_asset: str) -> Standing:
        """With so many coins sold to repay a debt."""

    def after_reduction(self, key: str, quantity: Decimal, cost: Decimal) -> Self:
        """The pool that `reduced` tells of."""

    def after_conversion(self, sell_asset: str, amount: Decimal, repay_asset: str) -> Self:
        """The pool that `converted` tells of."""


_CLOSED = Standing(ZERO, ZERO, ZERO)
"""Of an isolated position that was closed, and its margin given back, while a plan of it was due."""


class PoolProbe:
    """Any pool, by the figures of hypothetical accounts."""

    def __init__(self, state: AccountState, pool: str, prices: Prices, policy: Policy) -> None:
        """Take the account as it is."""
        self.state, self._pool, self._prices, self._policy = state, pool, prices, policy
        self._marks = marks_of(state, pool, prices, policy)
        self.tiered = bool(pool) or model_of(state, policy) is MarginModel.CROSS

    @cached_property
    def now(self) -> Standing:
        """See `Probe.now`."""
        if not self._pool:
            return shared_figures(self.state, self._prices, self._policy).standing
        if self._pool not in self.state.isolated:
            return _CLOSED
        return isolated_figures(self.state, self._pool, self._prices, self._policy).standing

    def mark(self, key: str) -> Decimal:
        """See `Probe.mark`."""
        return self._marks[key]

    def notional(self, key: str) -> Decimal:
        """See `Probe.notional`."""
        position, symbol = positions_of(self.state, self._pool)[key], symbol_of(key)
        leverage = self.state.leverage.get(symbol, self._policy.leverage_default)
        return position_margin(key, position, self._marks[key], leverage, self._policy).notional

    def amounts(self) -> dict[str, Decimal]:
        """See `Probe.amounts`."""
        return realised_amounts(self.state, cross_positions(self.state, self._prices, self._policy)[0])

    def foremost(self, limits: dict[str, Decimal]) -> list[str]:
        """See `Probe.foremost`: each is a case of its own."""
        return [*limits]

    def closing(self, _key: str, _cost: Decimal) -> None:
        """See `Probe.closing`: the margin model does not say so."""

    def in_vain(self, _sell_asset: str, _amount: Decimal, _repay_asset: str, _line: Decimal) -> bool:
        """See `Probe.in_vain`: the margin model does not say so beforehand."""
        return False

    def reduced(self, key: str, quantity: Decimal, cost: Decimal) -> Standing:
        """See `Probe.reduced`."""
        return self.after_reduction(key, quantity, cost).now

    def converted(self, sell_asset: str, amount: Decimal, repay_asset: str) -> Standing:
        """See `Probe.converted`."""
        return self.after_conversion(sell_asset, amount, repay_asset).now

    def after_reduction(self, key: str, quantity: Decimal, cost: Decimal) -> "PoolProbe":
        """See `Probe.after_reduction`."""
        state = reduced(self.state, self._pool, key, quantity, self._marks[key], cost, self._policy)
        return PoolProbe(state, self._pool, self._prices, self._policy)

    def after_conversion(self, sell_asset: str, amount: Decimal, repay_asset: str) -> "PoolProbe":
        """See `Probe.after_conversion`."""
        state = converted(self.state, sell_asset, amount, repay_asset, self._prices, self._policy)
        return PoolProbe(state, self._pool, self._prices, self._policy)
