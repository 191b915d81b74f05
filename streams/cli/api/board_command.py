"""`unimargin board`: the HTTP API with the live board, and a way into it."""

import asyncio
import time
from collections.abc import Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from streams.cli.simulate.feed_command import unix_ms
from streams.cli.simulate.recording_options import ColumnsOption, MapOption, SymbolOption, reading_of
from streams.config.invocation import ConfigOption, tell_mistakes
from streams.config.logs import configure_logs
from streams.config.problem import desk_extra
from streams.config.progress_bar import progress_bar
from streams.config.settings import Settings, SettingsError, load_policy, load_settings
from streams.desk.api_keys import ApiCaller, ApiKeys, ApiRole, board_address, load_keys, new_key
from streams.exchange.feed_errors import FeedError
from streams.replay.recorded_market import FRESH_SECONDS
from streams.replay.sources import ACCOUNTS_DEFAULT, FileOptions, Files

if TYPE_CHECKING:
    from streams.desk.api_server import Listening

REQUESTS_PER_MINUTE = 6_000
"""A board asks some 200 times a minute; several people may look by the one key."""


@tell_mistakes
def board(
    replay: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Play this day (recording, jsonl of messages, or a directory of such files) and serve it with a slider over its "
            "moments, instead of what is now.",
        ),
    ] = None,
    accounts: Annotated[
        int | None,
        typer.Option(
            min=0,
            max=100_000,
            help=f"With --replay: made-up accounts that open at a recording's first prices; default: {ACCOUNTS_DEFAULT:,}, or none "
            "beside files of messages.",
            show_default=False,
        ),
    ] = None,
    seed: Annotated[int, typer.Option(help="With --replay: the same seed makes the same accounts.")] = 1,
    from_time: Annotated[
        str | None, typer.Option("--from", help="With --replay: from here, ISO time, UTC by default.")
    ] = None,
    to_time: Annotated[str | None, typer.Option("--to", help="... up to here.")] = None,
    renamed: MapOption = None,
    symbol: SymbolOption = None,
    columns: ColumnsOption = None,
    role: Annotated[ApiRole, typer.Option(help="What the printed way in allows.")] = ApiRole.VIEWER,
    config: ConfigOption = None,
) -> None:
    """Serve the HTTP API with its live board, and print the address with a key that lasts as long as this process.

    The same process and settings as `unimargin api`; keys of UNIMARGIN_API_KEYS_FILE let in as well.

    Examples:
      unimargin board --role risk
      unimargin board --replay day.csv.gz --accounts 600
    """
    settings = load_settings(config)
    with desk_extra("the board"):
        from streams.desk.api_server import run_api  # noqa: PLC0415 - the web server is an extra, and takes a second
    configure_logs(settings.log_level, settings.log_levels)
    key, _ = new_key("board", role)
    keys = load_keys(settings.api_keys_file).with_key(key, ApiCaller("board", role, REQUESTS_PER_MINUTE))

    def listening(host: str, port: int) -> None:
        typer.echo(f"board: {board_address(host, port, key)}")

    if replay is None:
        if accounts is not None or from_time or to_time:
            raise SettingsError("--accounts, --from and --to belong to --replay")
        work = run_api(settings, keys, listening)
    else:
        options = FileOptions(
            accounts=accounts,
            seed=seed,
            fresh_seconds=FRESH_SECONDS,
            from_ms=unix_ms("--from", from_time),
            to_ms=unix_ms("--to", to_time),
            reading=reading_of(renamed, symbol, columns),
        )
        work = _recorded(settings, replay, options, keys, listening)
    with asyncio.Runner() as runner:
        runner.run(work)


def _recorded(
    settings: Settings, path: Path, options: FileOptions, keys: ApiKeys, listening: "Listening"
) -> Coroutine[Any, Any, None]:
    """Play the day, and serve it."""
    # here, because it takes the engine's kernels, which what is now does without
    from streams.desk.recorded_desks import run_recorded  # noqa: PLC0415
    from streams.replay.day_recording import record_day  # noqa: PLC0415

    policy = load_policy(settings.policy_file)
    if not path.exists():
        raise SettingsError(f"--replay {path}: no such file or directory")
    try:
        files = Files(path, policy, options)
        with progress_bar() as bar:
            task = bar.add_task("playing", total=files.bytes or None)
            day = record_day(
                files, policy, time.perf_counter_ns, lambda: bar.update(task, completed=files.bytes_read)
            )
    except FeedError as error:
        raise SettingsError(str(error)) from None
    if not day.moments or not day.moments[-1].time_ns:
        raise SettingsError(f"--replay {path}: nothing to replay, there is no message in it")
    if not day.accounts:
        raise SettingsError(f"--replay {path}: there is no account in it; --accounts makes some up")
    return run_recorded(settings, policy, keys, day, listening)
