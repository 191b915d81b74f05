"""What every command shares: settings, and how a mistake or a problem is told."""

import asyncio
import functools
import logging
from collections.abc import Callable, Coroutine
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, NoReturn, ParamSpec, TypeVar

import typer

from engine.inputs import NAME_LENGTH_MAX
from streams.config.market_moves import moves_of
from streams.config.problem import Problem
from streams.config.settings import SettingsError
from streams.config.terminal import printable

EXIT_MISTAKE = 2
"""The user's mistake: a message, no traceback."""
EXIT_PROBLEM = 1
"""The command worked and found a problem (a failed check, an unknown account, a service that is away)."""

ConfigOption = Annotated[
    Path | None,
    typer.Option("--config", help="File of UNIMARGIN_NAME=value lines; the environment wins over it."),
]
JsonOption = Annotated[
    bool,
    typer.Option("--json", help="For scripts: one JSON document instead of a table, also of nothing found."),
]
JsonLinesOption = Annotated[
    bool, typer.Option("--json", help="For scripts: one JSON object a line, each as it is told.")
]
LastPricesOption = Annotated[
    bool,
    typer.Option("--last-prices", help="Count as if the last saved prices were fresh, however old they are."),
]


def _usable_name(name: str | None) -> str | None:
    """Refuse what cannot be a name before it reaches a server (bytes that are no UTF-8 come as surrogates)."""
    if name is not None:
        if not 0 < len(name) <= NAME_LENGTH_MAX:
            raise typer.BadParameter(f"a name has 1 to {NAME_LENGTH_MAX} characters")
        if not name.isascii() and any("\ud800" <= character <= "\udfff" for character in name):
            raise typer.BadParameter("not UTF-8 text")
    return name


AccountArgument = Annotated[
    str, typer.Argument(metavar="ID", help="The account.", callback=_usable_name, show_default=False)
]
OptionalAccount = Annotated[
    str | None, typer.Argument(metavar="ID", help="The account.", callback=_usable_name, show_default=False)
]
AccountFilter = Annotated[
    str | None, typer.Option("--account", help="Only this account's.", callback=_usable_name)
]
NewestOfAccount = Annotated[
    str | None,
    typer.Option("--account", metavar="ID", help="The newest event of this account.", callback=_usable_name),
]
AccountOption = Annotated[
    str, typer.Option("--account", help="The account.", callback=_usable_name, show_default=False)
]


def moves_option(option: str, text: str) -> tuple[Decimal, ...]:
    """The market moves that an option names (`market_moves.moves_of`). Raises `SettingsError`."""
    try:
        return moves_of(text)
    except ValueError as error:
        raise SettingsError(f"{option}: {error}") from None


_P = ParamSpec("_P")
_R = TypeVar("_R")


def tell_mistakes(command: Callable[_P, _R]) -> Callable[_P, _R]:
    """Turn a `SettingsError` into its message and exit code 2, a `Problem` into its message and exit code 1."""

    @functools.wraps(command)
    def told(*args: _P.args, **kwargs: _P.kwargs) -> _R:
        try:
            return command(*args, **kwargs)
        except SettingsError as error:
            fail(str(error), EXIT_MISTAKE)
        except Problem as problem:
            fail(str(problem), EXIT_PROBLEM)

    return told


def fail(message: str, code: int) -> NoReturn:
    """Say `message` on standard error and leave with `code`."""
    typer.echo(f"{typer.style('error:', fg='red')} {message}", err=True)
    raise typer.Exit(code)


def warn(message: str) -> None:
    """Say on standard error what was found beside what was asked for."""
    typer.echo(f"{typer.style('warning:', fg='yellow')} {printable(message)}", err=True)


def run(main: Coroutine[Any, Any, _R]) -> _R:
    """Run a command's coroutine. What its Kafka client has to say about a failure is told once, by us."""
    for talkative in (
        "aiokafka",
        "asyncio",
    ):  # asyncio tells of clients that never connected and so never close
        logging.getLogger(talkative).setLevel(logging.CRITICAL)
    with asyncio.Runner() as runner:
        return runner.run(main)
