"""Who is in a book: accounts by number, their states packed, and the number of a name.

A name is looked up in open hash tables of numbers; the names themselves are in the packed states. That takes less than a
tenth of a dictionary of strings. The tables are many, so that none is large when it must be made anew: of a million
accounts each holds 4,000. Python salts its hashes anew in each process, which moves names about in the tables and nothing else.
"""

from array import array
from collections import OrderedDict
from collections.abc import Iterator

import msgspec

from engine.accounts import AccountState
from engine.book.packed import Packer

RECENT_MAX = 1_024
"""States kept as they are besides, about 3 MB: who was touched last is often asked about next."""
_TABLES = 256
_SLOTS_MIN = 8
_FREE = -1


class _Named(msgspec.Struct, array_like=True):
    """The head of a packed state."""

    account: str


_named = msgspec.msgpack.Decoder(_Named).decode
_encode = msgspec.msgpack.Encoder().encode


class Roster:
    """Accounts in the order in which they came."""

    def __init__(self) -> None:
        """Nobody."""
        self._packer = Packer()
        self._packed: list[bytes] = []
        self._recent: OrderedDict[int, AccountState] = OrderedDict()
        """Who was touched last comes last."""
        self._unpacked: set[int] = set()
        """Of these the ones whose packed state is an older one: it still says their name."""
        self._tables = [array("i", [_FREE]) * _SLOTS_MIN for _ in range(_TABLES)]
        self._counts = [0] * _TABLES

    def __len__(self) -> int:
        """How many accounts there are."""
        return len(self._packed)

    def number(self, account: str) -> int | None:
        """The account's number, or None."""
        place, table = divmod(hash(account), _TABLES)
        number = self._tables[table][_slot(self._tables[table], place, self._packed, _head(account))]
        return None if number == _FREE else number

    def name(self, number: int) -> str:
        """The name of an account."""
        return _named(self._packed[number]).account

    def names(self) -> Iterator[str]:
        """Every name, by number."""
        return (_named(packed).account for packed in self._packed)

    def state(self, number: int) -> AccountState:
        """The state of an account."""
        state = self._recent.get(number) or self._packer.unpack(self._packed[number])
        self._keep(number, state)
        return state

    def recent(self, number: int) -> AccountState | None:
        """The state of an account if it was touched lately."""
        return self._recent.get(number)

    def replace(self, number: int, state: AccountState) -> None:
        """The account's state has changed. It is packed when it is no longer among the recent ones."""
        self._unpacked.add(number)
        self._keep(number, state)

    def add(self, state: AccountState) -> int:
        """Give a new account the next number; it may be a reading as text (`readings`), which is only packed.

        Raises ValueError for an account that is there already.
        """
        number = len(self._packed)
        self._enter(state.account, number)
        self._packed.append(self._packer.pack(state))
        return number

    def _keep(self, number: int, state: AccountState) -> None:
        recent = self._recent
        recent[number] = state
        recent.move_to_end(number)
        if len(recent) > RECENT_MAX:
            oldest, left = recent.popitem(last=False)
            if oldest in self._unpacked:
                self._unpacked.remove(oldest)
                self._packed[oldest] = self._packer.pack(left)

    def make_room(self, accounts: int) -> None:
        """Expect this many accounts in all, so that no table is made anew on the way."""
        slots = _SLOTS_MIN
        while slots * _TABLES < 2 * accounts:
            slots *= 2
        for at in range(_TABLES):
            if slots > len(self._tables[at]):
                self._widen(at, slots)

    def _enter(self, account: str, number: int) -> None:
        place, at = divmod(hash(account), _TABLES)
        # at most half full, so that a search ends after a step or two
        if 2 * self._counts[at] >= len(self._tables[at]):
            self._widen(at, 2 * len(self._tables[at]))
        table = self._tables[at]
        slot = _slot(table, place, self._packed, _head(account))
        if table[slot] != _FREE:
            raise ValueError(f"account {account!r} is there already")
        table[slot] = number
        self._counts[at] += 1

    def _widen(self, at: int, slots: int) -> None:
        numbers = [number for number in self._tables[at] if number != _FREE]
        table = self._tables[at] = array("i", [_FREE]) * slots
        for number in numbers:
            name = self.name(number)
            table[_slot(table, hash(name) // _TABLES, self._packed, _head(name))] = number


def _head(account: str) -> bytes:
    """How every packed state of the account begins, but for the byte that opens the array."""
    return _encode(account)


def _slot(table: "array[int]", place: int, packed: list[bytes], head: bytes) -> int:
    """The slot that holds the account, or the free one where it belongs."""
    mask = len(table) - 1
    slot = place & mask
    while (number := table[slot]) != _FREE and not packed[number].startswith(head, 1):
        slot = (slot + 1) & mask
    return slot
