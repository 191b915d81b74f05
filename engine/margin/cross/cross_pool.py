"""The cross pool of an account: one equity, one requirement.

    E_a  = wallet_a + sum(uPnL settled in a) + accrued funding, where the policy counts it
    E    = sum_a E_a * index_a
    C    = sum_a value(E_a)                                     `engine.margin.collateral`
    MM   = sum over positions of MM * index(settle) + borrow MM + order MM          (IM likewise)

A price that is stale or missing: collateral in that asset counts 0, a liability keeps its last price, a position
keeps its last mark, and the pool is flagged `degraded`. Collateral that secures nothing (neither a position nor a
liability) degrades nothing. A liability that never had a price cannot be valued: its amount counts one for one in
account currency.

Twin: `engine.book.boxes.pool_swings`, for the sums.
"""

from collections.abc import Sequence
from decimal import Decimal

import msgspec

from engine.ledger.accounts import AccountState, OpenOrder
from engine.ledger.resting_orders import order_totals
from engine.margin.cross.asset_equity import PooledAsset, pooled_assets
from engine.margin.cross.hedge_legs import hedged
from engine.margin.cross.order_margin import (
    OrderMargin,
    contract_order_margin,
    market_of,
    option_order_margin,
    pool_orders,
)
from engine.margin.cross.order_sums import goes_by_sums, order_sum_margin, pool_totals
from engine.margin.cross.spot_orders import asset_changes, filled_margin, reserved_margin
from engine.margin.figures import Figures
from engine.margin.options.option_pool import OptionGroup, option_groups, option_position
from engine.margin.position_margin import PositionMargin, margin_by
from engine.margin.quotes import mark_price, open_interest, realisable_share, requirement_price
from engine.marks.mark_book import Prices
from engine.numbers import ONE, ZERO, exact
from engine.policy import Policy
from engine.policy.rules.policy_switches import InstrumentKind, OptionValue, SpotOrders
from engine.position_keys import symbol_of

_OPTION, _SPOT, _VALUE_IS_COLLATERAL = InstrumentKind.OPTION, InstrumentKind.SPOT, OptionValue.COLLATERAL
_FILLED = SpotOrders.FILLED


class CrossPool(msgspec.Struct, frozen=True):
    """Everything the figures of the cross pool are summed from."""

    positions: list[PositionMargin]
    assets: list[PooledAsset]
    options: list[OptionGroup]
    orders: list[OrderMargin]
    orders_open: int
    requirement_prices: dict[str, Decimal]
    """By settle asset: what a unit of requirement is worth in account currency."""
    degraded: bool


def cross_figures(state: AccountState, prices: Prices, policy: Policy) -> Figures:
    """The figures of the cross pool at `prices`."""
    with exact():
        return summed(cross_pool(state, prices, policy), policy)


def summed(pool: CrossPool, policy: Policy) -> Figures:
    """The figures of a cross pool. Call it inside `numbers.exact()`."""
    equity = collateral = fee = ZERO
    initial = maintenance = pool.orders_open * policy.pool.order_requirement
    for asset in pool.assets:
        equity += asset.amount * asset.index
        collateral += asset.collateral_value
        initial += asset.borrow_initial_margin + asset.liability_value
        maintenance += asset.required
    for order in pool.orders:
        collateral += order.collateral_value
    required: Sequence[PositionMargin | OptionGroup | OrderMargin] = pool.positions
    if pool.options or pool.orders:
        required = [*pool.positions, *pool.options, *pool.orders]
    one_settle = len(pool.requirement_prices) == 1
    for settle, price in pool.requirement_prices.items():
        due = required if one_settle else [it for it in required if it.settle == settle]
        initial += sum([it.initial_margin for it in due], ZERO) * price
        maintenance += sum([it.maintenance_margin for it in due], ZERO) * price
    if policy.pool.liquidation_fee_rate:
        fee = liquidation_fee(pool, policy)
    return Figures(equity, collateral, initial, maintenance, pool.degraded, fee)


