"""`unimargin policy import`: a venue's own files as policy text, on standard output."""

from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Annotated

import typer

from engine.policy.reading.parse import PolicyError
from engine.policy.reading.venue_imports import READABLE, venue_policy
from streams.config.invocation import tell_mistakes
from streams.config.settings import SettingsError
from streams.config.terminal import printable

app = typer.Typer(no_args_is_help=True, help="Convert a venue's files to policy text (on standard output).")

FileArgument = Annotated[
    Path, typer.Argument(help="JSON file as the venue publishes it.", show_default=False)
]


@app.callback()
def policy_import() -> None:
    """Convert a venue's files to policy text (on standard output)."""


@app.command(
    "files",
    help=f"Any files of one venue, each known by its keys: {READABLE}.\n\n"
    "Examples:\n  unimargin policy import files instruments.json tiers.json > mine.toml",
)
@tell_mistakes
def files(
    files: Annotated[
        list[Path], typer.Argument(help="JSON files as the venue publishes them.", show_default=False)
    ],
    name: Annotated[str, typer.Option(help="Of the policy.")] = "imported",
    price: Annotated[
        list[str] | None,
        typer.Option(
            "--price",
            metavar="FAMILY=PRICE",
            help="Of a family whose tiers are stated in contracts (OKX): notional is counted at it; repeatable.",
        ),
    ] = None,
) -> None:
    """Any files of one venue, each known by its keys."""
    _convert(name, files, _prices(price or []))


@app.command("binance-brackets")
@tell_mistakes
def binance_brackets(file: FileArgument) -> None:
    """Leverage brackets (leverageBracket, or as trading libraries keep them) to tier tables and instruments.

    Examples:
      unimargin policy import binance-brackets brackets.json > mine.toml
    """
    _convert("binance-brackets", [file], {})


@app.command("instrument-filters")
@tell_mistakes
def instrument_filters(
    file: FileArgument,
    brackets: Annotated[
        Path | None,
        typer.Option("--brackets", help="Bracket file of the same venue; then the text is a whole policy."),
    ] = None,
) -> None:
    """Instruments with lot and tick sizes (exchangeInfo, or a digest of it) to the instruments of a policy.

    Examples:
      unimargin policy import instrument-filters exchange-info.json --brackets brackets.json > mine.toml
    """
    _convert("instrument-filters", [file] if brackets is None else [file, brackets], {})


def _convert(name: str, files: list[Path], prices: dict[str, Decimal]) -> None:
    texts = [_read(file) for file in files]
    try:
        text, left_out = venue_policy(name, texts, prices)
    except PolicyError as error:
        raise SettingsError(f"{', '.join(map(str, files))}: {printable(str(error))}") from None
    typer.echo(text, nl=False)
    for it in left_out:
        typer.echo(f"left out: {printable(it)}", err=True)


def _prices(words: list[str]) -> dict[str, Decimal]:
    prices = {}
    for word in words:
        family, _, text = word.partition("=")
        try:
            price = Decimal(text)
        except InvalidOperation:
            price = Decimal(0)
        if not (family and price.is_finite() and price > 0):
            raise SettingsError(f"--price {word!r}: FAMILY=PRICE is wanted, as BTC-USDT=60000")
        prices[family] = price
    return prices


def _read(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except OSError as error:
        raise SettingsError(f"{file}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise SettingsError(f"{file}: not UTF-8 text") from None
