"""`unimargin policy import`: a venue's own files as policy text, on standard output."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from engine.policy.reading.parse import PolicyError
from engine.policy.reading.venue_imports import brackets_policy, filters_policy
from streams.config.invocation import tell_mistakes
from streams.config.settings import SettingsError

app = typer.Typer(no_args_is_help=True, help="Convert a venue's files to policy text (on standard output).")

FileArgument = Annotated[
    Path, typer.Argument(help="JSON file as the venue publishes it.", show_default=False)
]


@app.callback()
def policy_import() -> None:
    """Convert a venue's files to policy text (on standard output)."""


@app.command("binance-brackets")
@tell_mistakes
def binance_brackets(file: FileArgument) -> None:
    """Leverage brackets (leverageBracket, or as trading libraries keep them) to tier tables and instruments."""
    text = _read(file)
    typer.echo(_converted(file, lambda: brackets_policy(text)), nl=False)


@app.command("instrument-filters")
@tell_mistakes
def instrument_filters(
    file: FileArgument,
    brackets: Annotated[
        Path | None,
        typer.Option("--brackets", help="Bracket file of the same venue; then the text is a whole policy."),
    ] = None,
) -> None:
    """Instruments with lot and tick sizes (exchangeInfo, or a digest of it) to the instruments of a policy."""
    text, tiers = _read(file), None if brackets is None else _read(brackets)
    typer.echo(_converted(file, lambda: filters_policy(text, tiers)), nl=False)


def _read(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except OSError as error:
        raise SettingsError(f"{file}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise SettingsError(f"{file}: not UTF-8 text") from None


def _converted(file: Path, convert: Callable[[], str]) -> str:
    try:
        return convert()
    except PolicyError as error:
        raise SettingsError(f"{file}: {error}") from None
