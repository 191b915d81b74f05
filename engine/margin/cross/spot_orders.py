"""What open orders in a spot pair require: the worse side of each pair counts, by one of two rules.

    reserved   outcome   = all buys (or all sells) of the pair have filled at their prices, against the balances
               required  = collateral value - liabilities - borrow margin, before less after the worse side, at least 0
    filled     outcome   = all buys (or all sells) have filled at the price of the base asset
               the pool counts the worse side as if it had happened: the base asset at its resulting amount and weight,
               what was paid as a requirement, what was received as collateral; neither nets with the quote balance

Every pair is judged by itself, from the balances as they are.

Source of `filled`: drift-labs/protocol-v2, worst case fill simulation of a spot position.
"""

from collections.abc import Callable, Sequence
from decimal import Decimal

import msgspec

from engine.ledger.accounts import AccountState, OpenOrder
from engine.margin.cross.asset_equity import PooledAsset, pooled_asset
from engine.margin.cross.order_margin import OrderMargin, order_margin, quantity_of
from engine.margin.quotes import asset_value_price, liability_price
from engine.marks.mark_book import Prices
from engine.numbers import ZERO
from engine.policy import Policy
from engine.policy.rules.policy_switches import LiabilitiesAs
from engine.position_keys import symbol_of

_DEBT_IS_COLLATERAL = LiabilitiesAs.COLLATERAL

AssetAfter = Callable[[str, Decimal], PooledAsset]
"""An asset of the pool once its balance has changed by so many coins."""


def asset_changes(
    state: AccountState, assets: Sequence[PooledAsset], prices: Prices, policy: Policy
) -> AssetAfter:
    """How each asset of the pool would stand after a change of its balance; `assets` are those of the pool."""
    by_asset = {pooled.asset: pooled for pooled in assets}

    def after(asset: str, change: Decimal) -> PooledAsset:
        now = by_asset.get(asset)
        wallet = state.balances.get(asset, ZERO) + change
        profit, counted = (now.profit, now.counted_profit) if now else (ZERO, ZERO)
        pledged = asset not in state.collateral_off
        return pooled_asset(asset, wallet, profit, counted, prices, policy, pledged=pledged)

    return after


class SpotFill(msgspec.Struct, frozen=True):
    """A base asset once one side of the orders in a pair has filled at the price of the asset; in account currency."""

    asset: PooledAsset
    value: Decimal
    """Of the resulting amount, before its weight."""
    weighted_value: Decimal
    """Of the resulting amount; < 0 for a liability."""
    orders_value: Decimal
    """> 0 received for what was sold, < 0 paid for what was bought."""

    @property
    def contribution(self) -> Decimal:
        """What the outcome adds to collateral less requirement."""
        return self.weighted_value + self.orders_value


def reserved_margin(key: str, orders: Sequence[OpenOrder], after: AssetAfter, policy: Policy) -> OrderMargin:
    """What the worse side of the orders in one pair would take away. Call it inside `numbers.exact()`."""
    pair = policy.instruments[symbol_of(key)]
    both = after(pair.base, ZERO), after(pair.settle, ZERO)
    initial, maintenance = _free(both)
    worse_initial, worse_maintenance = initial, maintenance
    for side in _both_sides(orders):
        paid = sum((pair.value(order.quantity, order.price) for order in side), ZERO)
        outcome = after(pair.base, quantity_of(side) * pair.multiplier), after(pair.settle, -paid)
        side_initial, side_maintenance = _free(outcome)
        worse_initial, worse_maintenance = (
            min(worse_initial, side_initial),
            min(worse_maintenance, side_maintenance),
        )
    taken = initial - worse_initial, maintenance - worse_maintenance
    return order_margin(key, "", orders, *taken, policy, fresh=all(asset.fresh for asset in both))


def filled_margin(
    key: str, orders: Sequence[OpenOrder], after: AssetAfter, prices: Prices, policy: Policy
) -> OrderMargin:
    """What changes when the worse side of one pair counts as filled. Call it inside `numbers.exact()`."""
    base = policy.instruments[symbol_of(key)].base
    fill, now = worse_fill(key, orders, after, prices, policy), after(base, ZERO)
    received, paid = max(ZERO, fill.orders_value), min(ZERO, fill.orders_value)
    if policy.pool.liabilities is _DEBT_IS_COLLATERAL:
        received, paid = fill.orders_value, ZERO
    owed = fill.asset.liability_value - now.liability_value - paid
    borrow_maintenance = fill.asset.borrow_maintenance_margin - now.borrow_maintenance_margin
    return OrderMargin(
        key=key,
        settle="",
        buys=quantity_of(order for order in orders if order.quantity > 0),
        sells=quantity_of(order for order in orders if order.quantity < 0),
        initial_margin=owed + fill.asset.borrow_initial_margin - now.borrow_initial_margin,
        maintenance_margin=owed + borrow_maintenance,
        collateral_value=fill.asset.collateral_value - now.collateral_value + received,
        fresh=now.fresh,
    )


def worse_fill(
    key: str, orders: Sequence[OpenOrder], after: AssetAfter, prices: Prices, policy: Policy
) -> SpotFill:
    """The side of the orders in one pair that leaves less. Call it inside `numbers.exact()`.

    A side without orders leaves the asset as it is; where both sides leave the same, it is the sells.
    """
    pair = policy.instruments[symbol_of(key)]
    buys, sells = (
        _fill(pair.base, quantity_of(side) * pair.multiplier, after, prices, policy)
        for side in _both_sides(orders)
    )
    return sells if sells.contribution <= buys.contribution else buys


def _fill(asset: str, coins: Decimal, after: AssetAfter, prices: Prices, policy: Policy) -> SpotFill:
    pooled = after(asset, coins)
    low, high = asset_value_price(policy, asset, prices), liability_price(policy, asset, prices)
    return SpotFill(
        asset=pooled,
        # value = amount * price
        value=pooled.amount * (high if pooled.amount < 0 else low),
        weighted_value=pooled.collateral_value - pooled.liability_value,
        # orders value = - coins * price: the higher one is paid, the lower one received
        orders_value=-coins * (high if coins > 0 else low),
    )


def _both_sides(orders: Sequence[OpenOrder]) -> tuple[list[OpenOrder], list[OpenOrder]]:
    buys = [order for order in orders if order.quantity > 0]
    return buys, [order for order in orders if order.quantity < 0]


def _free(assets: tuple[PooledAsset, PooledAsset]) -> tuple[Decimal, Decimal]:
    """Collateral value less what the assets require, by initial and by maintenance margin."""
    value = sum((it.collateral_value - it.liability_value for it in assets), ZERO)
    initial = sum((it.borrow_initial_margin for it in assets), ZERO)
    maintenance = sum((it.borrow_maintenance_margin for it in assets), ZERO)
    return value - initial, value - maintenance
