"""The assets of a shared pool: what stands in the wallet, what positions settled in it have gained, what it is worth.

E_a  = wallet_a + sum(uPnL settled in a) + accrued funding, where the policy counts it
value(E_a)                                                  `engine.margin.collateral`
"""

from decimal import Decimal

import msgspec

from engine.accounts import AccountState
from engine.margin.collateral import borrow_margin, collateral_value
from engine.margin.funding import funding_accrued
from engine.margin.position import PositionMargin
from engine.margin.quotes import asset_value_price, index_price, liability_price
from engine.marks import Prices
from engine.numbers import ZERO
from engine.policy import Policy


class PooledAsset(msgspec.Struct, frozen=True):
    """One asset of the pool; amounts in coins unless they say value or margin (account currency)."""

    asset: str
    wallet: Decimal
    profit: Decimal
    """Unrealised P&L settled in the asset, and funding accrued."""
    counted_profit: Decimal
    """The same, profits only at their weight."""
    index: Decimal
    fresh: bool
    collateral_value: Decimal
    liability_value: Decimal
    """Value owed that counts as a requirement; 0 where liabilities lower the collateral value."""
    borrow_initial_margin: Decimal
    borrow_maintenance_margin: Decimal

    @property
    def amount(self) -> Decimal:
        """E_a, profits whole."""
        return self.wallet + self.profit


def pooled_assets(
    state: AccountState, held: list[PositionMargin], prices: Prices, policy: Policy, *, options_count: bool
) -> list[PooledAsset]:
    """Every asset of the pool; `options_count` says whether option values are collateral. Inside `numbers.exact()`."""
    profits: dict[str, tuple[Decimal, Decimal]] = dict.fromkeys(state.balances, (ZERO, ZERO))
    for margin in held:
        profit, counted = margin.unrealised_pnl, margin.counted_pnl
        if options_count and policy.has_options and policy.instruments[margin.symbol].kind == "option":
            counted = profit
        if policy.pool.funding_accrual:
            accrued = funding_accrued(margin, prices, policy)
            profit += accrued
            counted += accrued
        whole, weighted = profits.get(margin.settle, (ZERO, ZERO))
        profits[margin.settle] = whole + profit, weighted + counted
    return [
        pooled_asset(asset, state, profit, counted, prices, policy)
        for asset, (profit, counted) in profits.items()
    ]


def pooled_asset(
    asset: str, state: AccountState, profit: Decimal, counted: Decimal, prices: Prices, policy: Policy
) -> PooledAsset:
    """One asset of the pool. Call it inside `numbers.exact()`."""
    rules, wallet = policy.assets[asset], state.balances.get(asset, ZERO)
    index, fresh = index_price(policy, asset, prices)
    amount = wallet + counted
    value, beside = _pledged(asset, wallet, counted, state, prices, policy)
    owed = initial = maintenance = ZERO
    if amount < 0 and rules.borrow_tiers:
        initial, maintenance = borrow_margin(rules, -amount, liability_price(policy, asset, prices))
    if value < 0 and policy.pool.liabilities == "requirement":
        value, owed = ZERO, -value
    value += beside
    return PooledAsset(asset, wallet, profit, counted, index, fresh, value, owed, initial, maintenance)


def _pledged(
    asset: str, wallet: Decimal, profit: Decimal, state: AccountState, prices: Prices, policy: Policy
) -> tuple[Decimal, Decimal]:
    """value(E_a), below 0 for a liability, and the value of profit that is kept apart from the balance.

    A loss that is kept apart lowers the collateral value, whatever a liability counts as.
    """
    rules, totals = policy.assets[asset], prices.totals.get(asset)
    _, fresh = index_price(policy, asset, prices)
    pledged = fresh and asset not in state.collateral_off

    def value(amount: Decimal) -> Decimal:
        price = (liability_price if amount < 0 else asset_value_price)(policy, asset, prices)
        return collateral_value(rules, amount, price, fresh=pledged, totals=totals)

    if policy.pool.haircut_on == "equity":
        return value(wallet + profit), ZERO
    if not fresh and profit > 0:
        return value(wallet), ZERO
    # haircut on the balance alone: value(wallet) + profit * index
    price = (liability_price if profit < 0 else asset_value_price)(policy, asset, prices)
    return value(wallet), profit * price
