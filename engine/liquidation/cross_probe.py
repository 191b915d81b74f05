"""The same answers as `standing.PoolProbe` for a plain cross pool, from sums: only what a step changes is computed anew.

A reduction changes the requirement of its position and one asset, a conversion changes two assets; everything else that the
figures of a cross pool are summed from stays. That does not hold where positions share requirements (legs of one symbol,
options) or open orders count.
"""

from decimal import Decimal

from engine.accounts import AccountState, OpenOrder
from engine.booking import filled
from engine.liquidation.standing import Standing
from engine.liquidation.trades import closing_cost, proceeds
from engine.margin.assets import PooledAsset, pooled_asset
from engine.margin.cross import cross_pool
from engine.margin.funding import funding_accrued
from engine.margin.model import model_of
from engine.margin.position import PositionMargin, position_margin
from engine.marks import Prices
from engine.numbers import ZERO
from engine.policy import Policy
from engine.position_keys import LEG_SEPARATOR


class CrossProbe:
    """A cross pool without legs, options and open orders."""

    def __init__(self, state: AccountState, prices: Prices, policy: Policy) -> None:
        """Take the account as it is; it must be one that `fits`."""
        self.state, self._prices, self._policy = state, prices, policy
        pool = cross_pool(state, prices, policy)
        self._held = {margin.key: margin for margin in pool.positions}
        self._assets = {pooled.asset: pooled for pooled in pool.assets}
        self._settle_prices = pool.requirement_prices
        self.marks = {key: margin.mark for key, margin in self._held.items()}
        self._required = {key: self._of_position(margin) for key, margin in self._held.items()}
        self._standings = {asset: _of_asset(pooled) for asset, pooled in self._assets.items()}
        equity = collateral = ZERO
        requirement = sum(self._required.values(), ZERO)
        for of_equity, of_collateral, of_requirement in self._standings.values():
            equity += of_equity
            collateral += of_collateral
            requirement += of_requirement
        self.now = Standing(equity, collateral, requirement)

    @staticmethod
    def fits(state: AccountState, prices: Prices, policy: Policy) -> bool:
        """Whether the sums hold for the shared pool of this account."""
        return (
            # a position without a mark is judged by its average entry price, which every fill rounds anew
            all(key in prices.marks and LEG_SEPARATOR not in key for key in state.positions)
            and model_of(state, policy) == "cross"
            and not (
                policy.has_options and any(policy.instruments[it].kind == "option" for it in state.positions)
            )
            and not any(map(_counts, state.orders.values()))
        )

    def notional(self, key: str) -> Decimal:
        """See `standing.Probe.notional`."""
        return self._held[key].notional

    def reduced(self, key: str, quantity: Decimal) -> Standing:
        """See `standing.Probe.reduced`."""
        before, held = self._held[key], self.state.positions[key]
        cost = closing_cost(key, quantity, before.mark, self._policy)
        profit, counted = self._profits(before)
        required = -self._required[key]
        if quantity == abs(held.quantity):
            # closed whole, a position realises the P&L that it had
            return self._changed(before.settle, before.unrealised_pnl - cost, -profit, -counted, required)
        signed = quantity if held.quantity < 0 else -quantity
        position, realised = filled(held, signed, before.mark, self._policy.instruments[key])
        interest = self._prices.open_interest.get(key)
        after = position_margin(key, position, before.mark, before.leverage, self._policy, interest)
        left, left_counted = self._profits(after)
        required += self._of_position(after)
        return self._changed(before.settle, realised - cost, left - profit, left_counted - counted, required)

    def converted(self, sell_asset: str, amount: Decimal, repay_asset: str) -> Standing:
        """See `standing.Probe.converted`."""
        credit = proceeds(sell_asset, amount, repay_asset, self._prices, self._policy)
        sold = self._changed(sell_asset, -amount, ZERO, ZERO, ZERO)
        repaid = self._changed(repay_asset, credit, ZERO, ZERO, ZERO)
        return Standing(*(a + b - c for a, b, c in zip(sold, repaid, self.now, strict=True)))

    def _changed(
        self, asset: str, wallet: Decimal, profit: Decimal, counted: Decimal, required: Decimal
    ) -> Standing:
        """With so much more in the wallet, of unrealised P&L, of what counts of it, and of requirement."""
        before, now, was = self._assets[asset], self.now, self._standings[asset]
        after = _of_asset(
            pooled_asset(
                asset,
                before.wallet + wallet,
                before.profit + profit,
                before.counted_profit + counted,
                self._prices,
                self._policy,
                pledged=asset not in self.state.collateral_off,
            )
        )
        return Standing(
            now.equity - was.equity + after.equity,
            now.collateral_value - was.collateral_value + after.collateral_value,
            now.requirement - was.requirement + after.requirement + required,
        )

    def _profits(self, margin: PositionMargin) -> tuple[Decimal, Decimal]:
        """Unrealised P&L, funding accrued included, and what counts of it: as `margin.assets.pooled_assets` sums them."""
        accrued = ZERO
        if self._policy.pool.funding_accrual:
            accrued = funding_accrued(margin, self._prices, self._policy)
        return margin.unrealised_pnl + accrued, margin.counted_pnl + accrued

    def _of_position(self, margin: PositionMargin) -> Decimal:
        # (MM + liquidation fee rate * N) * price of the settle asset
        fee = self._policy.pool.liquidation_fee_rate
        required = margin.maintenance_margin + fee * margin.notional if fee else margin.maintenance_margin
        return required * self._settle_prices[margin.settle]


def _of_asset(asset: PooledAsset) -> Standing:
    required = asset.borrow_maintenance_margin + asset.liability_value
    return Standing(asset.amount * asset.index, asset.collateral_value, required)


def _counts(order: OpenOrder) -> bool:
    return not (order.isolated or order.reduce_only)
