"""What open orders of isolated positions reserve of the shared pool: it has to hand it over when they fill.

    required = the worse outcome of the orders of one position, as `cross.order_margin` has it
    reserved = sum over positions of required * index(settle)

It counts in the initial margin of the shared pool and in nothing else: the maintenance margin of an isolated position is its own.
"""

import msgspec

from engine.ledger.accounts import FLAT, AccountState, IsolatedPosition, OpenOrder
from engine.ledger.resting_orders import of_each_kind
from engine.margin.cross.cross_lines import initial_order_line
from engine.margin.cross.order_margin import contract_order_margin
from engine.margin.figures import Line
from engine.margin.isolated_pool import isolated_margin
from engine.margin.quotes import index_price
from engine.marks.mark_book import Prices
from engine.numbers import ZERO
from engine.policy import Policy
from engine.position_keys import position_key

_replace = msgspec.structs.replace
EMPTY = IsolatedPosition(FLAT, ZERO)


def reserved_lines(state: AccountState, prices: Prices, policy: Policy) -> list[Line]:
    """What each isolated position's open orders reserve, by position key. Call it inside `numbers.exact()`."""
    if not any(it.isolated and not it.reduce_only for it in of_each_kind(state.orders)):
        return []
    reserving = [it for it in state.orders.items() if it[1].isolated and not it[1].reduce_only]
    orders: dict[str, list[OpenOrder]] = {}
    for _, order in sorted(reserving):
        orders.setdefault(position_key(order.symbol, order.leg), []).append(order)
    return [_reserved_line(key, its, state, prices, policy) for key, its in orders.items()]


def _reserved_line(
    key: str, orders: list[OpenOrder], state: AccountState, prices: Prices, policy: Policy
) -> Line:
    position = state.isolated.get(key, EMPTY).position
    held = [isolated_margin(state, key, prices, policy)[0]] if position.quantity else []
    alone = _replace(state, positions={key: position})
    margin = contract_order_margin(key, orders, held, alone, prices, policy)
    index, _ = index_price(policy, margin.settle, prices)
    return initial_order_line(margin, index)
