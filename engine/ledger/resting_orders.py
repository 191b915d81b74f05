"""The open orders of an account, with what they come to together: an update changes one order, so it changes one or two totals.

Who asks only for totals need not walk thousands of orders. A mapping that was made otherwise (read back, or a what-if) is added up when it is asked.
"""

from collections.abc import Iterator, Mapping
from decimal import Decimal
from itertools import chain
from typing import NamedTuple
from zlib import crc32

from engine.ledger.accounts import OpenOrder
from engine.numbers import ZERO, exact


class OrderKind(NamedTuple):
    """What the orders of one total have in common."""

    symbol: str
    leg: str | None
    buys: bool
    isolated: bool
    reduce_only: bool

    @property
    def pooled(self) -> bool:
        """Whether they count in the shared pool."""
        return not (self.isolated or self.reduce_only)


class OrderTotal(NamedTuple):
    """How many orders, and their signed quantity together."""

    orders: int
    quantity: Decimal


Totals = dict[OrderKind, OrderTotal]
_PARTS = 64
"""80 orders each of 5,000: a copy takes as long as the rest of an update."""


class RestingOrders(Mapping[str, OpenOrder]):
    """Open orders by order id, never changed in place. They lie in many small dictionaries, of which a changed copy shares all but one."""

    __slots__ = ("_count", "_parts", "totals")

    def __init__(self, parts: tuple[dict[str, OpenOrder], ...], count: int, totals: Totals) -> None:
        """`count` and `totals` are those of the orders in `parts`."""
        self._parts, self._count, self.totals = parts, count, totals

    def __getitem__(self, order_id: str) -> OpenOrder:
        """One order."""
        return self._parts[_part_of(order_id)][order_id]

    def __iter__(self) -> Iterator[str]:
        """Order ids, in an order that is the same in every process."""
        return chain.from_iterable(self._parts)

    def __len__(self) -> int:
        """How many there are."""
        return self._count

    @classmethod
    def of(cls, orders: Mapping[str, OpenOrder]) -> "RestingOrders":
        """These orders."""
        if isinstance(orders, RestingOrders):
            return orders
        parts: list[dict[str, OpenOrder]] = [{} for _ in range(_PARTS)]
        for order_id, order in orders.items():
            parts[_part_of(order_id)][order_id] = order
        return cls(tuple(parts), len(orders), order_totals(orders))

    def changed(self, order_id: str, order: OpenOrder | None) -> "RestingOrders":
        """With this order as it is now, or without it. Call it inside `numbers.exact()`."""
        at = _part_of(order_id)
        part, totals = dict(self._parts[at]), dict(self.totals)
        before = part.pop(order_id, None)
        if before is not None:
            _add(totals, before, -1)
        if order is not None:
            _add(totals, order, 1)
            part[order_id] = order
        count = self._count + (order is not None) - (before is not None)
        return RestingOrders((*self._parts[:at], part, *self._parts[at + 1 :]), count, totals)


def _part_of(order_id: str) -> int:
    return crc32(order_id.encode()) % _PARTS


def order_kind(order: OpenOrder) -> OrderKind:
    """The total that the order counts in."""
    return OrderKind(order.symbol, order.leg, order.quantity > 0, order.isolated, order.reduce_only)


def order_totals(orders: Mapping[str, OpenOrder]) -> Totals:
    """What the orders come to, by kind."""
    if isinstance(orders, RestingOrders):
        return orders.totals
    totals: Totals = {}
    with exact():
        for order in orders.values():
            _add(totals, order, 1)
    return totals


def of_each_kind(orders: Mapping[str, OpenOrder]) -> Iterator[OpenOrder]:
    """Orders of every kind that there is, of some kinds more than one; the amounts of a reading may be texts or floats."""
    if not isinstance(orders, RestingOrders):
        yield from orders.values()
        return
    for kind in orders.totals:
        yield OpenOrder(kind.symbol, ZERO, ZERO, kind.isolated, kind.reduce_only, kind.leg)


def _add(totals: Totals, order: OpenOrder, count: int) -> None:
    kind = order_kind(order)
    there = totals.get(kind, OrderTotal(0, ZERO))
    after = OrderTotal(there.orders + count, there.quantity + count * order.quantity)
    if after.orders:
        totals[kind] = after
    else:
        del totals[kind]
