"""The pools over a box: `engine.margin.cross`, `assets`, `collateral` and `isolated`."""

from typing import NamedTuple

from engine.accounts import AccountState
from engine.book.boxes import swing
from engine.book.boxes.option_groups import option_groups
from engine.book.boxes.positions import Held, contract, cross_positions, funding, hedged
from engine.book.boxes.swing import NOTHING, Swing, TierLine, UnboundedError
from engine.book.boxes.view import View
from engine.book.expressible import has_pool_orders
from engine.margin.orders import pool_orders
from engine.policy import Asset, Policy
from engine.position_keys import symbol_of


class PoolSwing(NamedTuple):
    """The figures that decide a pool's band, in account currency."""

    equity: Swing
    collateral: Swing
    requirement: Swing
    """Liquidation fee included."""


class AssetSwing(NamedTuple):
    """One asset of a shared pool."""

    asset: str
    amount: Swing
    """Coins, profits whole."""
    price: Swing
    """Index price."""
    collateral: Swing
    required: Swing
    """Borrow margin, and the liability where it counts as a requirement."""


def cross(state: AccountState, view: View) -> PoolSwing:
    """The cross pool."""
    pool = view.policy.pool
    held = hedged(cross_positions(state, view), state, view)
    assets = pooled_assets(state, held, view, options_count=pool.option_value == "collateral")
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
    equity = (margin + own.profit) * index
    fee = own.notional.times(float(view.policy.pool.liquidation_fee_rate))
    return PoolSwing(equity, equity, (own.required + fee) * index)


def summed(assets: list[AssetSwing], required: list[Swing]) -> PoolSwing:
    """The pool of these assets that requires all this besides what its liabilities require."""
    return PoolSwing(
        swing.total(it.amount * it.price for it in assets),
        swing.total(it.collateral for it in assets),
        swing.total([*required, *(it.required for it in assets)]),
    )


def of_orders(state: AccountState, policy: Policy) -> Swing:
    """What open orders require by their existence."""
    pool = policy.pool
    if not has_pool_orders(state):
        return NOTHING
    if pool.orders_in_maintenance or pool.spot_orders == "filled":
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
        if options_count and view.policy.instruments[one.symbol].kind == "option":
            counted = profit
        accrued = funding(one, view)
        whole, weighted = profits.get(one.settle, (NOTHING, NOTHING))
        profits[one.settle] = whole + profit + accrued, weighted + counted + accrued
    return [_asset(asset, state, profit, counted, view) for asset, (profit, counted) in profits.items()]


def _asset(asset: str, state: AccountState, profit: Swing, counted: Swing, view: View) -> AssetSwing:
    rules, policy = view.policy.assets[asset], view.policy
    if rules.deposit_scale_start is not None or rules.borrow_scale_start is not None:
        raise UnboundedError("deposit_or_borrow_scale")
    wallet = swing.fixed(float(state.balances.get(asset, 0)))
    index, fresh = view.index(asset)
    low, high = view.asset_value_price(asset), view.liability_price(asset)
    pledged = fresh and rules.collateral and asset not in state.collateral_off
    amount, beside = wallet + counted, NOTHING
    if policy.pool.haircut_on == "equity":
        value = _value(rules, amount, low, high, pledged=pledged)
    else:
        value = _value(rules, wallet, low, high, pledged=pledged)
        # value(wallet) + profit * index; a profit in a stale asset counts nothing
        owned = swing.above_zero(counted) * low if fresh else NOTHING
        beside = owned - swing.above_zero(-counted) * high
    required = NOTHING
    if rules.borrow_tiers:
        required = swing.tiered(swing.above_zero(-amount), _borrow_lines(rules)) * high
    if policy.pool.liabilities == "requirement":
        required += swing.above_zero(-value)
        value = swing.above_zero(value)
    return AssetSwing(asset, wallet + profit, index, value + beside, required)


def _value(rules: Asset, amount: Swing, low: Swing, high: Swing, *, pledged: bool) -> Swing:
    """value(E_a): a positive amount by its tiers, a negative one at its factor; both are 0 at 0."""
    owed = (swing.above_zero(-amount) * high).times(float(rules.liability_factor))
    if not pledged:
        return -owed
    owned, lines = swing.above_zero(amount), _collateral_lines(rules)
    if rules.tiers_by == "value":
        return swing.tiered(owned * low, lines) - owed
    return swing.tiered(owned, lines) * low - owed


def _collateral_lines(rules: Asset) -> list[TierLine]:
    steps = [(float(tier.floor), float(tier.ratio)) for tier in rules.tiers]
    if rules.cap is not None:
        # what is above the cap is a tier that counts nothing
        cap = float(rules.cap)
        steps = [*(step for step in steps if step[0] < cap), (cap, 0.0)]
    return joined(steps)


def _borrow_lines(rules: Asset) -> list[TierLine]:
    return joined([(float(tier.floor), float(tier.maintenance_rate)) for tier in rules.borrow_tiers])


def joined(steps: list[tuple[float, float]]) -> list[TierLine]:
    """Marginal tiers (floor, rate) as lines that meet."""
    lines = []
    offset = rate_before = 0.0
    for floor, rate in steps:
        # offset_n = offset_(n-1) + floor_n * (rate_(n-1) - rate_n)
        offset += floor * (rate_before - rate)
        rate_before = rate
        lines.append((floor, rate, offset))
    return lines