def cross_pool(state: AccountState, prices: Prices, policy: Policy) -> CrossPool:
    """The parts of the cross pool at `prices`. Call it inside `numbers.exact()`."""
    held, degraded = cross_positions(state, prices, policy)
    held = hedged(held, state, prices, policy)
    assets = pooled_assets(
        state, held, prices, policy, options_count=policy.pool.option_value is _VALUE_IS_COLLATERAL
    )
    options, options_stale = option_groups(held, prices, policy) if policy.has_options else ([], False)
    orders, orders_open = pooled_orders(state, held, assets, prices, policy) if state.orders else ([], 0)
    settles = {margin.settle for margin in held}
    if orders:
        settles.update(order.settle for order in orders)
        degraded = degraded or not all(order.fresh for order in orders)
    if not (degraded or options_stale) and [asset for asset in assets if not asset.fresh]:
        # a stale asset that secures nothing degrades nothing
        degraded = bool(held or orders) or any(asset.amount < 0 for asset in assets)
    return CrossPool(
        held,
        assets,
        options,
        orders,
        orders_open,
        {it: requirement_price(policy, it, prices) if it else ONE for it in settles},
        degraded or options_stale,
    )


def cross_positions(state: AccountState, prices: Prices, policy: Policy) -> tuple[list[PositionMargin], bool]:
    """Margin of each cross position by itself, and whether any of their marks is stale or missing."""
    held = []
    degraded = False
    leverages, default = state.leverage, policy.leverage_default
    all_terms, marks, stale = policy.terms, prices.marks, prices.stale
    for key, position in state.positions.items():
        # in one-way mode the key is the symbol
        symbol = key if key in all_terms else symbol_of(key)
        terms, quoted = all_terms[symbol], marks.get(symbol)
        if quoted is None or symbol in stale:
            mark, degraded = mark_price(symbol, position, prices, policy)[0], True
        else:
            mark = quoted.price
        if terms.instrument.kind is _OPTION:
            held.append(option_position(key, position, mark, terms.instrument))
            continue
        leverage = leverages.get(symbol, default)
        interest = share = None
        if not terms.plain:
            interest, share = open_interest(symbol, prices), realisable_share(symbol, prices)
        held.append(margin_by(terms, key, symbol, position, mark, leverage, interest, share))
    return held, degraded


def liquidation_fee(pool: CrossPool, policy: Policy) -> Decimal:
    """Fee rate * notional of every position, in account currency. Call it inside `numbers.exact()`."""
    rate = policy.pool.liquidation_fee_rate
    return sum((rate * it.notional * pool.requirement_prices[it.settle] for it in pool.positions), ZERO)


def pooled_orders(
    state: AccountState,
    held: list[PositionMargin],
    assets: list[PooledAsset],
    prices: Prices,
    policy: Policy,
) -> tuple[list[OrderMargin], int]:
    """What each market's open orders require, and how many orders there are. Inside `numbers.exact()`."""
    orders, count = [], 0
    after = asset_changes(state, assets, prices, policy)
    markets: dict[str, list[PositionMargin]] = {}
    for margin in held:
        markets.setdefault(market_of(margin.key, policy), []).append(margin)
    one_by_one: dict[str, list[OpenOrder]] | None = None
    for key, totals in pool_totals(order_totals(state.orders), policy).items():
        count += sum(total.orders for total in totals.values())
        of_market = markets.get(key, ())
        if goes_by_sums(key, totals, of_market, prices, policy):
            orders.append(order_sum_margin(key, totals, of_market, state, prices, policy))
            continue
        one_by_one = one_by_one or pool_orders(state, policy)
        resting = one_by_one[key]
        kind = policy.instruments[symbol_of(key)].kind
        if kind is _SPOT and policy.pool.spot_orders is _FILLED:
            orders.append(filled_margin(key, resting, after, prices, policy))
        elif kind is _SPOT:
            orders.append(reserved_margin(key, resting, after, policy))
        elif kind is _OPTION:
            orders.append(option_order_margin(key, resting, held, prices, policy))
        else:
            orders.append(contract_order_margin(key, resting, of_market, state, prices, policy))
    return orders, count
