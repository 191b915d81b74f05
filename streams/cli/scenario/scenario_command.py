"""`unimargin scenario`: the scenarios of stress that ship, and one made of a recording."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from engine.analytics.recorded_move import recorded_move
from engine.analytics.stress_scenario import StressScenario
from engine.policy import Policy
from engine.policy.reading.toml_text import document_text
from streams.cli.simulate.feed_command import unix_ms
from streams.cli.simulate.recording_options import ColumnsOption, MapOption, SymbolOption, reading_of
from streams.config.invocation import EXIT_MISTAKE, ConfigOption, JsonOption, fail, tell_mistakes
from streams.config.problem import Problem
from streams.config.progress_bar import counting
from streams.config.settings import SettingsError, load_policy, load_settings
from streams.config.stress_scenarios import shipped_scenarios
from streams.config.terminal import amount, console, json_out, printable, table
from streams.exchange.feed_errors import FeedError
from streams.exchange.market.recording import Recording, told_left_out
from streams.exchange.market.sample_market import quotes

app = typer.Typer(no_args_is_help=True, help="Scenarios of stress.")

_FIRST_SHOWN = 6
_MS = 1000
_PERCENT_PLACES = 2


@app.callback()
def scenario() -> None:
    """Scenarios of stress."""


@app.command("list")
@tell_mistakes
def list_command(
    as_json: JsonOption = False,  # noqa: FBT002 - an option of the command line
) -> None:
    """List the scenarios that ship: window, moves, sources.

    Examples:
      unimargin scenario list
    """
    known = shipped_scenarios()
    if as_json:
        json_out(known)
        return
    rows = table("Scenarios of stress", ["name", "from (UTC)", "to", "moves", "others", "about"], ["others"])
    for it in known:
        named = list(it.prices.items())
        words = ", ".join(f"{coin} {_percent(move)}" for coin, move in named[:_FIRST_SHOWN])
        more = f" and {len(named) - _FIRST_SHOWN} more" if len(named) > _FIRST_SHOWN else ""
        times = (f"{moment:%Y-%m-%d %H:%M}" for moment in (it.begins, it.ends))
        rows.add_row(it.name, *times, words + more, _percent(it.others), it.about)
    console().print(rows)


@app.command("from-recording")
@tell_mistakes
def from_recording(
    file: Annotated[
        Path,
        typer.Argument(help="Recording (csv of trades, marks or bars, plain or packed).", show_default=False),
    ],
    name: Annotated[str | None, typer.Option(help="Of the scenario; default: the file's name.")] = None,
    from_time: Annotated[
        str | None, typer.Option("--from", help="Begin of the window: ISO time, UTC by default.")
    ] = None,
    to_time: Annotated[str | None, typer.Option("--to", help="... and its end.")] = None,
    up: Annotated[  # noqa: FBT002 - an option of the command line
        bool, typer.Option("--up", help="The moment at which the mean of all coins had risen furthest.")
    ] = False,
    renamed: MapOption = None,
    symbol: SymbolOption = None,
    columns: ColumnsOption = None,
    as_json: JsonOption = False,  # noqa: FBT002 - an option of the command line
    config: ConfigOption = None,
) -> None:
    """Write, to standard output, a scenario of the moves of a recording until its worst moment.

    That is where the mean of all coins had fallen furthest from their first prices. Coins that the policy does not price are left
    out; implied volatilities are not in a recording, so add them by hand.

    Examples:
      unimargin scenario from-recording trades.csv.gz --name crash > mine.toml
    """
    if not file.is_file():
        raise SettingsError(f"{printable(str(file))}: no such file")
    policy = load_policy(load_settings(config).policy_file)
    try:
        recording = Recording(
            file,
            policy,
            speed=1.0,
            from_ms=unix_ms("--from", from_time),
            to_ms=unix_ms("--to", to_time),
            reading=reading_of(renamed, symbol, columns),
        )
        with counting("reading", file.stat().st_size) as done:
            found = recorded_move(_points(recording, policy, done), up=up)
    except FeedError as error:
        fail(str(error), EXIT_MISTAKE)
    for line in told_left_out([recording]):
        typer.echo(line, err=True)
    if found is None:
        raise Problem(
            f"{printable(str(file))}: at no moment had the mean of all coins {'risen' if up else 'fallen'}"
        )
    begins, ends = (datetime.fromtimestamp(ms / _MS, UTC) for ms in (found.begins_ms, found.ends_ms))
    made = StressScenario(
        name=name or file.name.split(".")[0],
        about=f"Moves of {len(found.moves)} coins until the mean of all was furthest {'up' if up else 'down'}",
        begins=begins,
        ends=ends,
        sources=(f"recording {file.name}",),
        prices=found.moves,
    )
    if as_json:
        json_out(made)
        return
    typer.echo(document_text(msgspec.structs.asdict(made)), nl=False)


def _points(
    recording: Recording, policy: Policy, on_bytes: Callable[[int], None]
) -> Iterator[tuple[int, str, Decimal]]:
    """Time, coin and price of each row; the price symbols of one coin say the same."""
    read = 0
    coins: dict[str, str] = {}
    for quote in quotes(policy):
        if quote.coin not in coins.values():
            coins[quote.symbol] = quote.coin
    for mark in recording:
        on_bytes(recording.bytes_read - read)
        read = recording.bytes_read
        if mark.symbol in coins and mark.moment is not None:
            yield mark.moment, coins[mark.symbol], mark.price


def _percent(fraction: Decimal) -> str:
    return f"{amount(fraction * 100, _PERCENT_PLACES)} %"
