"""Which column of a recording says what. Formats are data: a format is the columns that it needs, in the order of trial.

The first format whose columns are all there is taken; other columns are passed over. Dumps without a header are told by
the number of their fields and by what those are.
"""

from collections.abc import Mapping, Sequence

import msgspec

from streams.exchange.market.recorded_text import shown
from streams.exchange.market.recorded_times import is_time

OPEN_HIGH_LOW_CLOSE = ("open", "high", "low", "close")
_SHOWN_MAX = 200
ROLES = ("time", "symbol", "price", *OPEN_HIGH_LOW_CLOSE)


class RowFormat(msgspec.Struct, frozen=True):
    """Names of columns, lower case with "_" between words; where there are several, the first that is there."""

    name: str
    time: tuple[str, ...]
    """When a row is due."""
    price: tuple[str, ...] = ()
    """Of trades, one; none for bars, which have open, high, low and close."""
    symbol: tuple[str, ...] = ("symbol",)
    needs: tuple[str, ...] = ()
    """Columns beside those that make it this format and no other."""


class Headless(msgspec.Struct, frozen=True):
    """A dump without a header: places of its fields."""

    name: str
    fields: int
    time: int
    prices: tuple[int, ...]
    flags: tuple[int, ...] = ()
    """Places of true and false."""
    whole: tuple[int, ...] = ()
    """Places of whole numbers."""


_TIMES = (
    *(
        "ts_ms",
        "timestamp_ms",
        "time_ms",
        "open_time",
        "opentime",
        "timeopen",
        "time_open",
        "start_time",
        "starttime",
        "start_at",
        "start",
    ),
    *(
        "unix",
        "unix_timestamp",
        "timestamp",
        "created_time",
        "transact_time",
        "trade_time",
        "time",
        "datetime",
    ),
    *("date_time", "date", "snapped_at", "ts"),
)
_SYMBOLS = (
    *(
        "symbol",
        "instrument_name",
        "instrument_id",
        "instrument",
        "instid",
        "inst_id",
        "pair",
        "market",
        "ticker",
    ),
    *("contract", "product_id", "coin"),
)
_MARKS = ("mark_price", "markprice", "markpx", "mark_px")

FORMATS = (
    RowFormat("trades by arrival", ("recv_ts_ms",), ("price",), needs=("ts_ms",)),
    RowFormat("tardis derivative_ticker", ("local_timestamp",), _MARKS, needs=("funding_rate",)),
    RowFormat("tardis trades", ("local_timestamp",), ("price",), needs=("amount",)),
    RowFormat("Binance aggTrades", ("transact_time",), ("price",), needs=("agg_trade_id",)),
    RowFormat("Binance trades", ("time",), ("price",), needs=("is_buyer_maker",)),
    RowFormat("Binance klines", ("open_time",), needs=("close_time",)),
    RowFormat("CryptoDataDownload", ("unix", "unix_timestamp", "date"), needs=("date",)),
    RowFormat("Bybit trades", ("timestamp",), ("price",), needs=("side", "tickdirection")),
    RowFormat("Kraken OHLCVT", ("time", "timestamp"), needs=("vwap", "count")),
    RowFormat("OKX trades", ("created_time",), ("price",), symbol=("instrument_name",)),
    RowFormat("marks", _TIMES, _MARKS, symbol=_SYMBOLS),
    RowFormat("bars", _TIMES, symbol=_SYMBOLS),
    RowFormat("trades", _TIMES, ("price", "trade_price", "px"), symbol=_SYMBOLS),
)
HEADLESS = (
    Headless("Binance klines", 12, 0, (1, 2, 3, 4), whole=(6, 8)),
    Headless("Binance aggTrades", 8, 5, (1,), flags=(6, 7), whole=(0, 3, 4)),
    Headless("Binance aggTrades", 7, 5, (1,), flags=(6,), whole=(0, 3, 4)),
    Headless("Binance trades", 7, 4, (1,), flags=(5, 6), whole=(0,)),
    Headless("Binance trades", 6, 4, (1,), flags=(5,), whole=(0,)),
    Headless("Kraken OHLCVT", 8, 0, (1, 2, 3, 4), whole=(7,)),
    Headless("Kraken OHLCVT", 7, 0, (1, 2, 3, 4), whole=(6,)),
    Headless("bars", 6, 0, (1, 2, 3, 4)),
    Headless("Kraken trades", 3, 0, (1,)),
)


