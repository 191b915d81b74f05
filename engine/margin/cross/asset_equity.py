"""The assets of a shared pool: what stands in the wallet, what positions settled in it have gained, what it is worth.

E_a  = wallet_a + sum(uPnL settled in a) + accrued funding, where the policy counts it
value(E_a)                                                  `engine.margin.collateral`

Twin: `engine.book.boxes.pool_swings`, for the sums.
"""

from decimal import Decimal
from typing import Generic

import msgspec

from engine.ledger.accounts import AccountState
from engine.margin import exact_arithmetic
from engine.margin.arithmetic import Arithmetic, N
from engine.margin.collateral import UNSCALED, Scales, borrow_margin, collateral_value, scales_of
from engine.margin.funding_accrual import funding_accrued
from engine.margin.position_margin import PositionMargin
from engine.margin.quotes import asset_totals, asset_value_price, index_price, liability_price
from engine.marks.mark_book import Prices
from engine.numbers import ZERO
from engine.policy import Policy
from engine.policy.rules.policy_switches import HaircutOn, LiabilitiesAs

_ON_EQUITY, _DEBT_IS_REQUIRED = HaircutOn.EQUITY, LiabilitiesAs.REQUIREMENT


class AssetFigures(msgspec.Struct, Generic[N], frozen=True, gc=False):
    """One asset of the pool; amounts in coins unless they say value or margin (account currency)."""

    asset: str
    wallet: N
    profit: N
    """Unrealised P&L settled in the asset, and funding accrued."""
    counted_profit: N
    """The same, profits only at their weight."""
    index: N
    fresh: bool
    collateral_value: N
    liability_value: N
    """Value owed that counts as a requirement; 0 where liabilities lower the collateral value."""
    borrow_initial_margin: N
    borrow_maintenance_margin: N

    @property
    def amount(self) -> N:
        """E_a, profits whole."""
        return self.wallet + self.profit

    @property
    def required(self) -> N:
        """What owing the asset requires in MM."""
        return self.borrow_maintenance_margin + self.liability_value


PooledAsset = AssetFigures[Decimal]


class AssetPrices(msgspec.Struct, Generic[N], frozen=True, gc=False):
    """Prices of an asset in account currency."""

    at_index: N
    low: N
    """At which a positive amount counts."""
    high: N
    """At which a negative amount counts, before its liability factor."""
    fresh: bool
    scales: Scales = UNSCALED
    """How crowded the asset is."""


def pooled_assets(
    state: AccountState, held: list[PositionMargin], prices: Prices, policy: Policy, *, options_count: bool
) -> list[PooledAsset]:
    """Every asset of the pool; `options_count` says whether option values are collateral. Inside `numbers.exact()`."""
    profits = dict.fromkeys(state.balances, ZERO)
    uncounted: dict[str, Decimal] = {}
    """By settle asset, P&L that does not count as collateral."""
    accrues = policy.pool.funding_accrual
    for margin in held:
        settle, profit, counted = margin.settle, margin.unrealised_pnl, margin.counted_pnl
        if counted is not profit and not (options_count and margin.option):
            uncounted[settle] = uncounted.get(settle, ZERO) + (profit - counted)
        if accrues:
            profit += funding_accrued(margin, state, prices, policy)
        profits[settle] = profits.get(settle, ZERO) + profit
    balances, off = state.balances, state.collateral_off
    return [
        pooled_asset(
            asset,
            balances.get(asset, ZERO),
            profit,
            profit - uncounted[asset] if asset in uncounted else profit,
            prices,
            policy,
            pledged=asset not in off,
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
    quoted = asset_prices(asset, prices, policy)
    return asset_figures(asset, wallet, profit, counted, quoted, policy, exact_arithmetic, pledged=pledged)


def asset_prices(asset: str, prices: Prices, policy: Policy) -> AssetPrices[Decimal]:
    """What one asset of the pool is valued at. Inside `numbers.exact()`."""
    index, fresh = index_price(policy, asset, prices)
    low = high = index
    if policy.pool.conservative_price:
        low, high = asset_value_price(policy, asset, prices), liability_price(policy, asset, prices)
    terms = policy.asset_terms[asset]
    if not terms.crowded:
        return AssetPrices(index, low, high, fresh)
    totals = asset_totals(policy, asset, prices)
    return AssetPrices(index, low, high, fresh, scales_of(terms.asset, low, high, totals))


def asset_figures(
    asset: str,
    wallet: N,
    profit: N,
    counted: N,
    prices: AssetPrices[N],
    policy: Policy,
    numbers: Arithmetic[N],
    *,
    pledged: bool,
) -> AssetFigures[N]:
    """`pooled_asset` in whatever number the prices are given in."""
    terms, pool = policy.asset_terms[asset], policy.pool
    low, high, fresh = prices.low, prices.high, prices.fresh
    by_equity = pool.haircut_on is _ON_EQUITY
    amount = wallet + counted
    subject = amount if by_equity else wallet
    value = collateral_value(
        terms, subject, low, high, numbers, pledged=fresh and pledged, scales=prices.scales
    )
    liability = initial = maintenance = numbers.NOTHING
    if terms.borrow_initial_lines:
        _, owed = numbers.parts(amount)
        if owed is not None:
            initial, maintenance = borrow_margin(terms, owed, high, numbers)
    if pool.liabilities is _DEBT_IS_REQUIRED:
        kept, owing = numbers.parts(value)
        value = numbers.NOTHING if kept is None else kept
        liability = liability if owing is None else owing
    if not by_equity:
        # haircut on the balance alone: value(wallet) + profit * index; a loss that is kept apart from the balance lowers
        # the collateral value, whatever a liability counts as, and a profit in a stale asset counts nothing
        gained, lost = numbers.parts(counted)
        if gained is not None and fresh:
            value += gained * low
        if lost is not None:
            value -= lost * high
    return AssetFigures(
        asset, wallet, profit, counted, prices.at_index, fresh, value, liability, initial, maintenance
    )
