"""Health: one number per account, in account currency, that must not fall below 0 (Mango v4, `health/cache.rs`).

    health     = sum over assets of weighted(amount + contract health settled in it)  +  sum over pairs of order value
    weighted   = amount * asset price * asset weight              a liability: * liability price * liability weight
    amount     = wallet - what open spot orders have reserved

    contract   = worse of "all buys filled" and "all sells filled", at the mark, not at the orders' prices:
                 P&L with the position's value weighted (asset weight long, liability weight short), at the scale of
                 the mark; where it is positive, times the profit share, or the share that the losing side can pay where that
                 is less and its margin rules ask. It lands in the settle asset before that asset's weight applies.

    pair       what is reserved ends up wholly as base or wholly as quote: the smaller of both effects on health, as if
                 every other pair had already turned into the same asset, and this one came last
    as base    = base reserved + quote reserved / (the lower of what the index and the highest bid would give)
    as quote   = quote reserved + base reserved * (index ratio or lowest ask, whichever gives less)

Initial health takes initial weights (times the deposit and borrow scale of crowded assets) and, where the policy values
conservatively, the less favourable of price and average; maintenance health takes maintenance weights and plain prices.

A stale asset counts 0, and so does what orders have reserved in a pair with a stale side. A liability keeps its last
price; one that never had a price makes the result useless, and `Health.unpriced` names it.
"""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Literal

import msgspec

from engine.ledger.accounts import AccountState, OpenOrder, Position
from engine.margin.collateral import borrow_scale, deposit_scale
from engine.margin.cross.order_margin import pool_orders, quantity_of
from engine.margin.funding_accrual import funding_accrued
from engine.margin.health.health_assets import AssetHealth, PairHealth, Reserves, resolved, sides
from engine.margin.position_margin import PositionMargin
from engine.margin.quotes import (
    asset_totals,
    asset_value_price,
    index_price,
    liability_price,
    mark_price,
    realisable_share,
)
from engine.marks.mark_book import Prices
from engine.numbers import ONE, ZERO
from engine.policy import Policy
from engine.policy.rules.health_weights import HealthRules
from engine.policy.rules.policy_switches import InstrumentKind

HealthKind = Literal["initial", "maintenance"]


class ContractHealth(msgspec.Struct, frozen=True):
    """One symbol's contracts, both legs together, in settle asset."""

    symbol: str
    settle: str
    profit: Decimal
    """Unrealised P&L and funding accrued; a profit at its share, and as far as it is realisable."""
    health: Decimal
    """The same with the value weighted and the worse side of the orders filled."""


class Health(msgspec.Struct, frozen=True):
    """Everything that health is summed from."""

    assets: list[AssetHealth]
    contracts: list[ContractHealth]
    pairs: list[PairHealth]
    unpriced: tuple[str, ...]
    """Assets owed that never had a price: their amount counts one for one, and the sum cannot be trusted."""

    @property
    def value(self) -> Decimal:
        """Health, in account currency. Read it inside `numbers.exact()`."""
        own = sum((asset.value(asset.effective) for asset in self.assets), ZERO)
        return own + sum((pair.value for pair in self.pairs), ZERO)


def health(
    state: AccountState, held: Sequence[PositionMargin], prices: Prices, policy: Policy, kind: HealthKind
) -> Health:
    """Health of the shared pool whose positions are `held`. Call it inside `numbers.exact()`."""
    rules = _rules(policy)
    by_symbol: dict[str, list[OpenOrder]] = {}
    for orders in pool_orders(state, policy).values():
        by_symbol.setdefault(orders[0].symbol, []).extend(orders)
    reserves = {
        symbol: Reserves.of(orders, policy.instruments[symbol])
        for symbol, orders in by_symbol.items()
        if policy.instruments[symbol].kind is InstrumentKind.SPOT
    }
    traded = {margin.symbol: None for margin in held} | dict.fromkeys(by_symbol.keys() - reserves.keys())
    contracts = [
        _contract(symbol, held, by_symbol.get(symbol, []), state, prices, policy, kind)
        for symbol in sorted(traded)
    ]
    names = [*state.balances, *(it.settle for it in contracts)]
    names += [it for symbol in reserves for it in sides(policy.instruments[symbol])]
    assets = {
        asset: _asset(asset, state, contracts, reserves, rules, prices, policy, kind)
        for asset in dict.fromkeys(names)
    }
    return Health(
        assets=list(assets.values()),
        contracts=contracts,
        pairs=resolved(reserves, assets, policy),
        unpriced=tuple(
            asset.asset for asset in assets.values() if asset.effective < 0 and _never(asset, prices, policy)
        ),
    )


