"""The shared pool of an account under portfolio margin: the same equity as in cross margin, judged on its net risk.

    C    = sum_a value(E_a)                  as in cross margin, option values included
    MM   = portfolio margin of every position and of the coins that are traded underlyings + borrow MM
    IM   = the same at initial rates; with open orders C less the smallest C - IM of: nothing filled, all buys filled,
           all sells filled

Coins whose underlying has contracts take part in the scenarios (a spot holding hedges a short perpetual); other assets
count by their collateral value alone. Coins that secure nothing, neither a position nor a debt, require nothing: nobody is liquidated for
what is held and paid for, and a liquidation that has closed all and repaid all has ended.

Twin: `engine.book.boxes.unit_swings`.
"""

from decimal import Decimal

import msgspec

from engine.ledger.accounts import AccountState, OpenOrder
from engine.ledger.booking import booked_order
from engine.margin.cross.asset_equity import PooledAsset, pooled_assets
from engine.margin.cross.cross_pool import cross_positions
from engine.margin.figure_lines import asset_lines
from engine.margin.figures import Figures, Line, MarginBreakdown
from engine.margin.portfolio import PortfolioMargin, portfolio_margin
from engine.margin.portfolio.pool_exposures import pool_exposures
from engine.margin.position_margin import PositionMargin
from engine.margin.quotes import index_price
from engine.marks.mark_book import Prices
from engine.numbers import ONE, ZERO, exact
from engine.policy import Policy
from engine.policy.rules.portfolio_rules import PortfolioRules


class PortfolioPool(msgspec.Struct, frozen=True):
    """Everything the figures of the pool are summed from, without its open orders."""

    positions: list[PositionMargin]
    assets: list[PooledAsset]
    margin: PortfolioMargin
    degraded: bool

    @property
    def equity(self) -> Decimal:
        """Sum of E_a * index."""
        return sum((asset.amount * asset.index for asset in self.assets), ZERO)

    @property
    def collateral_value(self) -> Decimal:
        """Sum of value(E_a)."""
        return sum((asset.collateral_value for asset in self.assets), ZERO)

    @property
    def secures(self) -> bool:
        """Whether the coins answer for anything: a position, or a debt."""
        return bool(self.positions) or any(asset.amount < 0 for asset in self.assets)

    @property
    def initial_margin(self) -> Decimal:
        """Portfolio IM + borrow IM + liabilities that count as a requirement; 0 of coins that secure nothing."""
        if not self.secures:
            return ZERO
        owed = sum((it.borrow_initial_margin + it.liability_value for it in self.assets), ZERO)
        return self.margin.initial_margin + owed

    @property
    def maintenance_margin(self) -> Decimal:
        """Portfolio MM + borrow MM + liabilities that count as a requirement; 0 of coins that secure nothing."""
        if not self.secures:
            return ZERO
        owed = sum((it.required for it in self.assets), ZERO)
        return self.margin.maintenance_margin + owed


class _Sides(msgspec.Struct, frozen=True):
    """What open orders require on top, by the worse side."""

    initial: Decimal
    maintenance: Decimal
    count: Decimal


_NO_ORDERS = _Sides(ZERO, ZERO, ZERO)


def portfolio_figures(state: AccountState, prices: Prices, policy: Policy) -> Figures:
    """The figures of the pool at `prices`. The policy has portfolio rules."""
    with exact():
        return summed(portfolio_pool(state, prices, policy), state, prices, policy)


def summed(pool: PortfolioPool, state: AccountState, prices: Prices, policy: Policy) -> Figures:
    """The figures of a pool and the open orders of its account. Inside `numbers.exact()`."""
    orders = _orders(state, pool, prices, policy)
    flat = orders.count * policy.pool.order_requirement
    return Figures(
        pool.equity,
        pool.collateral_value,
        pool.initial_margin + orders.initial + flat,
        pool.maintenance_margin + orders.maintenance + flat,
        pool.degraded,
        _liquidation_fee(pool, prices, policy),
    )


