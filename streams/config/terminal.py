"""How commands show things: tables and lines for people, JSON for scripts.

Names of accounts and bytes of records come from outside, so nothing of them is read as markup or reaches the
terminal as a control character.
"""

from collections.abc import Callable, Iterable, Sequence
from decimal import Decimal
from typing import Any, TypeVar

import msgspec
import typer
from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from engine.ladder import Band
from engine.numbers import canonical

PIPE_COLUMNS = 200
"""Width where standard output is no terminal: wide enough that no table there folds its cells."""
SHOWN_PLACES = 8
"""Decimal places in tables; JSON and `--explain` give every digit."""

BAND_STYLES = {
    Band.HEALTHY: "green",
    Band.WARNING: "yellow",
    Band.MARGIN_CALL: "dark_orange",
    Band.REDUCE_ONLY: "red",
    Band.LIQUIDATION: "bold red",
    Band.BANKRUPT: "bold white on red",
}

_T = TypeVar("_T")


class _Out(Console):
    def on_broken_pipe(self) -> None:
        """Leave it to the command line, which has one answer for everything that is printed."""
        raise BrokenPipeError


def console() -> Console:
    """Standard output, for people."""
    out = _Out(markup=False, highlight=False, emoji=False)
    return out if out.is_terminal else _Out(markup=False, highlight=False, emoji=False, width=PIPE_COLUMNS)


def table(title: str, columns: Sequence[str], right: Sequence[str] = ()) -> Table:
    """An empty table; columns named in `right` hold numbers."""
    made = Table(title=title, title_justify="left", title_style="bold", header_style="dim")
    for column in columns:
        made.add_column(column, justify="right" if column in right else "left", overflow="fold")
    return made


def json_out(item: Any) -> None:
    """Print one JSON document on one line; amounts are strings, as everywhere in this project."""
    typer.echo(msgspec.json.encode(item, order="deterministic"))


def present(report: _T, parts: Callable[[_T], Iterable[RenderableType]], *, as_json: bool) -> None:
    """Print a report as JSON, or the parts that people read, which are made only for them."""
    if as_json:
        json_out(report)
        return
    out = console()
    for part in parts(report):
        out.print(part)


def band_text(band: Band) -> Text:
    """A band in its colour."""
    return Text(band.value, style=BAND_STYLES[band])


def amount(value: Decimal | None, places: int = SHOWN_PLACES) -> str:
    """A number for people: thousands separated, at most `places` decimal places but for what would look like 0; "-" for None."""
    if value is None:
        return "-"
    text = f"{value:,.{places}f}"
    if value and not any(it in "123456789" for it in text):
        return every_digit(value)  # 0 would say that there is nothing
    return text.rstrip("0").rstrip(".") if "." in text else text


def every_digit(value: Decimal) -> str:
    """A number for people who check sums: nothing rounded."""
    return f"{canonical(value):,f}"


def printable(data: bytes | str, characters_max: int | None = None) -> str:
    """Text that a terminal may be given: escapes for control characters and for bytes that are not UTF-8."""
    text = data.decode(errors="backslashreplace") if isinstance(data, bytes) else data
    shown = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
    if characters_max is None or len(shown) <= characters_max:
        return shown
    return shown[: characters_max - 1] + "…"
