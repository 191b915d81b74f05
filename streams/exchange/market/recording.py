"""A recorded market as a scenario: marks of the policy's price symbols from the rows of a file.

Of a trade or a mark there is one mark, due at its time (or when it arrived, where the file says that). Of a bar there are
four, spread over it: open, then low and high of a rising bar (high and low of a falling one), then close.

Rules
-----
* Which files are read: `recorded_columns` and `recorded_text`. Which symbols drive what: `recorded_symbols`. Rows whose
  symbol the policy does not price are counted and left out.
* A file is not held, unless its newest row comes first: its beginning is read for the first prices, then all of it for
  the marks.
* Rows come in time order, out of it by at most `LATENESS_MS_MAX`; bars in exact order.
* Silence is kept: a recorded symbol without rows gets no marks. Symbols that are never recorded are `constant`.
"""

import itertools
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal
from pathlib import Path

from engine.numbers import amount_fault, by_value, exact
from engine.policy import Policy
from streams.exchange.feed_errors import RecordingError
from streams.exchange.market.recorded_layout import Reading
from streams.exchange.market.recorded_rows import LATENESS_MS_MAX, LeftOut, RecordedRows, Row
from streams.exchange.market.recorded_symbols import ACCEPTED, RecordedSymbols
from streams.exchange.market.sample_market import start_prices
from streams.exchange.market.scenario import FeedMark

