"""A recorded market as a scenario: trades, trades by arrival, or bars, from csv or csv.gz.

    columns                                  a row becomes
    ts_ms,symbol,price,qty                   one mark, due at ts_ms
    ts_ms,symbol,price,qty,recv_ts_ms        one mark, due at recv_ts_ms
    ts_ms,symbol,open,high,low,close,volume  four marks spread over the bar: open, then low and high of a rising bar
                                             (high and low of a falling one), then close

Rules
-----
* Recorded symbols drive price symbols by coin: BTC, BTCUSD, BTCUSDT and BTCUSD_PERP all drive every price symbol
  whose coin is BTC, at the recorded price. Rows of coins that the policy does not price are counted and left out.
* The file is never held: its beginning is read for the first prices, then all of it for the marks.
* Rows come in time order, out of it by at most `LATENESS_MS_MAX`; bars in exact order.
* Silence is kept: a recorded symbol without rows gets no marks. Symbols that are never recorded are `constant`.
"""

import csv
import gzip
import io
import itertools
import re
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping
from decimal import Decimal, InvalidOperation
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO, TextIO

import msgspec

from engine.numbers import amount_fault
from engine.policy import Policy
from streams.exchange.feed_errors import RecordingError
from streams.exchange.market.sample_market import quotes, start_prices
from streams.exchange.market.scenario import FeedMark

TRADES = ("ts_ms", "symbol", "price", "qty")
ARRIVALS = (*TRADES, "recv_ts_ms")
BARS = ("ts_ms", "symbol", "open", "high", "low", "close", "volume")
LATENESS_MS_MAX = 1_000
ROWS_PER_LOOK = 1_000
FIRST_ROWS_MAX = 50_000
"""A coin without a price among this many first rows counts as never recorded; its later rows are left out."""
BAR_MS_DEFAULT = 60_000
"""Length of a bar in a recording that has only one time."""
BAR_POINTS = (0.0, 0.3, 0.6, 0.9)
"""When a bar's four prices are due, as parts of its length."""

_COIN = re.compile(r"([A-Z0-9]+?)(USDT?)?(_PERP)?")


class _Row(msgspec.Struct, frozen=True):
    """A row that the policy prices: one price of a trade, or the four of a bar in the order of its direction."""

    line: int
    due_ms: int
    coin: str
    prices: tuple[Decimal, ...]