def _rules(policy: Policy) -> HealthRules:
    if policy.health is None:
        raise TypeError(f"policy {policy.name!r} has no health weights")
    return policy.health


def _never(asset: AssetHealth, prices: Prices, policy: Policy) -> bool:
    symbol = policy.assets[asset.asset].index
    return bool(symbol) and symbol not in prices.marks


def _contract(
    symbol: str,
    held: Sequence[PositionMargin],
    orders: Sequence[OpenOrder],
    state: AccountState,
    prices: Prices,
    policy: Policy,
    kind: HealthKind,
) -> ContractHealth:
    instrument, rules = policy.instruments[symbol], _rules(policy).contracts[symbol]
    weights, share = (
        (rules.initial, rules.initial_profit)
        if kind == "initial"
        else (rules.maintenance, rules.maintenance_profit)
    )
    realisable = realisable_share(symbol, prices) if symbol in policy.profit_capped else None
    if realisable is not None:
        share = min(share, realisable)
    legs = [margin for margin in held if margin.symbol == symbol]
    quantity = sum((leg.quantity for leg in legs), ZERO)
    entry_value = sum((state.positions[leg.key].entry_value for leg in legs), ZERO)
    profit = sum((leg.unrealised_pnl for leg in legs), ZERO)
    accrued = sum((funding_accrued(leg, state, prices, policy) for leg in legs), ZERO)
    low, high = _mark_range(symbol, legs, orders, prices, policy, kind)

    def outcome(sign: int) -> Decimal:
        ordered = quantity_of(order for order in orders if order.quantity * sign > 0)
        after = quantity + ordered
        at = low if after > 0 else high
        value = instrument.value(after, at)
        # a short, or a long paid for in coin, owes the value
        weight = weights.liability if (after < 0) != instrument.inverse else weights.asset
        entered = entry_value + instrument.value(ordered, high if sign > 0 else low)
        # health = weight * value - entry value                            (inverse: the other way round)
        weighted = value + (weight - ONE) * instrument.scaled_value(after, at)
        return instrument.profit(entered, weighted)

    def counted(amount: Decimal) -> Decimal:
        return amount * share if amount > 0 else amount

    worse = min(outcome(1), outcome(-1)) + accrued
    return ContractHealth(symbol, instrument.settle, counted(profit + accrued), counted(worse))


def _mark_range(
    symbol: str,
    legs: Sequence[PositionMargin],
    orders: Sequence[OpenOrder],
    prices: Prices,
    policy: Policy,
    kind: HealthKind,
) -> tuple[Decimal, Decimal]:
    """The mark, or where initial health values conservatively the lower and the higher of it and its average."""
    if legs:
        mark = legs[0].mark
    else:
        instrument = policy.instruments[symbol]
        resting = Position(orders[-1].quantity, instrument.value(orders[-1].quantity, orders[-1].price))
        mark, _ = mark_price(symbol, resting, prices, policy)
    known = prices.marks.get(symbol)
    if (
        kind != "initial"
        or not policy.pool.conservative_price
        or known is None
        or known.average_price is None
    ):
        return mark, mark
    return min(mark, known.average_price), max(mark, known.average_price)


def _asset(
    asset: str,
    state: AccountState,
    contracts: Sequence[ContractHealth],
    reserves: Mapping[str, Reserves],
    rules: HealthRules,
    prices: Prices,
    policy: Policy,
    kind: HealthKind,
) -> AssetHealth:
    listed, weights = policy.assets[asset], rules.assets[asset]
    index, fresh = index_price(policy, asset, prices)
    low = high = index
    pair = weights.maintenance
    asset_scale = liability_scale = ONE
    if kind == "initial":
        pair = weights.initial
        low, high = asset_value_price(policy, asset, prices), liability_price(policy, asset, prices)
        # the higher price scales both ways the most
        totals = asset_totals(policy, asset, prices)
        asset_scale = deposit_scale(listed, high, totals)
        liability_scale = borrow_scale(listed, high, totals)
    reserved = ZERO
    for symbol, of_pair in reserves.items():
        base, quote = sides(policy.instruments[symbol])
        reserved += (of_pair.base if base == asset else ZERO) + (of_pair.quote if quote == asset else ZERO)
    pledged = listed.collateral and asset not in state.collateral_off
    settled = [contract for contract in contracts if contract.settle == asset]
    return AssetHealth(
        asset=asset,
        amount=state.balances.get(asset, ZERO) - reserved,
        contract_profit=sum((contract.profit for contract in settled), ZERO),
        contract_health=sum((contract.health for contract in settled), ZERO),
        asset_price=low,
        liability_price=high,
        asset_weight=pair.asset * asset_scale if pledged else ZERO,
        liability_weight=pair.liability * liability_scale,
        fresh=fresh,
    )
