"""The accounts' records in the columns, by account number: rows and terms, watches, and the holders of each symbol."""

from typing import NamedTuple

import numpy as np

from engine.book import kernels
from engine.book.columns import MARK, ROW, TERM, WATCH, Columns
from engine.book.encode import Encoder
from engine.book.ragged import NOTHING, Array, Ragged, grow
from engine.book.symbol_holders import Holders
from engine.book.timers import NEVER_NS

_ACCOUNTS_MIN = 64
_COUNTED_TOGETHER = 65_536
"""Counting copies the symbols; a copy of all would leave a hole in the memory that is as large."""


class Records(NamedTuple):
    """Records of some accounts, one after the other."""

    terms_of: Array
    """How many each account has; so in the other lists."""
    terms: Array
    rows_of: Array
    rows: Array
    watches_of: Array
    watched: Array
    """Symbols."""

    def of(self, chosen: Array) -> "Records":
        """Those of the chosen accounts; one truth value each."""
        return Records(
            self.terms_of[chosen],
            self.terms[np.repeat(chosen, self.terms_of)],
            self.rows_of[chosen],
            self.rows[np.repeat(chosen, self.rows_of)],
            self.watches_of[chosen],
            self.watched[np.repeat(chosen, self.watches_of)],
        )


class Loaded:
    """Records of accounts that come one after the other, not yet in the columns."""

    def __init__(self) -> None:
        """None yet."""
        self.terms = bytearray()
        self.rows = bytearray()
        self.watches: list[int] = []
        """Symbols."""
        self.terms_of: list[int] = []
        """How many each account has; so in the other lists."""
        self.rows_of: list[int] = []
        self.watches_of: list[int] = []

    def add(self, terms: bytes, rows: bytes, watched: frozenset[int]) -> None:
        """Take the next account."""
        self.terms += terms
        self.rows += rows
        self.watches += sorted(watched)
        self.terms_of.append(len(terms) // TERM.itemsize)
        self.rows_of.append(len(rows) // ROW.itemsize)
        self.watches_of.append(len(watched))

    def records(self) -> Records:
        """All of them."""
        return Records(
            np.array(self.terms_of, np.int32),
            np.frombuffer(self.terms, TERM),
            np.array(self.rows_of, np.int32),
            np.frombuffer(self.rows, ROW),
            np.array(self.watches_of, np.int32),
            np.array(self.watches, np.int16),
        )


class Table:
    """What compiled code reads and writes, kept in step with the accounts."""

    def __init__(self, encoder: Encoder) -> None:
        """No accounts."""
        self._encoder = encoder
        self._terms = Ragged(np.zeros((), TERM))
        self._rows = Ragged(np.zeros((), ROW))
        self._watches = Ragged(np.zeros((), WATCH))
        self.holders = Holders(len(encoder.symbol_ids))
        self.status: Array = np.zeros(_ACCOUNTS_MIN, np.uint8)
        """By account: `kernels.QUIET` and so on."""
        self._reserves: Array = np.zeros(_ACCOUNTS_MIN, np.float32)
        self.found: Array = np.zeros(_ACCOUNTS_MIN, np.int32)
        """Where compiled code leaves the accounts that it has found; as long as `status`."""
        self.columns = Columns(
            encoder.symbols,
            encoder.assets,
            encoder.tiers,
            self.status,
            self._reserves,
            self._rows.start,
            self._rows.count,
            self._rows.columns[0],
            self._terms.start,
            self._terms.columns[0],
            self._watches.start,
            self._watches.count,
            self._watches.columns[0],
            *self.holders.columns,
        )
        """Everything the compiled code sees."""

    def enrol(self, number: int) -> None:
        """Make room for the account of the next free number."""
        self._make_accounts(number + 1)
        for lists in (self._terms, self._rows, self._watches):
            lists.resize(number, 0)

    def write(self, number: int, terms: bytes, rows: bytes) -> None:
        """Replace the account's terms and rows, which are packed."""
        self._terms.replace(number, terms)
        self._rows.replace(number, rows)

    def records(self, numbers: Array) -> Records:
        """What `take_records` takes, of these accounts."""
        terms_of, terms = self._terms.records(numbers)
        rows_of, rows = self._rows.records(numbers)
        watches_of, watches = self._watches.records(numbers)
        return Records(terms_of, terms, rows_of, rows, watches_of, watches["symbol"].astype(np.int16))

    def take_records(self, first: int, records: Records) -> None:
        """Take the accounts from the next free number `first` on; they come among the holders with `enlist`."""
        self._make_accounts(first + len(records.terms_of))
        watches = np.zeros(len(records.watched), WATCH)
        watches["symbol"] = records.watched
        for lists, rows, counts in (
            (self._terms, records.terms, records.terms_of),
            (self._rows, records.rows, records.rows_of),
            (self._watches, watches, records.watches_of),
        ):
            lists.columns[0][lists.extend(first, counts)] = rows

    def make_room(self, accounts: int, of: int) -> None:
        """Expect this many accounts, each with as much as the first `of` have on average."""
        self._make_accounts(accounts)
        for lists in (self._terms, self._rows, self._watches):
            lists.make_room(accounts, of)

    def enlist(self, first: int, end: int) -> None:
        """Have the accounts `first` to `end`, at least one, among the holders of what they watch, in this order."""
        begin, stop = int(self._watches.start[first]), self._watches.slice(end - 1).stop
        counts = np.zeros(len(self._encoder.symbols), np.int64)
        for part in range(begin, stop, _COUNTED_TOGETHER):
            symbols = self._watches.columns[0]["symbol"][part : min(part + _COUNTED_TOGETHER, stop)]
            counts += np.bincount(symbols, minlength=len(counts))
        slots = self.holders.make_slots(counts)
        kernels.enlist(self.columns, first, end, slots)

    def watch(self, number: int, symbols: frozenset[int]) -> None:
        """Have the account among the holders of exactly these symbols."""
        watches = self._watches.columns[0][self._watches.slice(number)].tolist()
        held = dict(watches)
        if held.keys() == symbols:
            return
        for symbol in held.keys() - symbols:
            slot = held.pop(symbol)
            moved = self.holders.remove(symbol, slot)
            if moved >= 0:
                of_moved = self._watches.columns[0][self._watches.slice(moved)]
                of_moved["slot"][of_moved["symbol"] == symbol] = slot
        for symbol in sorted(symbols - held.keys()):
            held[symbol] = self.holders.add(symbol, number)
        start = self._watches.resize(number, len(held))
        self._watches.columns[0][start : start + len(held)] = np.array(list(held.items()), WATCH)

    def _make_accounts(self, accounts: int) -> None:
        grow(self.status, accounts, NOTHING)
        grow(self._reserves, len(self.status), NOTHING)
        grow(self.found, len(self.status), NOTHING)

    def warm(self) -> None:
        """Compile, or load, every entry of the compiled code now: the first tick must not wait for a compiler."""
        columns = self.columns
        kernels.walk(columns, np.zeros(0, MARK), np.zeros(0, np.int64), 0, 0, NEVER_NS, self.found)
        kernels.review(columns, 0, 0)
        kernels.disclose(columns, 0)
        kernels.settle(columns, np.zeros(0, np.int32), np.zeros(0, np.bool_))
        kernels.enclose(columns, 0, 0.0)
        kernels.sweep(columns, 0, self.found)
        kernels.enlist(columns, 0, 0, np.zeros(1, np.int32))
        kernels.total(columns, 0, np.zeros(0))
        kernels.seat(np.zeros(1, np.int32), np.zeros(0, np.uint32), np.zeros(0, np.int32))
        kernels.worst_bands(columns, np.zeros(0, np.int64), np.zeros(0), np.zeros(0, np.int64))
        floats = np.zeros(0)
        kernels.missing(columns, np.zeros(0, np.int64), floats, floats, floats, np.zeros(0, np.bool_))
        kernels.holdings(columns, 0, np.zeros(1), np.zeros(1))
        markets, routed = np.tile(columns.symbols, (1, 1)), np.zeros(0, np.bool_)
        notional, pools = np.zeros((1, len(columns.symbols))), np.zeros(1, np.int64)
        kernels.heat(columns, markets, 0, 0, routed, 1.0, True, notional, pools)  # noqa: FBT003 - compiled
