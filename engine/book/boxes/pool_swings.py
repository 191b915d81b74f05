"""The pools over a box: `engine.margin.cross.asset_equity.asset_figures` on bounds, and sums.

Twin: `engine.margin.cross.cross_pool`, `engine.margin.cross.asset_equity` (`pooled_assets`),
`engine.margin.isolated_pool` and `engine.margin.cross.order_margin`.
Exact figures come with initial margin, orders, lines and flags, which decide nothing here; what is left in common are sums.
"""

from typing import NamedTuple

from engine.book.boxes import swing
from engine.book.boxes.option_swings import option_groups
from engine.book.boxes.position_swings import Held, contract, cross_positions, funding, hedged
from engine.book.boxes.swing import NOTHING, Swing, UnboundedError
from engine.book.boxes.swing_view import View
from engine.book.expressible import has_pool_orders
from engine.ledger.accounts import AccountState
from engine.margin.cross.asset_equity import AssetFigures, AssetPrices, asset_figures
from engine.margin.cross.order_margin import pool_orders
from engine.numbers import ZERO
from engine.policy import Policy
from engine.policy.rules.policy_switches import (
    HaircutOn,
    InstrumentKind,
    LiabilitiesAs,
    OptionValue,
    SpotOrders,
    TiersBy,
)
from engine.position_keys import symbol_of

_ON_EQUITY, _OPTION, _DEBT_IS_REQUIRED = HaircutOn.EQUITY, InstrumentKind.OPTION, LiabilitiesAs.REQUIREMENT
_VALUE_IS_COLLATERAL, _FILLED, _BY_VALUE = OptionValue.COLLATERAL, SpotOrders.FILLED, TiersBy.VALUE


class PoolSwing(NamedTuple):
    """The figures that decide a pool's band, in account currency."""

    equity: Swing
    collateral: Swing
    requirement: Swing
    """Liquidation fee included."""


AssetSwing = AssetFigures[Swing]


def cross(state: AccountState, view: View) -> PoolSwing:
    """The cross pool."""
    pool = view.policy.pool
    held = hedged(cross_positions(state, view), state, view)
    assets = pooled_assets(state, held, view, options_count=pool.option_value is _VALUE_IS_COLLATERAL)
    required = [it.required * view.requirement_price(it.settle) for it in held]
    required += [group * view.requirement_price(settle) for settle, group in option_groups(held, view)]
    fee = float(pool.liquidation_fee_rate)
    if fee:
        required += [it.notional.times(fee) * view.requirement_price(it.settle) for it in held]
    return summed(assets, [*required, of_orders(state, view.policy)])


def isolated(state: AccountState, key: str, view: View) -> PoolSwing:
    """An isolated position."""
    held = state.isolated[key]
    margin = swing.fixed(float(held.margin))
    index, _ = view.index(view.policy.instruments[symbol_of(key)].settle)
    if not held.position.quantity:
        return PoolSwing(margin * index, margin * index, NOTHING)
    own = contract(key, held.position, state, view)
    equity = (margin + own.profit + funding(own, state.isolated_funded_ns, view)) * index
    fee = own.notional.times(float(view.policy.pool.liquidation_fee_rate))
    return PoolSwing(equity, equity, (own.required + fee) * index)


def summed(assets: list[AssetSwing], required: list[Swing]) -> PoolSwing:
    """The pool of these assets that requires all this besides what its liabilities require."""
    owing = [part for it in assets for part in (it.borrow_maintenance_margin, it.liability_value)]
    return PoolSwing(
        swing.total(it.amount * it.index for it in assets),
        swing.total(it.collateral_value for it in assets),
        swing.total([*required, *owing]),
    )


def of_orders(state: AccountState, policy: Policy) -> Swing:
    """What open orders require by their existence."""
    pool = policy.pool
    if not has_pool_orders(state):
        return NOTHING
    if pool.orders_in_maintenance or pool.spot_orders is _FILLED:
        raise UnboundedError("orders_in_maintenance")
    count = sum(map(len, pool_orders(state, policy).values()))
    return swing.fixed(count * float(pool.order_requirement))


def pooled_assets(
    state: AccountState, held: list[Held], view: View, *, options_count: bool
) -> list[AssetSwing]:
    """Every asset of a shared pool."""
    profits: dict[str, tuple[Swing, Swing]] = dict.fromkeys(state.balances, (NOTHING, NOTHING))
    for one in held:
        profit, counted = one.profit, one.counted
        if options_count and view.policy.instruments[one.symbol].kind is _OPTION:
            counted = profit
        accrued = funding(one, state.funded_ns, view)
        whole, weighted = profits.get(one.settle, (NOTHING, NOTHING))
        profits[one.settle] = whole + profit + accrued, weighted + counted + accrued
    return [_asset(asset, state, profit, counted, view) for asset, (profit, counted) in profits.items()]


def _asset(asset: str, state: AccountState, profit: Swing, counted: Swing, view: View) -> AssetSwing:
    if view.policy.asset_terms[asset].crowded:
        raise UnboundedError("deposit_or_borrow_scale")
    index, fresh = view.index(asset)
    prices = AssetPrices(index, view.asset_value_price(asset), view.liability_price(asset), fresh)
    wallet = swing.fixed(state.balances.get(asset, ZERO))
    pledged = asset not in state.collateral_off
    return asset_figures(asset, wallet, profit, counted, prices, view.policy, swing, pledged=pledged)
