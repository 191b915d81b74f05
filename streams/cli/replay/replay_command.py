"""`unimargin replay`: the inputs of a day again, in one process, and the same events to the byte; or two runs compared."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from streams.cli.replay.replay_tables import difference_parts, summary_parts
from streams.cli.simulate.feed_command import speed_of, unix_ms
from streams.cli.simulate.recording_options import ColumnsOption, MapOption, SymbolOption, reading_of
from streams.config.invocation import (
    EXIT_MISTAKE,
    EXIT_PROBLEM,
    ConfigOption,
    JsonOption,
    fail,
    run,
    tell_mistakes,
)
from streams.config.settings import SettingsError, load_policy, load_settings
from streams.config.terminal import console, json_out
from streams.exchange.feed_errors import FeedError
from streams.replay.recorded_market import FRESH_SECONDS
from streams.replay.run_difference import difference
from streams.replay.sources import ACCOUNTS_DEFAULT, FileOptions, Files

if TYPE_CHECKING:
    from streams.replay.replay_summary import Summary


class Book(StrEnum):
    """Which book of accounts judges."""

    COLUMNAR = "columnar"
    PLAIN = "plain"


@tell_mistakes
def replay(
    from_topics: Annotated[  # noqa: FBT002 - an option of the command line
        bool,
        typer.Option("--from-topics", help="Replay fills, ledger and prices from Kafka, to their end now."),
    ] = False,
    from_first: Annotated[  # noqa: FBT002 - an option of the command line
        bool, typer.Option("--from-first", help="... even where the log no longer begins at offset 0.")
    ] = False,
    data: Annotated[
        Path | None,
        typer.Option(
            help="Recording (csv of trades, marks or bars, plain or packed), file of input messages (jsonl, may be .gz), or a "
            "directory of such files."
        ),
    ] = None,
    accounts: Annotated[
        int | None,
        typer.Option(
            min=0,
            max=10_000_000,
            help=f"Made-up accounts that open at a recording's first prices; default: {ACCOUNTS_DEFAULT:,}, or none "
            "beside files of messages.",
            show_default=False,
        ),
    ] = None,
    seed: Annotated[int, typer.Option(help="The same seed makes the same accounts.")] = 1,
    fresh: Annotated[
        float,
        typer.Option(min=0, help="Seconds that a recorded symbol's last price is repeated in a silence."),
    ] = FRESH_SECONDS,
    from_time: Annotated[
        str | None, typer.Option("--from", help="Play recordings from here: ISO time, UTC by default.")
    ] = None,
    to_time: Annotated[str | None, typer.Option("--to", help="... up to here.")] = None,
    renamed: MapOption = None,
    symbol: SymbolOption = None,
    columns: ColumnsOption = None,
    speed: Annotated[str, typer.Option(help="Seconds of event time per second, or max.")] = "max",
    events: Annotated[
        Path | None, typer.Option(help="File for the events, one a line; packed where its name ends in .gz.")
    ] = None,
    quarantine: Annotated[
        Path | None, typer.Option(help="File for what is refused: place, reason and detail, one a line.")
    ] = None,
    policy: Annotated[Path | None, typer.Option(help="Policy file; default: the setting's.")] = None,
    book: Annotated[
        Book, typer.Option(help="plain judges every holder exactly at every mark: slow, the specification.")
    ] = Book.COLUMNAR,
    diff: Annotated[
        tuple[Path, Path] | None,
        typer.Option(
            metavar="A B", help="Compare two runs' event files instead; exit code 1 if they differ."
        ),
    ] = None,
    as_json: JsonOption = False,  # noqa: FBT002 - an option of the command line
    config: ConfigOption = None,
) -> None:
    """Replay inputs in one process, deterministically: the same inputs give the same events, to the byte.

    Liquidations are not executed unless the fills that do so are in the input. Nothing is written to Kafka or Redis.

    Examples:
      unimargin replay --from-topics --events a.jsonl
      unimargin replay --data crash.csv.gz --accounts 20000 --policy new.toml --events b.jsonl
      unimargin replay --diff a.jsonl b.jsonl
    """
    if sum((from_topics, data is not None, diff is not None)) != 1:
        raise SettingsError("say what to do: --from-topics, --data FILE, or --diff A B")
    if diff is not None:
        _compare(*diff, as_json=as_json)
        return
    # here, because a comparison judges nothing and need not wait for the compiler's start
    from streams.cli.replay.replay_run import RunOptions, replay_files, replay_topics  # noqa: PLC0415

    settings = load_settings(config)
    rules = load_policy(policy or settings.policy_file)
    try:
        options = RunOptions(
            policy=rules,
            plain=book is Book.PLAIN,
            speed=speed_of(speed),
            events=events,
            quarantine=quarantine,
        )
        if data is None:
            if accounts is not None or from_time or to_time:
                raise SettingsError(
                    "--accounts, --from and --to are for recordings; topics are replayed as a whole"
                )
            told = run(replay_topics(settings, options, from_first=from_first))
        else:
            if from_first:
                raise SettingsError("--from-first belongs to --from-topics")
            files = FileOptions(
                accounts=accounts,
                seed=seed,
                fresh_seconds=fresh,
                from_ms=unix_ms("--from", from_time),
                to_ms=unix_ms("--to", to_time),
                reading=reading_of(renamed, symbol, columns),
            )
            told = replay_files(Files(data, rules, files), options)
    except FeedError as error:
        fail(str(error), EXIT_MISTAKE)
    _show(told, as_json=as_json)


def _show(told: "Summary", *, as_json: bool) -> None:
    if as_json:
        json_out(told)
        return
    for part in summary_parts(told):
        console().print(part)


def _compare(first: Path, second: Path, *, as_json: bool) -> None:
    found = difference(first, second)
    if as_json:
        json_out(found)
    else:
        for part in difference_parts(found, first, second):
            console().print(part)
    if not found.same:
        raise typer.Exit(EXIT_PROBLEM)
