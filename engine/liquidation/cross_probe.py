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
        parts = [*map(_of_asset, pool.assets), *map(self._of_position, pool.positions)]
        self.now = (
            Standing(*(sum(column, ZERO) for column in zip(*parts, strict=True))) if parts else _NOTHING
        )

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
        policy, before, held = self._policy, self._held[key], self.state.positions[key]
        instrument = policy.instruments[key]
        signed = quantity if held.quantity < 0 else -quantity
        position, realised = filled(held, signed, before.mark, instrument)
        wallet = realised - closing_cost(key, quantity, before.mark, policy)
        profit, counted = self._profits(before)
        now = _plus(self.now, self._of_position(before), -1)
        if position.quantity:
            interest = self._prices.open_interest.get(key)
            after = position_margin(key, position, before.mark, before.leverage, policy, interest)
            left, left_counted = self._profits(after)
            now = _plus(now, self._of_position(after))
        else:
            left = left_counted = ZERO
        return self._changed(now, before.settle, wallet, left - profit, left_counted - counted)

    def converted(self, sell_asset: str, amount: Decimal, repay_asset: str) -> Standing:
        """See `standing.Probe.converted`."""
        credit = proceeds(sell_asset, amount, repay_asset, self._prices, self._policy)
        now = self._changed(self.now, sell_asset, -amount, ZERO, ZERO)
        return self._changed(now, repay_asset, credit, ZERO, ZERO)

    def _changed(
        self, now: Standing, asset: str, wallet: Decimal, profit: Decimal, counted: Decimal
    ) -> Standing:
        """With so much more in the wallet, of unrealised P&L and of what counts of it."""
        before = self._assets[asset]
        holder = AccountState(
            self.state.account,
            balances={asset: before.wallet + wallet},
            collateral_off=self.state.collateral_off,
        )
        after = pooled_asset(
            asset, holder, before.profit + profit, before.counted_profit + counted, self._prices, self._policy
        )
        return _plus(_plus(now, _of_asset(before), -1), _of_asset(after))

    def _profits(self, margin: PositionMargin) -> tuple[Decimal, Decimal]:
        """Unrealised P&L, funding accrued included, and what counts of it: as `margin.assets.pooled_assets` sums them."""
        accrued = ZERO
        if self._policy.pool.funding_accrual:
            accrued = funding_accrued(margin, self._prices, self._policy)
        return margin.unrealised_pnl + accrued, margin.counted_pnl + accrued

    def _of_position(self, margin: PositionMargin) -> Standing:
        price = self._settle_prices[margin.settle]
        # (MM + liquidation fee rate * N) * price of the settle asset
        fee = self._policy.pool.liquidation_fee_rate * margin.notional
        return Standing(ZERO, ZERO, (margin.maintenance_margin + fee) * price)


def _of_asset(asset: PooledAsset) -> Standing:
    required = asset.borrow_maintenance_margin + asset.liability_value
    return Standing(asset.amount * asset.index, asset.collateral_value, required)


def _counts(order: OpenOrder) -> bool:
    return not (order.isolated or order.reduce_only)


def _plus(one: Standing, other: Standing, times: int = 1) -> Standing:
    return Standing(
        one.equity + times * other.equity,
        one.collateral_value + times * other.collateral_value,
        one.requirement + times * other.requirement,
    )


_NOTHING = Standing(ZERO, ZERO, ZERO)
