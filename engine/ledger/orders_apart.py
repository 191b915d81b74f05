"""Many open orders are stored beside the state of their account, one by one, so that an update costs the same however many there are.

A few stay in the state: reading it is then one look. An account's orders go apart when they are more than `INLINE_MAX`, and come back at
`INLINE_AGAIN`: in between each update would otherwise write all of them. In memory a state has its orders either way; `orders_apart` says
how it is stored. It is part of the state, so it follows from the inputs as all else.
"""

from collections.abc import Iterable, Mapping

import msgspec

from engine.ledger.accounts import AccountState, OpenOrder, decode, encode

INLINE_MAX = 32
INLINE_AGAIN = 16

_MARK = b'"orders_apart":true'
"""A name cannot hold it: inside of a text a quotation mark has a backslash before it."""
_replace = msgspec.structs.replace
_order_encoder = msgspec.json.Encoder(order="deterministic")


class OrderChanges(msgspec.Struct, frozen=True):
    """What happens to the orders of one account that are stored apart."""

    cleared: bool
    """Whether all that are there go first."""
    left: dict[str, bytes | None]
    """By order id, what is left of it; None where it is gone."""

    def then(self, later: "OrderChanges") -> "OrderChanges":
        """Both, one after the other."""
        return later if later.cleared else OrderChanges(self.cleared, self.left | later.left)


def with_orders(state: AccountState, orders: Mapping[str, OpenOrder]) -> AccountState:
    """The account with these open orders."""
    inline_max = INLINE_AGAIN if state.orders_apart else INLINE_MAX
    return _replace(state, orders=orders or {}, orders_apart=len(orders) > inline_max)


def encode_stored(state: AccountState) -> bytes:
    """The state as it is stored: without its orders where these are stored apart."""
    return encode(_replace(state, orders={}) if state.orders_apart else state)


def is_apart(stored: bytes) -> bool:
    """Whether a stored state lacks its orders."""
    return _MARK in stored


def joined(stored: bytes, orders: Mapping[bytes, bytes]) -> bytes:
    """A stored state with the orders that were apart, as `encode` writes it. Raises `msgspec.MsgspecError` as `decode` does."""
    state = decode(stored)
    told = {name.decode(): msgspec.json.decode(order, type=OpenOrder) for name, order in orders.items()}
    return encode(_replace(state, orders=told))


def order_changes(
    before: AccountState, after: AccountState, touched: Iterable[str] | None
) -> OrderChanges | None:
    """From one stored state to the next. `touched`: ids of the orders that inputs named in between; None where they may be any."""
    if not after.orders_apart:
        return OrderChanges(cleared=True, left={}) if before.orders_apart else None
    if not before.orders_apart:
        return OrderChanges(cleared=True, left=_left(after, after.orders))
    if touched is None:
        touched = {name for name, _ in before.orders.items() ^ after.orders.items()}
    return OrderChanges(cleared=False, left=_left(after, touched))


def _left(state: AccountState, names: Iterable[str]) -> dict[str, bytes | None]:
    found = {name: state.orders.get(name) for name in names}
    return {name: None if order is None else _order_encoder.encode(order) for name, order in found.items()}