FIRST_ROWS_MAX = 50_000
"""A price symbol without a price among this many first rows counts as never recorded; later rows of it are left out."""
FIRST_ROWS_MIN = 1_000
"""Among these is seen which price symbols the recording has by their own names."""
BAR_MS_DEFAULT = 60_000
"""Length of a bar in a recording that has only one time."""
BAR_POINTS = (0.0, 0.3, 0.6, 0.9)
"""When a bar's four prices are due, as parts of its length."""
_SEEN_SHOWN = 10


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
        reading: Reading | None = None,
    ) -> None:
        """Read the first prices of `path`.

        - `speed`: recorded seconds per second; None means as fast as the broker takes the marks.
        - `from_ms`, `to_ms`: play only rows from the first (inclusive) to the second (exclusive), Unix ms.
        - `reading`: what the file does not say itself.
        """
        reading = reading or Reading()
        self.path, self.speed = path, speed
        self.unknown: Counter[str] = Counter()
        """Rows left out while playing, by recorded symbol: the policy prices no such coin."""
        self._from_ms, self._to_ms = from_ms, to_ms
        self._symbols = RecordedSymbols(policy, reading.renamed)
        self._file = RecordedRows(path, reading, self._symbols.in_name)
        self._played: frozenset[str] | None = None
        self._own: dict[str, str] = {}
        self._bars = False
        sample = start_prices(policy)
        first, self._bar_ms, self.start_ms = self._first_prices(len(policy.price_symbols))
        self._played = frozenset(first)
        self.start_prices: Mapping[str, Decimal] = {**sample, **first}
        self.constant = frozenset(sample) - self._played

    @property
    def paced(self) -> bool:
        """See `Scenario`."""
        return self.speed is not None

    @property
    def bytes_read(self) -> int:
        """Of the file as it lies on disk, about."""
        return self._file.bytes_read

    @property
    def left_out(self) -> Mapping[str, LeftOut]:
        """Rows left out while playing because they say no price that can be played, by reason."""
        return self._file.left_out

    def end_ms(self) -> int:
        """The time of the last row. Reads the file to its end."""
        return self._file.end_ms()

    def __iter__(self) -> Iterator[FeedMark]:
        """See `Scenario`."""
        self.unknown.clear()
        sequences: Counter[str] = Counter()
        newest_ms = self.start_ms
        for due_ms, symbol, price in self._points():
            newest_ms = max(newest_ms, due_ms)  # a late row is due now, not in the past
            at_seconds = (newest_ms - self.start_ms) / 1000 / self.speed if self.speed else 0.0
            sequences[symbol] += 1
            yield FeedMark(at_seconds, symbol, price, sequences[symbol], moment=newest_ms)

    def _points(self) -> Iterator[tuple[int, str, Decimal]]:
        """(when due in ms, price symbol, price) in the order in which they are due."""
        if not self._bars:
            for row, driven in self._rows():
                for symbol, power in driven:
                    yield row.due_ms, symbol, _scaled(row.prices[0], power) if power else row.prices[0]
            return
        for due_ms, rows in itertools.groupby(self._rows(), lambda it: it[0].due_ms):
            together = list(rows)
            for i, part in enumerate(BAR_POINTS):
                for row, driven in together:
                    if i < len(row.prices):
                        for symbol, power in driven:
                            yield due_ms + int(part * self._bar_ms), symbol, _scaled(row.prices[i], power)

    def _first_prices(self, symbols: int) -> tuple[dict[str, Decimal], int, int]:
        """First price by price symbol, length of a bar and time of the first row."""
        first: dict[str, Decimal] = {}
        own: dict[str, Decimal] = {}
        start_ms, newest_ms, bar_ms = None, 0, 0
        for count, (row, driven) in enumerate(itertools.islice(self._rows(), FIRST_ROWS_MAX), start=1):
            for symbol, power in driven:
                first.setdefault(symbol, _scaled(row.prices[0], power))
            named = self._symbols.own(row.symbol)
            if named is not None and named not in own:
                own[named], self._own[named] = row.prices[0], row.symbol
            self._bars = len(row.prices) > 1
            if start_ms is None:
                start_ms = row.due_ms
            elif row.due_ms > newest_ms:
                # bars may be missing: the shortest time between two is their length
                bar_ms = min(bar_ms or row.due_ms, row.due_ms - newest_ms)
            newest_ms = max(newest_ms, row.due_ms)
            if count >= FIRST_ROWS_MIN and symbols in (len(own), len(first)):
                break
            if not self._bars and len(own) == symbols:
                break
        if start_ms is None:
            raise RecordingError(self._nothing())
        return first | own, bar_ms or BAR_MS_DEFAULT, start_ms

    def _nothing(self) -> str:
        seen = ", ".join(sorted(self.unknown)[:_SEEN_SHOWN]) or "none"
        said = "".join(f"; {it}" for it in told_left_out([self]))
        if not self.unknown and not said:
            windowed = self._from_ms is not None or self._to_ms is not None
            why = "no row lies in the window asked for" if windowed else "there is none below the header"
            return f"{self.path}: no row to play: {why}"
        return (
            f"{self.path}: no row to play: the policy prices none of its symbols in the window asked for "
            f"(symbols not priced: {seen}){said}. The policy prices {self._symbols.priced()}. Accepted is {ACCEPTED}"
        )

    def _rows(self) -> Iterator[tuple[Row, list[tuple[str, int]]]]:
        """The rows inside the window that the policy prices, each with what it drives and at which power of ten."""
        known: dict[str, list[tuple[str, int]]] = {}
        for row in self._file:
            if self._to_ms is not None and row.due_ms >= self._to_ms + LATENESS_MS_MAX:
                return
            if not self._in_window(row.due_ms):
                continue
            symbol = row.symbol
            if symbol not in known:
                known[symbol] = self._driven(symbol)
            if known[symbol]:
                yield row, known[symbol]
            else:
                self.unknown[symbol] += 1

    def _driven(self, recorded: str) -> list[tuple[str, int]]:
        driven = self._symbols.driven(recorded)
        if driven is None:
            return []
        return [
            (symbol, power)
            for symbol, power in zip(*driven, strict=True)
            if (self._played is None or symbol in self._played)
            and self._own.get(symbol, recorded) == recorded
        ]

    def _in_window(self, due_ms: int) -> bool:
        return (self._from_ms is None or due_ms >= self._from_ms) and (
            self._to_ms is None or due_ms < self._to_ms
        )


def told_left_out(recordings: Iterable[Recording]) -> list[str]:
    """What was left out of recordings that have been read, a sentence each."""
    return [
        f"{it.path.name}: {left.rows} rows left out: {reason} (the first in line {left.line})"
        for it in recordings
        for reason, left in it.left_out.items()
    ]


def _scaled(price: Decimal, power: int) -> Decimal:
    if not power:
        return price
    with exact():
        scaled = by_value(price.scaleb(power))
    fault = amount_fault(scaled)
    if fault is not None:
        raise RecordingError(f"price {price} times 10^{power} {fault}")
    return scaled
