"""What a user says of a recording that the file does not say itself: options that every command with recordings has."""

from typing import Annotated

import typer

from streams.config.settings import SettingsError
from streams.exchange.market.recorded_columns import OPEN_HIGH_LOW_CLOSE, ROLES
from streams.exchange.market.recorded_layout import Reading

MapOption = Annotated[
    list[str] | None,
    typer.Option(
        "--map",
        metavar="FROM=TO",
        help="Play recorded symbol FROM as TO, a price symbol of the policy; repeatable.",
    ),
]
SymbolOption = Annotated[
    str | None,
    typer.Option(
        "--symbol", help="Of a recording whose rows name none [default: the one in the file's name]."
    ),
]
ColumnsOption = Annotated[
    str | None,
    typer.Option(
        "--columns",
        metavar="ROLE=NAME,...",
        help="Columns of a recording in no known format: time=, price= (or open=, high=, low=, close=) and symbol=, each a "
        "column's name or its number from 1.",
    ),
]


def reading_of(renamed: list[str] | None, symbol: str | None, columns: str | None) -> Reading:
    """How recordings are to be read. Raises `SettingsError` for options that say nothing."""
    return Reading(
        symbol=symbol,
        columns=_pairs("--columns", columns.split(",") if columns else [], ROLES),
        renamed=_pairs("--map", renamed or []),
    )


def words_of(renamed: list[str] | None, symbol: str | None, columns: str | None) -> tuple[str, ...]:
    """The same options as the words of another command."""
    words = [word for it in renamed or [] for word in ("--map", it)]
    for option, value in (("--symbol", symbol), ("--columns", columns)):
        words += [] if value is None else [option, value]
    return tuple(words)


def _pairs(option: str, words: list[str], keys: tuple[str, ...] | None = None) -> dict[str, str]:
    pairs: dict[str, str] = {}
    for word in words:
        name, equals, value = (part.strip() for part in word.partition("="))
        if not (name and equals and value):
            raise SettingsError(f"{option} {word!r}: NAME=VALUE is wanted")
        if keys is not None and name not in keys:
            raise SettingsError(f"{option} {word!r}: {name} is none of {', '.join(keys)}")
        if pairs.get(name, value) != value:
            raise SettingsError(f"{option} {word!r}: {name} is {pairs[name]} already")
        pairs[name] = value
    if "price" in pairs and keys is not None and pairs.keys() & set(OPEN_HIGH_LOW_CLOSE):
        raise SettingsError(f"{option}: price, or open, high, low and close, not both")
    return pairs