def portfolio_pool(state: AccountState, prices: Prices, policy: Policy) -> PortfolioPool:
    """The parts of the pool at `prices`, without open orders. Call it inside `numbers.exact()`."""
    rules = portfolio_rules(policy)
    held, degraded = cross_positions(state, prices, policy)
    assets = pooled_assets(state, held, prices, policy, options_count=True)
    exposures, unknown = pool_exposures(held, assets, prices, policy)
    stable, stable_fresh = stable_price(prices, policy)
    secures = bool(held) or any(asset.amount < 0 for asset in assets)
    stale = secures and not (stable_fresh and all(asset.fresh for asset in assets))
    return PortfolioPool(
        held, assets, portfolio_margin(exposures, rules, stable), degraded or unknown or stale
    )


def explain_portfolio(state: AccountState, prices: Prices, policy: Policy) -> MarginBreakdown:
    """The figures of the pool at `prices`, as lines that sum to them."""
    figures = portfolio_figures(state, prices, policy)
    with exact():
        pool = portfolio_pool(state, prices, policy)
        lines: list[Line] = []
        for asset in pool.assets:
            lines += asset_lines(asset, pool.positions, state, prices, policy)
        lines += pool.margin.lines if pool.secures else ()
        lines += _order_lines(_orders(state, pool, prices, policy), policy)
        if figures.liquidation_fee:
            inputs = {"rate": policy.pool.liquidation_fee_rate}
            lines.append(
                Line("liquidation_fee", "positions", "rate * N * index", inputs, figures.liquidation_fee)
            )
    return MarginBreakdown(state.account, None, figures, tuple(lines), policy.digest)


def stable_price(prices: Prices, policy: Policy) -> tuple[Decimal, bool]:
    """Price of the stablecoin whose peg the rules watch, and whether it is fresh; 1 where they watch none."""
    peg = portfolio_rules(policy).peg
    return (ONE, True) if peg is None or not peg.asset else index_price(policy, peg.asset, prices)


def portfolio_rules(policy: Policy) -> PortfolioRules:
    """The portfolio rules of the policy. Raises TypeError where it has none."""
    if policy.portfolio is None:
        raise TypeError(f"policy {policy.name!r} has no portfolio margin")
    return policy.portfolio


def counted_orders(state: AccountState) -> list[OpenOrder]:
    """Open orders that count in the pool, by their ids."""
    return [order for _, order in sorted(state.orders.items()) if not (order.isolated or order.reduce_only)]


def _orders(state: AccountState, pool: PortfolioPool, prices: Prices, policy: Policy) -> _Sides:
    counted = counted_orders(state)
    if not counted:
        return _NO_ORDERS
    initial = maintenance = ZERO
    collateral = pool.collateral_value
    for side in (1, -1):
        after = state
        for order in counted:
            if order.quantity * side > 0:
                after = booked_order(after, order, policy)
        if after is state:
            continue
        filled = portfolio_pool(after, prices, policy)
        # on top = (C - IM as it is) - (C - IM once the side has filled)
        lost = collateral - filled.collateral_value
        initial = max(initial, filled.initial_margin - pool.initial_margin + lost)
        maintenance = max(maintenance, filled.maintenance_margin - pool.maintenance_margin + lost)
    return _Sides(initial, maintenance if policy.pool.orders_in_maintenance else ZERO, Decimal(len(counted)))


def _order_lines(orders: _Sides, policy: Policy) -> list[Line]:
    if not orders.count:
        return []
    inputs = {"open_orders": orders.count, "each": policy.pool.order_requirement}
    flat = orders.count * policy.pool.order_requirement
    formula = (
        "worse of all buys and all sells filled, less the pool as it is, + open orders * requirement of each"
    )
    return [
        Line("initial_margin", "orders", formula, inputs, orders.initial + flat),
        Line("maintenance_margin", "orders", formula, inputs, orders.maintenance + flat),
    ]


def _liquidation_fee(pool: PortfolioPool, prices: Prices, policy: Policy) -> Decimal:
    rate = policy.pool.liquidation_fee_rate
    if not rate:
        return ZERO
    return sum(
        (rate * it.notional * index_price(policy, it.settle, prices)[0] for it in pool.positions), ZERO
    )
