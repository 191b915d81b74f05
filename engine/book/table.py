"""The accounts' records in the columns, by account number: rows and terms, watches, and the holders of each symbol."""

import numpy as np

from engine.book import kernels
from engine.book.columns import MARK, ROW, TERM, WATCH, Columns
from engine.book.encode import Encoder
from engine.book.holders import Holders
from engine.book.ragged import Array, Ragged
from engine.book.timers import NEVER_NS

_ACCOUNTS_MIN = 64


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
        self.found: Array = np.zeros(_ACCOUNTS_MIN, np.int32)
        """Where compiled code leaves the accounts that it has found; as long as `status`."""

    def enrol(self, number: int) -> None:
        """Make room for the account of the next free number."""
        if number == len(self.status):
            self.status = np.append(self.status, np.zeros_like(self.status))
            self.found = np.zeros(len(self.status), np.int32)
        for lists in (self._terms, self._rows, self._watches):
            lists.resize(number, 0)

    def write(self, number: int, terms: Array, rows: Array) -> None:
        """Replace the account's terms and rows."""
        for lists, records in ((self._terms, terms), (self._rows, rows)):
            start = lists.resize(number, len(records))
            lists.columns[0][start : start + len(records)] = records

    def watch(self, number: int, symbols: set[int]) -> None:
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

    def columns(self) -> Columns:
        """Everything the compiled code sees; outdated by the next change."""
        return Columns(
            self._encoder.symbols,
            self._encoder.assets,
            self._encoder.tiers,
            self.status,
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

    def warm(self) -> None:
        """Compile, or load, every entry of the compiled code now: the first tick must not wait for a compiler."""
        columns = self.columns()
        kernels.walk(columns, np.zeros(0, MARK), 0, 0, NEVER_NS, self.found)
        kernels.review(columns, 0)
        kernels.disclose(columns, 0)
        kernels.enclose(columns, 0, 0.0)
        kernels.sweep(columns, 0, self.found)
        kernels.total(columns, 0, np.zeros(0))
