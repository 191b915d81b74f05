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


class PooledAsset(msgspec.Struct, frozen=True, gc=False):
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
    profits = dict.fromkeys(state.balances, ZERO)
    weighted = profits.copy()
    options_count = options_count and policy.has_options
    accrues = policy.pool.funding_accrual
    for margin in held:
        settle, profit, counted = margin.settle, margin.unrealised_pnl, margin.counted_pnl
        if options_count and policy.instruments[margin.symbol].kind == "option":
            counted = profit
        if accrues:
            accrued = funding_accrued(margin, prices, policy)
            profit += accrued
            counted += accrued
        profits[settle] = profits.get(settle, ZERO) + profit
        weighted[settle] = weighted.get(settle, ZERO) + counted
    return [
        pooled_asset(
            asset,
            state.balances.get(asset, ZERO),
            profit,
            weighted[asset],
            prices,
            policy,
            pledged=asset not in state.collateral_off,
        )
        for asset, profit in profits.items()
    ]


def pooled_asset(
    asset: str,
    wallet: Decimal,
    profit: Decimal,
    counted: Decimal,
    prices: Prices,
    policy: Policy,
    *,
    pledged: bool,
) -> PooledAsset:
    """One asset of the pool; `pledged` says whether the account wants it to count. Inside `numbers.exact()`."""
    rules = policy.assets[asset]
    index, fresh = index_price(policy, asset, prices)
    pledged = fresh and pledged
    amount = wallet + counted
    beside = owed = initial = maintenance = ZERO
    if policy.pool.haircut_on == "equity":
        value = _value(asset, amount, prices, policy, pledged=pledged)
    else:
        # haircut on the balance alone: value(wallet) + profit * index; a loss that is kept apart from the balance lowers
        # the collateral value, whatever a liability counts as
        value = _value(asset, wallet, prices, policy, pledged=pledged)
        if fresh or counted <= 0:
            beside = counted * (liability_price if counted < 0 else asset_value_price)(policy, asset, prices)
    if amount < 0 and rules.borrow_tiers:
        initial, maintenance = borrow_margin(rules, -amount, liability_price(policy, asset, prices))
    if value < 0 and policy.pool.liabilities == "requirement":
        value, owed = ZERO, -value
    return PooledAsset(
        asset, wallet, profit, counted, index, fresh, value + beside, owed, initial, maintenance
    )


def _value(asset: str, amount: Decimal, prices: Prices, policy: Policy, *, pledged: bool) -> Decimal:
    """value(E_a) of `amount`, below 0 for a liability."""
    price = (liability_price if amount < 0 else asset_value_price)(policy, asset, prices)
    return collateral_value(
        policy.assets[asset], amount, price, fresh=pledged, totals=prices.totals.get(asset)
    )
