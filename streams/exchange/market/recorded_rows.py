"""Rows of a recording: one file's lines as times, symbols and prices, and what of it is left out.

Rows that say no price that can be played (empty or NaN, zero or below, ten times away from the price before and not
confirmed by the row after, a bar twice) are left out and counted, with the line of the first. What makes a file doubtful
as a whole stops it with one message that names the line: another unit of time, time that runs back, a field missing, text
where a number belongs.
"""

from collections.abc import Callable, Iterator
from decimal import Decimal, InvalidOperation
from pathlib import Path

import msgspec

from engine.numbers import amount_fault
from streams.exchange.feed_errors import RecordingError
from streams.exchange.market.recorded_layout import Layout, Reading
from streams.exchange.market.recorded_text import UNREADABLE, opened_text

LATENESS_MS_MAX = 1_000
LINES_PER_LOOK = 1_000
JUMP_TIMES = 10
"""A price so many times the one before, or so small a part of it, is not believed before the next row confirms it."""
NO_PRICE = frozenset(("", "null", "none", "na", "n/a", "#n/a", "-"))
"""Words for none, beside NaN, which is a number."""
_SHOWN_MAX = 60


class Row(msgspec.Struct, frozen=True):
    """One price of a trade, or the four of a bar in the order of its direction."""

    due_ms: int
    symbol: str
    prices: tuple[Decimal, ...]


class LeftOut(msgspec.Struct):
    """Rows that were left out for one reason."""

    rows: int
    line: int
    """Of the first."""


class RecordedRows:
    """The rows of a file in the order of their times; each iteration reads it anew."""

    def __init__(self, path: Path, reading: Reading, symbol_in_name: Callable[[str], str | None]) -> None:
        """`symbol_in_name` finds the symbol in a file's name, for files that have none in their rows."""
        self.path = path
        self.left_out: dict[str, LeftOut] = {}
        """By reason, of the iteration that goes on or was the last."""
        self.bytes_read = 0
        """Of the file as it lies on disk, about."""
        self._reading, self._symbol_in_name = reading, symbol_in_name
        self._last: dict[str, Row] = {}
        self._doubted: dict[str, Row] = {}

    def __iter__(self) -> Iterator[Row]:
        """Raises `RecordingError` where the file cannot be played."""
        self.left_out.clear()
        self._last.clear()
        self._doubted.clear()
        line, newest_ms = 1, 0
        try:
            with self.path.open("rb") as raw, opened_text(self.path, raw) as text:
                layout = Layout(self.path, text, self._reading, self._symbol_in_name)
                lateness_ms = 0 if layout.columns.bars else LATENESS_MS_MAX
                for line, fields in layout.rows():  # a day has millions
                    if line % LINES_PER_LOOK == 0:
                        self.bytes_read = raw.tell()
                    row = self._row(line, layout, fields)
                    if row is None:
                        continue
                    if row.due_ms < newest_ms - lateness_ms:
                        raise layout.fault(line, _backwards(row.due_ms, newest_ms, lateness_ms))
                    newest_ms = max(row.due_ms, newest_ms)
                    if self._plays(line, layout, row):
                        yield row
        except RecordingError:
            raise
        except UNREADABLE as error:
            raise self._unreadable(line, error) from error

    def end_ms(self) -> int:
        """The time of the last row. Reads the file to its end, but looks at the times there only."""
        try:
            with self.path.open("rb") as raw, opened_text(self.path, raw) as text:
                layout = Layout(self.path, text, self._reading, self._symbol_in_name)
                return max((layout.due_ms(*it) for it in layout.last_rows()), default=0)
        except RecordingError:
            raise
        except UNREADABLE as error:
            raise self._unreadable(1, error) from error

    def _unreadable(self, line: int, error: Exception) -> RecordingError:
        return RecordingError(f"{self.path}, line {line}: cannot be read: {error}")

    def _row(self, line: int, layout: Layout, fields: list[str]) -> Row | None:
        columns = layout.columns
        due_ms = layout.due_ms(line, fields)
        symbol = layout.symbol if columns.symbol is None else fields[columns.symbol].strip()
        if not symbol:
            self._leave_out("no symbol", line)
            return None
        prices = []
        for place in columns.prices:
            price = self._price(line, layout, columns.titles[place], fields[place].strip())
            if price is None:
                return None
            prices.append(price)
        if len(prices) > 1:
            opened, high, low, close = prices
            if not low <= min(opened, close) <= max(opened, close) <= high:
                self._leave_out("a bar whose high and low do not hold its open and close", line)
                return None
            prices = [opened, low, high, close] if close >= opened else [opened, high, low, close]
        return Row(due_ms, symbol, tuple(prices))

    def _price(self, line: int, layout: Layout, column: str, text: str) -> Decimal | None:
        try:
            price = Decimal(text)
        except InvalidOperation:
            if text.lower() in NO_PRICE:
                self._leave_out("no price", line)
                return None
            comma = ": a decimal comma is not read, write a point" if "," in text else ""
            raise layout.fault(line, f"{column} {text[:_SHOWN_MAX]!r} is not a number{comma}") from None
        fault = amount_fault(price)
        if fault is None and price > 0:
            return price
        if fault is not None and not price.is_nan():
            raise layout.fault(line, f"{column} {text[:_SHOWN_MAX]!r} {fault}")
        self._leave_out("no price" if fault else "a price that is not above zero", line)
        return None

    def _plays(self, line: int, layout: Layout, row: Row) -> bool:
        """Whether a row is neither a repetition nor a jump that nothing confirms."""
        before = self._last.get(row.symbol)
        if before is None:
            self._last[row.symbol] = row
            return True
        if layout.columns.bars and before.due_ms == row.due_ms:
            if before != row:
                raise layout.fault(line, f"a second bar of {row.symbol} at {row.due_ms}, unlike the first")
            self._leave_out("a bar twice", line)
            return False
        doubted = self._doubted.pop(row.symbol, None)
        if _far(before, row) and (doubted is None or _far(doubted, row)):
            self._doubted[row.symbol] = row
            self._leave_out(
                f"a price {JUMP_TIMES} times away from the one before, not confirmed by the next", line
            )
            return False
        self._last[row.symbol] = row
        return True

    def _leave_out(self, reason: str, line: int) -> None:
        self.left_out.setdefault(reason, LeftOut(0, line)).rows += 1


def _far(before: Row, row: Row) -> bool:
    was, now = before.prices[-1], row.prices[0]
    if was.adjusted() == now.adjusted():  # the same number of digits, as nearly always
        return False
    return max(was, now) >= min(was, now) * JUMP_TIMES


def _backwards(due_ms: int, newest_ms: int, lateness_ms: int) -> str:
    early_ms = newest_ms - due_ms
    return f"time {due_ms} is {early_ms} ms before an earlier row's, {lateness_ms} ms allowed: sort the rows by time"
