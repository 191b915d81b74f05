"""Account states in as few bytes as they need: what a book keeps of an account that nobody asks about.

A packed state is a MessagePack array: the account's name, its holdings with names of assets and positions as small
numbers and amounts as the text of their decimals, its progress, and, only where there is any, the rest of the state as it
stands. Decimals keep their text, so an unpacked state equals the packed one digit for digit, trailing zeros included.
"""

from collections.abc import Iterable
from decimal import Decimal
from operator import attrgetter
from typing import Any

import msgspec

from engine.book.by_name import ByName
from engine.ledger.accounts import AccountState, IsolatedPosition, Position, Progress, Remembered, Stop, plain
from engine.ledger.resting_orders import RestingOrders

_encode_into = msgspec.msgpack.Encoder(enc_hook=plain).encode_into


class _Progress(msgspec.Struct, array_like=True):
    offset: int
    next_seq: int | None = None
    stop: Stop | None = None
    remembered: Remembered | None = None
    newest_digest: str | None = None


class _Packed(msgspec.Struct, array_like=True):
    account: str
    balances: dict[int, Decimal]
    positions: dict[int, tuple[Decimal, Decimal]]
    """Quantity and entry value."""
    isolated: dict[int, tuple[Decimal, Decimal, Decimal]]
    """Quantity, entry value and margin."""
    leverage: dict[int, Decimal]
    fills: _Progress
    ledger: _Progress
    rest: AccountState | None = None


_NOTHING: dict[str, Any] = {
    "account": "",
    "balances": {},
    "positions": {},
    "isolated": {},
    "leverage": {},
    "fills": Progress(),
    "ledger": Progress(),
}
"""The fields that are packed by themselves, without anything in them."""
_EMPTY = AccountState("")
_rest = attrgetter(*(name for name in AccountState.__struct_fields__ if name not in _NOTHING))
_NO_REST = _rest(_EMPTY)
_progress_parts = attrgetter(*Progress.__struct_fields__)
_decode = msgspec.msgpack.Decoder(_Packed).decode


class Packer:
    """Packs and unpacks the states of one book, which share their numbering of names."""

    def __init__(self) -> None:
        """No names yet; a name gets the next number when it is first met, and there are as many as the policy lists."""
        self._names: list[str] = []
        self._numbers = ByName(self._add_name)
        self._buffer = bytearray()

    @property
    def names(self) -> list[str]:
        """The names by number, as far as they were met."""
        return self._names

    def number(self, names: Iterable[str]) -> None:
        """Give names the next numbers, in this order."""
        for name in names:
            self._numbers[name]

    def pack(self, state: AccountState) -> bytes:
        """The state in bytes. It may also be the state's reading as text (`readings`), which packs to the same bytes."""
        numbers = self._numbers
        packed: tuple[object, ...] = (
            state.account,
            {numbers[asset]: amount for asset, amount in state.balances.items()},
            {numbers[key]: (it.quantity, it.entry_value) for key, it in state.positions.items()},
            {
                numbers[key]: (it.position.quantity, it.position.entry_value, it.margin)
                for key, it in state.isolated.items()
            },
            {numbers[symbol]: leverage for symbol, leverage in state.leverage.items()},
            _progress(state.fills),
            _progress(state.ledger),
        )
        if _rest(state) != _NO_REST:
            packed = (*packed, msgspec.structs.replace(state, **_NOTHING))
        _encode_into(packed, self._buffer)
        # a copy is as long as it needs to be; what an encoder returns has room that it no longer needs
        return bytes(self._buffer)

    def unpack(self, packed: bytes) -> AccountState:
        """The state that `pack` was given."""
        names, it = self._names, _decode(packed)
        state = AccountState(
            it.account,
            {names[number]: amount for number, amount in it.balances.items()},
            {names[number]: Position(*held) for number, held in it.positions.items()},
            {
                names[number]: IsolatedPosition(Position(quantity, value), margin)
                for number, (quantity, value, margin) in it.isolated.items()
            },
            {names[number]: leverage for number, leverage in it.leverage.items()},
            _unpacked(it.fills, _EMPTY.fills),
            _unpacked(it.ledger, _EMPTY.ledger),
        )
        if it.rest is None:
            return state
        own = {name: getattr(state, name) for name in _NOTHING}
        rest = it.rest
        if rest.orders_apart and rest.orders:
            rest = msgspec.structs.replace(rest, orders=RestingOrders.of(rest.orders))
        return msgspec.structs.replace(rest, **own)

    def _add_name(self, name: str) -> int:
        self._names.append(name)
        return len(self._names) - 1


def _progress(progress: Progress) -> tuple[object, ...]:
    parts = _progress_parts(progress)
    count = len(parts)
    while count > 1 and parts[count - 1] is None:
        count -= 1
    return parts[:count]


def _unpacked(it: _Progress, nothing: Progress) -> Progress:
    """The progress; a default one as the very object that it is by default, or `accounts.encode` would not leave it out."""
    progress = Progress(*_progress_parts(it))
    return nothing if progress == nothing else progress