class Columns(msgspec.Struct, frozen=True):
    """Places of what a row says."""

    name: str
    count: int
    """Fields of a row."""
    time: int
    symbol: int | None
    prices: tuple[int, ...]
    """One, or open, high, low and close."""
    titles: tuple[str, ...]
    """What to call the columns in a message."""
    headed: bool
    """Whether the first row names the columns and is no row of prices."""
    parts: tuple[int, int] | None = None
    """Day and time of day, where columns of both names are there: they may be the two parts of one time."""

    @property
    def bars(self) -> bool:
        """Whether a row is a bar."""
        return len(self.prices) > 1


class ColumnsFault(Exception):  # noqa: N818 - it names what is wrong with the columns
    """The columns of a file are not known; the message says which are."""


def columns_of(first: Sequence[str], wanted: Mapping[str, str]) -> Columns:
    """The columns of a file by its first row, or those `wanted` by role: a column's name, or its number from 1.

    Raises `ColumnsFault`.
    """
    titles = tuple(_title(it) for it in first)
    if wanted:
        return _wanted(first, titles, wanted)
    for it in FORMATS:
        found = _by_names(it, titles)
        if found is not None:
            return found
    for bare in HEADLESS:
        if _is(bare, first):
            return _headless(bare)
    raise ColumnsFault(
        f"the header {shown(','.join(first), _SHOWN_MAX)} is none of: {described()}; anything else: "
        "--columns time=NAME,symbol=NAME,price=NAME (or open=,high=,low=,close=), with names or numbers of columns"
    )


def described() -> str:
    """The formats that are read, each by its columns."""
    plain = (
        "ts_ms,symbol,price,qty; ts_ms,symbol,price,qty,recv_ts_ms; ts_ms,symbol,open,high,low,close,volume"
    )
    named = sorted(
        {it.name for it in (*FORMATS, *HEADLESS)} - {"trades", "bars", "marks", "trades by arrival"}
    )
    return f"{plain}; {', '.join(named)}, with or without their header"


def is_heading(line: str) -> bool:
    """Whether a line stands above the header, as some vendors put their address there."""
    return line.lstrip('"').startswith(("http://", "https://", "sep="))


def _title(text: str) -> str:
    return text.strip().strip('"').lower().replace(" ", "_").replace("-", "_")


def _by_names(it: RowFormat, titles: tuple[str, ...]) -> Columns | None:
    prices = OPEN_HIGH_LOW_CLOSE if not it.price else (_first(it.price, titles),)
    time = _first(it.time, titles)
    if time is None or not set(it.needs) <= set(titles) or not set(prices) <= set(titles):
        return None
    symbol = _first(it.symbol, titles)
    places = tuple(titles.index(name) for name in prices if name is not None)
    named = None if symbol is None else titles.index(symbol)
    parts = (titles.index("date"), titles.index("time")) if {"date", "time"} <= set(titles) else None
    return Columns(it.name, len(titles), titles.index(time), named, places, titles, headed=True, parts=parts)


def _first(names: tuple[str, ...], titles: tuple[str, ...]) -> str | None:
    return next((it for it in names if it in titles), None)


def _is(it: Headless, fields: Sequence[str]) -> bool:
    return (
        len(fields) == it.fields
        and is_time(fields[it.time])
        and all(_is_number(fields[place]) for place in it.prices)
        and all(fields[place].lower() in ("true", "false", "0", "1") for place in it.flags)
        and all(fields[place].isdigit() for place in it.whole)
    )


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _headless(it: Headless) -> Columns:
    titles = [f"field {place + 1}" for place in range(it.fields)]
    names = OPEN_HIGH_LOW_CLOSE if len(it.prices) > 1 else ("price",)
    for place, name in zip(it.prices, names, strict=True):
        titles[place] = name
    return Columns(it.name, it.fields, it.time, None, it.prices, tuple(titles), headed=False)


def _wanted(first: Sequence[str], titles: tuple[str, ...], wanted: Mapping[str, str]) -> Columns:
    prices = ("price",) if "price" in wanted else OPEN_HIGH_LOW_CLOSE
    missing = [role for role in ("time", *prices) if role not in wanted]
    if missing:
        raise ColumnsFault(
            f"--columns: {', '.join(missing)} is missing (time and price, or time, open, high, low, close)"
        )
    places = {role: _place(first, titles, role, name) for role, name in wanted.items()}
    headed = not is_time(first[places["time"]])
    return Columns(
        "--columns",
        len(first),
        places["time"],
        places.get("symbol"),
        tuple(places[role] for role in prices),
        titles,
        headed,
    )


def _place(first: Sequence[str], titles: tuple[str, ...], role: str, name: str) -> int:
    if name in first:
        return first.index(name)
    if _title(name) in titles:
        return titles.index(_title(name))
    if name.isdigit() and 0 < int(name) <= len(first):
        return int(name) - 1
    raise ColumnsFault(
        f"--columns {role}={name}: the file has no such column; its columns are {', '.join(first)}"
    )
