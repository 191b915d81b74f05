"""What the beginning of a recording says of all of it: delimiter, columns, unit of time, and which end is the newest."""

import csv
import itertools
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

import msgspec

from streams.exchange.feed_errors import RecordingError
from streams.exchange.market.recorded_columns import Columns, ColumnsFault, columns_of, is_heading
from streams.exchange.market.recorded_text import backwards, delimiter_of, numbered_lines
from streams.exchange.market.recorded_times import Clock, TimeFault, clock_of, is_time

ROWS_LOOKED_AT = 1_000
"""Whether a file runs backwards is seen by so many first rows; where it ends by so many last ones."""

Line = tuple[int, str]
Fields = tuple[int, list[str]]


class Reading(msgspec.Struct, frozen=True):
    """How a file is to be read where it does not say so itself."""

    symbol: str | None = None
    """Of a file that names none in its rows."""
    columns: Mapping[str, str] = {}
    """From a role to a column's name or number."""
    renamed: Mapping[str, str] = {}
    """From a recorded symbol to the one that it is played as."""


class Layout:
    """The layout of one file, and its rows by it: oldest first, each with the number of its line."""

    def __init__(
        self, path: Path, text: Iterable[str], reading: Reading, symbol_in_name: Callable[[str], str | None]
    ) -> None:
        """`symbol_in_name` finds the symbol in a file's name. Raises `RecordingError` for a layout that is not known."""
        self._path = path
        lines = numbered_lines(text)
        head = next((it for it in lines if not is_heading(it[1])), None)
        if head is None:
            raise self.fault(1, "the file has no rows")
        self._delimiter = delimiter_of(head[1])
        _, first = next(self._parsed([head]), (1, [""]))
        try:
            self.columns: Columns = columns_of([it.strip() for it in first], reading.columns)
        except ColumnsFault as fault:
            raise self.fault(head[0], str(fault)) from None
        self.symbol = self._symbol(head[0], reading, symbol_in_name)
        """Of all rows; empty where each names its own."""
        if self.columns.headed:  # files written one behind the other repeat it
            lines = (it for it in lines if it[1] != head[1])
        else:
            lines = itertools.chain((head,), lines)
        looked_at = list(itertools.islice(lines, ROWS_LOOKED_AT))
        self._clock: Clock | None = None
        self._in_parts: bool | None = None
        """Whether day and time of day are columns of their own; None before the first row."""
        self.newest_first = self._runs_back(looked_at)
        """Then the whole file is held, to be read from its end."""
        self._lines = itertools.chain(looked_at, lines)

    def rows(self) -> Iterator[Fields]:
        """Every row, once."""
        return self._parsed(backwards(self._lines) if self.newest_first else self._lines)

    def last_rows(self) -> Iterator[Fields]:
        """The newest of them, instead of all; the others are passed over unread."""
        if self.newest_first:
            return self._parsed(itertools.islice(self._lines, ROWS_LOOKED_AT))
        return self._parsed(deque(self._lines, maxlen=ROWS_LOOKED_AT))

    def due_ms(self, line: int, fields: list[str]) -> int:
        """When a row is due. Raises `RecordingError`."""
        columns = self.columns
        if len(fields) != columns.count:
            named = "the header names" if columns.headed else "the first row has"
            raise self.fault(line, f"{len(fields)} fields, {named} {columns.count}")
        text = self._time(fields)
        try:
            if self._clock is None:
                self._clock = clock_of(text)
            return self._clock.ms(text)
        except TimeFault as fault:
            raise self.fault(line, f"{columns.titles[columns.time]}: {fault}") from None

    def _time(self, fields: list[str]) -> str:
        columns = self.columns
        if columns.parts is not None and self._in_parts is not False:
            text = " ".join(fields[it].strip() for it in columns.parts)
            if self._in_parts is None:
                self._in_parts = is_time(text)
            if self._in_parts:
                return text
        return fields[columns.time].strip()

    def fault(self, line: int, rule: str) -> RecordingError:
        """The error that names file, line and rule."""
        return RecordingError(f"{self._path}, line {line}: {rule}")

    def _parsed(self, lines: Iterable[Line]) -> Iterator[Fields]:
        number = 0

        def texts() -> Iterator[str]:
            nonlocal number
            for number, text in lines:  # noqa: B007 - it is yielded below
                yield text

        for fields in csv.reader(texts(), delimiter=self._delimiter):
            yield number, fields

    def _symbol(self, line: int, reading: Reading, symbol_in_name: Callable[[str], str | None]) -> str:
        if self.columns.symbol is not None:
            if reading.symbol is not None:
                raise self.fault(
                    line, "--symbol is for files that name none in their rows; --map FROM=TO renames one"
                )
            return ""
        symbol = reading.symbol or symbol_in_name(self._path.name.split(".")[0])
        if symbol is None:
            raise self.fault(
                line,
                f"no column names the symbol (read as {self.columns.name}), and the file's name has none that the policy "
                "prices, as BTCUSDT-1m-2025-10.csv would: --symbol SYMBOL",
            )
        return symbol

    def _runs_back(self, lines: list[Line]) -> bool:
        """Whether no row is later than the one before, and the last is earlier than the first."""
        times = []
        for line, fields in self._parsed(lines):
            if len(fields) == self.columns.count:  # the others are told when they are read
                times.append(self.due_ms(line, fields))
        return all(a >= b for a, b in itertools.pairwise(times)) and times[:1] > times[-1:]
