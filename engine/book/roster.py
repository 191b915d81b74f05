"""Who is in a book: accounts by number, their states packed, and the number of a name.

A name is looked up in open hash tables of numbers; the names themselves are in the packed states. That takes less than a
tenth of a dictionary of strings. The tables are many, so that none is large when it must be made anew: of a million
accounts each holds 4,000. A name's place comes from its CRC-32, the same in every process, so that it may be kept with the packed state.
"""

from array import array
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from itertools import pairwise
from zlib import crc32

import msgspec
import numpy as np

from engine.book import kernels
from engine.book.packed import Packer
from engine.book.ragged import Array
from engine.ledger.accounts import AccountState

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
"""Of a name: how every packed state of the account begins, but for the byte that opens the array."""


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
        head = _encode(account)
        place, table = divmod(crc32(head), _TABLES)
        number = self._tables[table][_slot(self._tables[table], place, self._packed, head)]
        return None if number == _FREE else number

    def name(self, number: int) -> str:
        """The name of an account."""
        return name_of(self._packed[number])

    def names(self) -> Iterator[str]:
        """Every name, by number."""
        return map(name_of, self._packed)

    def state(self, number: int) -> AccountState:
        """The state of an account."""
        state = self._recent.get(number) or self._packer.unpack(self._packed[number])
        self._keep(number, state)
        return state

    def recent(self, number: int) -> AccountState | None:
        """The state of an account if it was touched lately."""
        return self._recent.get(number)

    def kept(self, number: int) -> AccountState | bytes:
        """The state of an account as it is kept now, for `unpacked`: nothing is unpacked for what nobody may ask for."""
        return self._recent.get(number) or self._packed[number]

    def unpacked(self, kept: AccountState | bytes) -> AccountState:
        """A state that was `kept`."""
        return self._packer.unpack(kept) if isinstance(kept, bytes) else kept

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

    @property
    def asset_and_position_names(self) -> list[str]:
        """The names that packed states have as numbers, by number."""
        return self._packer.names

    def agree_on_names(self, names: Sequence[str]) -> None:
        """Have packed states from elsewhere understood, whose numbers are those of `names`. Raises ValueError where ours differ."""
        self._packer.number(names)
        if self._packer.names[: len(names)] != names:
            raise ValueError("assets and positions have other numbers here")

    def packed(self, number: int) -> bytes:
        """The state of an account, packed."""
        return self._packer.pack(self._recent[number]) if number in self._unpacked else self._packed[number]

    def extend(self, packed: Sequence[bytes]) -> None:
        """Give new accounts the next numbers; by their names they are found after `seat`."""
        self._packed += packed

    def seat(self, hashes: Sequence[Array]) -> None:
        """Have the last accounts found by their names, none of which comes twice: the hashes of these, in order."""
        new = np.concatenate(hashes)
        numbers = np.arange(len(self._packed) - len(new), len(self._packed), dtype=np.int32)
        tables, places = new % _TABLES, new // _TABLES
        by_table = np.argsort(tables, kind="stable")
        ends = np.cumsum(np.bincount(tables, minlength=_TABLES)).tolist()
        for at, (begin, end) in enumerate(pairwise([0, *ends])):
            self._counts[at] += end - begin
            while 2 * self._counts[at] > len(self._tables[at]):
                self._widen(at, 2 * len(self._tables[at]))
            mine = by_table[begin:end]
            kernels.seat(np.frombuffer(self._tables[at], np.int32), places[mine], numbers[mine])

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
        head = _encode(account)
        place, at = divmod(crc32(head), _TABLES)
        # at most half full, so that a search ends after a step or two
        if 2 * self._counts[at] >= len(self._tables[at]):
            self._widen(at, 2 * len(self._tables[at]))
        table = self._tables[at]
        slot = _slot(table, place, self._packed, head)
        if table[slot] != _FREE:
            raise ValueError(f"account {account!r} is there already")
        table[slot] = number
        self._counts[at] += 1

    def _widen(self, at: int, slots: int) -> None:
        numbers = [number for number in self._tables[at] if number != _FREE]
        table = self._tables[at] = array("i", [_FREE]) * slots
        for number in numbers:
            head = _encode(self.name(number))
            table[_slot(table, crc32(head) // _TABLES, self._packed, head)] = number


def name_of(packed: bytes) -> str:
    """The account of a packed state."""
    return _named(packed).account


def name_hash(account: str) -> int:
    """What decides of an account's place in the tables: 32 bits."""
    return crc32(_encode(account))


def _slot(table: "array[int]", place: int, packed: list[bytes], head: bytes) -> int:
    """The slot that holds the account, or the free one where it belongs."""
    mask = len(table) - 1
    slot = place & mask
    while (number := table[slot]) != _FREE and not packed[number].startswith(head, 1):
        slot = (slot + 1) & mask
    return slot
