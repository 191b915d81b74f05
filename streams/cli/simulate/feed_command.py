"""`unimargin feed`: play a market, synthetic or recorded, with a made-up population into Kafka."""

import asyncio
import signal
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from engine.policy import Policy
from streams.cli.simulate.recording_options import ColumnsOption, MapOption, SymbolOption, reading_of
from streams.config.invocation import EXIT_MISTAKE, EXIT_PROBLEM, ConfigOption, fail, run, tell_mistakes
from streams.config.settings import load_policy, load_settings, settings_with
from streams.exchange.feed_errors import BrokerError, FeedError
from streams.exchange.market.recorded_layout import Reading
from streams.exchange.market.recording import Recording, told_left_out
from streams.exchange.market.scenario import Scenario, SyntheticCrash
from streams.exchange.traders.population import Population
from streams.exchange.wire.feed import Feed, FeedOptions, FeedSummary

SYNTHETIC_SECONDS = 120.0


@tell_mistakes
def feed(
    config: ConfigOption = None,
    bootstrap_servers: Annotated[
        str | None, typer.Option(help="Kafka's address; default: the setting's.")
    ] = None,
    accounts: Annotated[int, typer.Option(min=1, max=10_000_000)] = 5_000,
    seconds: Annotated[
        float | None,
        typer.Option(min=1, help="Length of the market; default: 120 synthetic, all of a recording."),
    ] = None,
    ticks_per_second: Annotated[
        float, typer.Option(min=0.1, max=1_000_000, help="Of the synthetic market.")
    ] = 500,
    fills_per_second: Annotated[float, typer.Option(min=0, max=10_000)] = 20,
    marks_per_record: Annotated[
        int,
        typer.Option(
            min=1,
            max=1_000,
            help="Of the synthetic market; above 1, so many marks hold together. A recording's rows of one time do.",
        ),
    ] = 1,
    await_workers: Annotated[  # noqa: FBT002 - a flag
        bool,
        typer.Option("--await-workers", help="Let the market move when workers have taken in the accounts."),
    ] = False,
    seed: Annotated[int, typer.Option(help="The same seed makes the same population and market.")] = 1,
    data: Annotated[
        Path | None,
        typer.Option(help="Recording (csv of trades, marks or bars, plain or packed) to play instead."),
    ] = None,
    speed: Annotated[str, typer.Option(help="Recorded seconds per second, or max.")] = "60",
    from_time: Annotated[
        str | None, typer.Option("--from", help="Play the recording from here: ISO time, UTC by default.")
    ] = None,
    to_time: Annotated[str | None, typer.Option("--to", help="... up to here.")] = None,
    renamed: MapOption = None,
    symbol: SymbolOption = None,
    columns: ColumnsOption = None,
    policy: Annotated[Path | None, typer.Option(help="Policy file; default: the setting's.")] = None,
    json_output: Annotated[  # noqa: FBT002 - a flag
        bool, typer.Option("--json", help="Print progress (on standard error) and summary as JSON lines.")
    ] = False,
) -> None:
    """Feed a demo market into Kafka: made-up accounts, then prices that crash (or a recording).

    Examples:
      unimargin feed --seconds 1800
      unimargin feed --data trades.csv.gz --await-workers
    """
    settings = load_settings(config)
    if bootstrap_servers is not None:
        settings = settings_with(settings, {"kafka_bootstrap_servers": bootstrap_servers})
    rules = load_policy(policy or settings.policy_file)
    try:
        scenario = make_scenario(
            rules,
            seconds=SYNTHETIC_SECONDS if seconds is None else seconds,
            ticks_per_second=ticks_per_second,
            seed=seed,
            data=data,
            speed=speed,
            from_time=from_time,
            to_time=to_time,
            reading=reading_of(renamed, symbol, columns),
        )
        population = Population(rules, accounts, seed, scenario.start_prices)
        options = FeedOptions(
            fills_per_second=fills_per_second,
            seconds_max=seconds,
            marks_per_record=marks_per_record,
            await_workers=await_workers,
        )
        tell = _tell_progress_as_json if json_output else _tell_progress
        summary = run(_run(Feed(settings, scenario, population, options, tell)))
    except BrokerError as error:
        fail(str(error), EXIT_PROBLEM)
    except FeedError as error:
        fail(str(error), EXIT_MISTAKE)
    left_out = scenario.unknown if isinstance(scenario, Recording) else {}
    for line in told_left_out([scenario] if isinstance(scenario, Recording) else []):
        typer.echo(line, err=True)
    typer.echo(_as_json(summary, left_out) if json_output else _as_text(summary, left_out))


def make_scenario(
    rules: Policy,
    *,
    seconds: float,
    ticks_per_second: float,
    seed: int,
    data: Path | None,
    speed: str,
    from_time: str | None,
    to_time: str | None,
    reading: Reading,
) -> Scenario:
    """The market that these options ask for. Raises `FeedError` when they ask for none."""
    if data is None:
        return SyntheticCrash(rules, seed=seed, seconds=seconds, ticks_per_second=ticks_per_second)
    return Recording(
        data,
        rules,
        speed=speed_of(speed),
        from_ms=unix_ms("--from", from_time),
        to_ms=unix_ms("--to", to_time),
        reading=reading,
    )


def speed_of(text: str) -> float | None:
    """The number that `--speed` gives, None for max. Raises `FeedError` for anything else."""
    if text == "max":
        return None
    try:
        speed = float(text)
    except ValueError:
        speed = 0.0
    if not 0 < speed < float("inf"):
        raise FeedError(f"--speed {text!r}: a number above 0, or max")
    return speed


def unix_ms(option: str, text: str | None) -> int | None:
    """The moment that an option gives. Raises `FeedError` for what is no ISO time."""
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise FeedError(f"{option} {text!r}: not an ISO time such as 2025-10-10T21:00") from None
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)


async def _run(running: Feed) -> FeedSummary:
    """Run to the end, or until Ctrl-C or SIGTERM; either way the summary is true."""
    task = asyncio.ensure_future(running.run())
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    try:
        return await task
    except asyncio.CancelledError:
        return running.summary()


def _tell_progress(summary: FeedSummary) -> None:
    if sys.stderr.isatty():
        typer.echo(
            f"{summary.seconds:7.1f} s  {summary.phase:8}  {summary.ledger_entries} ledger entries, "
            f"{summary.fills} fills, {summary.ticks} ticks",
            err=True,
        )


def _tell_progress_as_json(summary: FeedSummary) -> None:
    typer.echo(msgspec.json.encode(summary), err=True)


def _as_json(summary: FeedSummary, left_out: dict[str, int]) -> str:
    return msgspec.json.encode({**msgspec.to_builtins(summary), "rows_left_out": left_out}).decode()


def _as_text(summary: FeedSummary, left_out: dict[str, int]) -> str:
    lines = [
        f"{summary.phase} after {summary.seconds:.1f} s, at most {summary.late_seconds_max:.3f} s late",
        f"{summary.accounts} accounts: {summary.ledger_entries} ledger entries, {summary.fills} fills",
        f"{summary.ticks} ticks, {summary.repeats} repeated prices",
    ]
    lines += [
        f"  {symbol:16} {span.first:>12} -> {span.last:>12}  {span.last / span.first - 1:+.1%}"
        for symbol, span in summary.prices.items()
    ]
    lines += [
        f"rows left out, not priced by the policy: {symbol} {rows}" for symbol, rows in left_out.items()
    ]
    return "\n".join(lines)