class Recording:
    """A scenario read from a file. Raises `RecordingError` when made, or while its marks are read."""

    def __init__(
        self,
        path: Path,
        policy: Policy,
        *,
        speed: float | None = None,
        from_ms: int | None = None,
        to_ms: int | None = None,
    ) -> None:
        """Read the first prices of `path`.

        - `speed`: recorded seconds per second; None means as fast as the broker takes the marks.
        - `from_ms`, `to_ms`: play only rows from the first (inclusive) to the second (exclusive), Unix ms.
        """
        self.path, self.speed = path, speed
        self.unknown: Counter[str] = Counter()
        """Rows left out while playing, by recorded symbol: the policy prices no such coin."""
        self.bytes_read = 0
        """Of the file as it lies on disk, about."""
        self._from_ms, self._to_ms = from_ms, to_ms
        self._symbols: dict[str, list[str]] = {}
        for quote in quotes(policy):
            self._symbols.setdefault(quote.coin, []).append(quote.symbol)
        first, self._bar_ms, self.start_ms = self._first_prices()
        self._symbols = {coin: symbols for coin, symbols in self._symbols.items() if coin in first}
        sample = start_prices(policy)
        recorded = {symbol: price for coin, price in first.items() for symbol in self._symbols[coin]}
        self.start_prices: Mapping[str, Decimal] = {**sample, **recorded}
        self.constant = frozenset(sample) - frozenset(recorded)

    @property
    def paced(self) -> bool:
        """See `Scenario`."""
        return self.speed is not None

    def __iter__(self) -> Iterator[FeedMark]:
        """See `Scenario`."""
        self.unknown.clear()
        sequences: Counter[str] = Counter()
        newest_ms = self.start_ms
        for due_ms, coin, price in self._points():
            newest_ms = max(newest_ms, due_ms)  # a late row is due now, not in the past
            at_seconds = (newest_ms - self.start_ms) / 1000 / self.speed if self.speed else 0.0
            for symbol in self._symbols[coin]:
                sequences[symbol] += 1
                yield FeedMark(at_seconds, symbol, price, sequences[symbol], moment=newest_ms)

    def _points(self) -> Iterator[tuple[int, str, Decimal]]:
        """(when due in ms, coin, price) in the order in which they are due."""
        for due_ms, rows in itertools.groupby(self._rows(), lambda row: row.due_ms):
            together = list(rows)
            for i, part in enumerate(BAR_POINTS):
                for row in together:
                    if i < len(row.prices):
                        yield due_ms + int(part * self._bar_ms), row.coin, row.prices[i]

    def _first_prices(self) -> tuple[dict[str, Decimal], int, int]:
        """First price by coin, length of a bar and time of the first row."""
        first: dict[str, Decimal] = {}
        times: list[int] = []
        bars = False
        for row in itertools.islice(self._rows(), FIRST_ROWS_MAX):
            first.setdefault(row.coin, row.prices[0])
            bars = len(row.prices) > 1
            if len(times) <= 1 and row.due_ms not in times:
                times.append(row.due_ms)
            if len(first) == len(self._symbols) and (len(times) > 1 or not bars):
                break
        if not times:
            seen = ", ".join(sorted(self.unknown)[:10]) or "none"
            raise RecordingError(
                f"{self.path}: no row to play: the policy prices none of its symbols in the window asked for "
                f"(symbols not priced: {seen})"
            )
        return first, times[1] - times[0] if len(times) > 1 else BAR_MS_DEFAULT, times[0]

    def _rows(self) -> Iterator[_Row]:
        """The rows inside the window that the policy prices."""
        line = 1
        try:
            with self.path.open("rb") as raw, _text(self.path, raw) as text:
                reader = csv.reader(text)
                columns = self._columns(next(reader, []))
                newest_ms = None
                for line, fields in enumerate(reader, start=2):
                    if line % ROWS_PER_LOOK == 0:
                        self.bytes_read = raw.tell()
                    if len(fields) != len(columns):
                        raise self._error(line, f"{len(fields)} fields, the header names {len(columns)}")
                    due_ms = self._integer(line, "ts_ms", fields[0])
                    if columns == ARRIVALS:
                        due_ms = self._integer(line, "recv_ts_ms", fields[4])
                    self._check_order(line, due_ms, newest_ms, 0 if columns == BARS else LATENESS_MS_MAX)
                    newest_ms = max(due_ms, newest_ms or due_ms)
                    if self._to_ms is not None and due_ms >= self._to_ms + LATENESS_MS_MAX:
                        return
                    if not self._in_window(due_ms):
                        continue
                    coin = _coin(fields[1])
                    if coin not in self._symbols:
                        self.unknown[fields[1]] += 1
                        continue
                    yield _Row(line, due_ms, coin, self._prices(line, columns, fields))
        except (OSError, EOFError, zlib.error, UnicodeDecodeError, csv.Error) as error:
            raise self._error(line, f"cannot be read: {error}") from error

    def _columns(self, header: list[str]) -> tuple[str, ...]:
        columns = tuple(header)
        if columns not in (TRADES, ARRIVALS, BARS):
            choices = "; ".join(",".join(known) for known in (TRADES, ARRIVALS, BARS))
            raise self._error(1, f"the header {','.join(header)!r} is none of: {choices}")
        return columns

    def _check_order(self, line: int, due_ms: int, newest_ms: int | None, lateness_ms: int) -> None:
        if newest_ms is not None and due_ms < newest_ms - lateness_ms:
            raise self._error(
                line,
                f"time {due_ms} is {newest_ms - due_ms} ms before an earlier row's, {lateness_ms} ms allowed",
            )

    def _in_window(self, due_ms: int) -> bool:
        return (self._from_ms is None or due_ms >= self._from_ms) and (
            self._to_ms is None or due_ms < self._to_ms
        )

    def _prices(self, line: int, columns: tuple[str, ...], fields: list[str]) -> tuple[Decimal, ...]:
        if columns != BARS:
            return (self._price(line, "price", fields[2]),)
        named = zip(BARS[2:6], fields[2:6], strict=True)
        opened, high, low, close = (self._price(line, name, text) for name, text in named)
        return (opened, low, high, close) if close >= opened else (opened, high, low, close)

    def _price(self, line: int, column: str, text: str) -> Decimal:
        try:
            price = Decimal(text)
        except InvalidOperation:
            raise self._error(line, f"{column} {text!r} is not a number") from None
        fault = amount_fault(price)
        if fault is not None:
            raise self._error(line, f"{column} {text!r} {fault}")
        if price <= 0:
            raise self._error(line, f"{column} {text!r} is not above zero")
        return price

    def _integer(self, line: int, column: str, text: str) -> int:
        try:
            return int(text)
        except ValueError:
            raise self._error(line, f"{column} {text!r} is not a whole number of milliseconds") from None

    def _error(self, line: int, rule: str) -> RecordingError:
        return RecordingError(f"{self.path}, line {line}: {rule}")


@lru_cache(maxsize=1_024)
def _coin(recorded_symbol: str) -> str:
    match = _COIN.fullmatch(recorded_symbol)
    return match[1] if match else recorded_symbol


def _text(path: Path, raw: BinaryIO) -> TextIO:
    if path.suffix == ".gz":
        return gzip.open(raw, "rt", encoding="utf-8", newline="")
    return io.TextIOWrapper(raw, encoding="utf-8", newline="")
