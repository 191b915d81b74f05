"""`unimargin demo`: a market crash on this machine, from real parts, with nothing to set up."""

import asyncio
import logging
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich.console import Console

from engine.policy import Policy
from streams.cli.simulate.exchange_options import make_simulation
from streams.cli.simulate.recording_options import (
    ColumnsOption,
    MapOption,
    SymbolOption,
    reading_of,
    words_of,
)
from streams.cli.simulate.simulate_command import SCENARIO_LIST
from streams.config.invocation import JsonOption, tell_mistakes
from streams.config.problem import Problem
from streams.config.settings import SettingsError, load_policy, load_settings
from streams.demo.demo_options import DemoError, DemoOptionError, DemoOptions
from streams.demo.demo_run import DemoRun
from streams.demo.demo_summary import print_next, print_summary
from streams.demo.screen import open_screen
from streams.exchange.feed_errors import FeedError
from streams.exchange.market.recorded_layout import Reading

SYNTHETIC_SECONDS = 45.0
EXIT_INTERRUPTED, EXIT_TERMINATED = 130, 143
"""128 + SIGINT, 128 + SIGTERM, as shells say it."""


@tell_mistakes
def demo(
    seconds: Annotated[
        float | None,
        typer.Option(min=1, max=3600, help="Length of the market [default: 45; with --data: all of it]"),
    ] = None,
    accounts: Annotated[int, typer.Option(min=1, max=100_000)] = 5_000,
    seed: Annotated[int, typer.Option(help="The same seed makes the same accounts and crash.")] = 1,
    ticks_per_second: Annotated[float, typer.Option(min=1, max=100_000)] = 1_000,
    fills_per_second: Annotated[float, typer.Option(min=0, max=1_000, help="Orders of agents.")] = 20,
    scenario: Annotated[str, typer.Option(help=SCENARIO_LIST)] = "flash-crash",
    data: Annotated[
        Path | None,
        typer.Option(help="Replay this recording (csv of trades, marks or bars, plain or packed) instead."),
    ] = None,
    speed: Annotated[str, typer.Option(help="Recorded seconds per second, or max.")] = "60",
    from_time: Annotated[
        str | None, typer.Option("--from", help="Replay from here: ISO time, UTC by default.")
    ] = None,
    to_time: Annotated[str | None, typer.Option("--to", help="... up to here.")] = None,
    renamed: MapOption = None,
    symbol: SymbolOption = None,
    columns: ColumnsOption = None,
    workers: Annotated[int, typer.Option(min=1, max=4)] = 1,
    kafka: Annotated[
        str | None, typer.Option(help="Address of a Kafka with fresh topics [default: one in memory]")
    ] = None,
    redis: Annotated[str | None, typer.Option(help="URL of an empty Redis [default: a private one]")] = None,
    keep: Annotated[  # noqa: FBT002 - an option of the command line
        bool, typer.Option("--keep", help="At the end leave everything running until Ctrl-C.")
    ] = False,
    board: Annotated[  # noqa: FBT002 - an option of the command line
        bool, typer.Option("--board/--no-board", help="Serve a live board for a browser beside it.")
    ] = True,
    as_json: JsonOption = False,  # noqa: FBT002 - an option of the command line
) -> None:
    """Watch a market crash: 5,000 accounts, live margin calls, liquidations executed, nothing to set up.

    Examples:
      unimargin demo
      unimargin demo --seconds 20 --accounts 2000 --seed 7 --json
      unimargin demo --data trades.csv.gz --speed 60 --keep
    """
    if seconds is None and data is None:
        seconds = SYNTHETIC_SECONDS
    options = DemoOptions(
        seconds=seconds,
        accounts=accounts,
        seed=seed,
        ticks_per_second=ticks_per_second,
        fills_per_second=fills_per_second,
        scenario=scenario,
        data=data.resolve() if data is not None else None,
        speed=speed,
        from_time=from_time,
        to_time=to_time,
        reading=words_of(renamed, symbol, columns),
        workers=workers,
        kafka=kafka,
        redis=redis,
        keep=keep,
        board=board,
    )
    settings = load_settings()
    policy = load_policy(settings.policy_file)
    _check(options, policy, reading_of(renamed, symbol, columns))
    out = Console()
    run = DemoRun(options, settings, policy, open_screen(Console(stderr=True) if as_json else out))
    try:
        with asyncio.Runner() as runner:
            runner.run(_run(run, lambda: _tell_end(run, out, as_json=as_json)))
    except (KeyboardInterrupt, asyncio.CancelledError) as end:
        if run.completed:  # with --keep this is how it ends
            raise typer.Exit from None
        _tell_end(run, out, as_json=as_json)
        raise typer.Exit(
            EXIT_INTERRUPTED if isinstance(end, KeyboardInterrupt) else EXIT_TERMINATED
        ) from None
    except DemoOptionError as error:
        raise SettingsError(str(error)) from None
    except DemoError as error:
        raise Problem(f"{error}\nlogs: {run.logs}") from None


def _check(options: DemoOptions, policy: Policy, reading: Reading) -> None:
    """Find a mistake of the user's before anything is started. Raises SettingsError."""
    if "@" in (options.redis or ""):
        raise SettingsError(
            "--redis: everybody on this machine sees it; give the password by UNIMARGIN_REDIS_PASSWORD"
        )
    try:
        make_simulation(
            policy,
            scenario=options.scenario,
            seed=options.seed,
            seconds=options.seconds or SYNTHETIC_SECONDS,
            accounts=options.accounts,
            speed=options.speed,
            data=options.data,
            from_time=options.from_time,
            to_time=options.to_time,
            reading=reading,
            ticks_per_second=options.ticks_per_second,
            orders_per_second=options.fills_per_second,
            impact=1.0,
        )
    except FeedError as error:
        raise SettingsError(str(error)) from None


async def _run(run: DemoRun, at_end: Callable[[], None]) -> None:
    """Ctrl-C is the runner's to handle; SIGTERM ends the run in order too."""
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # what it has to say is for the parts' own logs
    task = asyncio.current_task()
    if task is None:
        raise AssertionError("not in a task")
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    await run.run(at_end)


def _tell_end(run: DemoRun, out: Console, *, as_json: bool) -> None:
    summary = run.summary()
    if summary is None:
        return
    if as_json:
        typer.echo(msgspec.json.encode(summary))
        return
    print_summary(summary, out)
    running = run.completed and run.keeps
    print_next(summary, run.settings, out, running=running, board=run.board_address)
