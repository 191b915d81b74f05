"""The figures of the cross pool as named lines that sum to them."""

from decimal import Decimal

from engine.ledger.accounts import AccountState
from engine.margin.cross.cross_pool import CrossPool, cross_figures, cross_pool
from engine.margin.cross.order_margin import OrderMargin
from engine.margin.figure_lines import asset_lines, position_lines
from engine.margin.figures import Line, MarginBreakdown
from engine.margin.options.option_pool import OptionGroup
from engine.marks.mark_book import Prices
from engine.numbers import exact
from engine.policy import Policy


def explain_cross(state: AccountState, prices: Prices, policy: Policy) -> MarginBreakdown:
    """The figures of the cross pool at `prices`, as lines that sum to them."""
    figures = cross_figures(state, prices, policy)
    lines: list[Line] = []
    with exact():
        pool = cross_pool(state, prices, policy)
        for asset in pool.assets:
            lines += asset_lines(asset, pool.positions, state, prices, policy)
        for margin in pool.positions:
            if not margin.option:
                lines += position_lines(margin, pool.requirement_prices[margin.settle], policy)
        for group in pool.options:
            lines += _option_lines(group, pool.requirement_prices[group.settle])
        for order in pool.orders:
            lines += _order_lines(order, pool.requirement_prices[order.settle], policy)
        lines += _flat_lines(pool, policy)
    return MarginBreakdown(state.account, None, figures, tuple(lines), policy.digest)


def _option_lines(group: OptionGroup, price: Decimal) -> list[Line]:
    inputs = {"index": group.index, "option_value": group.value, "price": price}
    formula = "requirement of all options on the underlying * price"
    return [
        Line("initial_margin", group.underlying, formula, inputs, group.initial_margin * price),
        Line("maintenance_margin", group.underlying, formula, inputs, group.maintenance_margin * price),
    ]


def initial_order_line(order: OrderMargin, price: Decimal) -> Line:
    """What the orders of one market add to the initial margin. Call it inside `numbers.exact()`."""
    inputs = {"buys": order.buys, "sells": order.sells, "price": price}
    formula = (
        "(worse outcome of position and orders - position) * price"
        if order.settle
        else "what the worse side of the orders would take away, or require once filled"
    )
    return Line("initial_margin", order.key, formula, inputs, order.initial_margin * price)


def _order_lines(order: OrderMargin, price: Decimal, policy: Policy) -> list[Line]:
    initial = initial_order_line(order, price)
    lines, inputs = [initial], initial.inputs
    if policy.pool.orders_in_maintenance or order.maintenance_margin:
        required = order.maintenance_margin * price
        lines.append(Line("maintenance_margin", order.key, initial.formula, inputs, required))
    if order.collateral_value:
        formula = "collateral value with the worse side of the orders filled - without"
        lines.append(Line("collateral_value", order.key, formula, inputs, order.collateral_value))
    return lines


def _flat_lines(pool: CrossPool, policy: Policy) -> list[Line]:
    lines = []
    each, count = policy.pool.order_requirement, Decimal(pool.orders_open)
    if each and count:
        inputs = {"open_orders": count, "each": each}
        lines += [
            Line(figure, "orders", "open orders * requirement of each", inputs, count * each)
            for figure in ("initial_margin", "maintenance_margin")
        ]
    rate = policy.pool.liquidation_fee_rate
    for margin in pool.positions if rate else ():
        price = pool.requirement_prices[margin.settle]
        inputs = {"notional": margin.notional, "rate": rate, "price": price}
        value = rate * margin.notional * price
        lines.append(Line("liquidation_fee", margin.key, "rate * N * price", inputs, value))
    return lines
