"""`unimargin simulate`: an exchange that executes what the engine asks for, on Kafka or in this process."""

import asyncio
import logging
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich.console import Console

from engine.policy import Policy
from streams.commands.common import EXIT_MISTAKE, EXIT_PROBLEM, ConfigOption, JsonOption, fail, tell_mistakes
from streams.embedded.ports import LOOPBACK
from streams.feed.command import speed_of, unix_ms
from streams.feed.errors import BrokerError, FeedError
from streams.feed.market import quotes
from streams.feed.population import Population
from streams.feed.recording import Recording
from streams.feed.scenario import check_rate
from streams.health import HealthServer
from streams.settings import SettingsError, load_policy, load_settings
from streams.simulate.agents import AGENT_STYLES
from streams.simulate.conservation import NotConserved
from streams.simulate.exporter import registry_of
from streams.simulate.live import Live, LiveOptions
from streams.simulate.offline import OfflineEngine, run_offline
from streams.simulate.path import MarketPath, RecordedPath, ScenarioPath, recorded_seconds, recording_in
from streams.simulate.report import SimulationSummary, print_summary, summarised
from streams.simulate.scenarios import SCENARIOS
from streams.simulate.simulation import Simulation, SimulationOptions

SECONDS = 120.0
FUNDING_PART = 0.2
"""When a scenario settles funding, as a part of its length: once, in its calm beginning."""
FUNDING_SECONDS = 8 * 3600.0
"""A recording settles at the hours of the clock at which exchanges do."""
SCENARIO_LIST = "; ".join(f"{name}: {scenario.title}" for name, scenario in SCENARIOS.items())


_BootstrapServersOption = Annotated[str | None, typer.Option(help="Kafka's address; default: the setting's.")]
_ScenarioOption = Annotated[str, typer.Option(help=SCENARIO_LIST)]
_SeedOption = Annotated[int, typer.Option(help="The same seed makes the same accounts and market.")]
_SecondsOption = Annotated[
    float | None,
    typer.Option(min=1, max=864_000, help="Length of the market [default: 120; with --data: all of it]"),
]
_AccountsOption = Annotated[int, typer.Option(min=1, max=1_000_000)]
_SpeedOption = Annotated[str, typer.Option(help="Seconds of the market per second, or max.")]
_DataOption = Annotated[
    Path | None,
    typer.Option(
        help="Recording (csv or csv.gz of trades or bars), or a directory of such, as the path of prices."
    ),
]
_FromTimeOption = Annotated[
    str | None, typer.Option("--from", help="Play the recording from here: ISO time, UTC by default.")
]
_ToTimeOption = Annotated[str | None, typer.Option("--to", help="... up to here.")]
_TicksPerSecondOption = Annotated[
    float, typer.Option(min=0.1, max=1_000_000, help="Marks of all symbols together.")
]
_OrdersPerSecondOption = Annotated[float, typer.Option(min=0, max=10_000, help="Of agents.")]
_ImpactOption = Annotated[
    float, typer.Option(min=0, max=100, help="Times the usual price move of a trade; 0 for none.")
]
_MarksPerRecordOption = Annotated[
    int, typer.Option(min=1, max=1_000, help="Above 1, marks travel in batches.")
]
_AwaitWorkersOption = Annotated[
    bool,
    typer.Option("--await-workers", help="Let the market move when workers have taken in the accounts."),
]
_MetricsPortOption = Annotated[
    int | None, typer.Option(min=0, max=65_535, help="Serve /metrics here; 0 takes a free port.")
]
_OfflineOption = Annotated[
    bool, typer.Option("--offline", help="Exchange and engine in this process, without Kafka and Redis.")
]
_PlainBookOption = Annotated[
    bool,
    typer.Option("--plain-book", help="Offline: judge every holder exactly (the slow specification)."),
]
_EventsOption = Annotated[
    Path | None, typer.Option(help="Offline: write every event into this file, a JSON line each.")
]
_PolicyOption = Annotated[Path | None, typer.Option(help="Policy file; default: the setting's.")]


@tell_mistakes
def simulate(
    config: ConfigOption = None,
    bootstrap_servers: _BootstrapServersOption = None,
    scenario: _ScenarioOption = "flash-crash",
    seed: _SeedOption = 1,
    seconds: _SecondsOption = None,
    accounts: _AccountsOption = 5_000,
    speed: _SpeedOption = "1",
    data: _DataOption = None,
    from_time: _FromTimeOption = None,
    to_time: _ToTimeOption = None,
    ticks_per_second: _TicksPerSecondOption = 400,
    orders_per_second: _OrdersPerSecondOption = 20,
    impact: _ImpactOption = 1.0,
    marks_per_record: _MarksPerRecordOption = 1,
    await_workers: _AwaitWorkersOption = False,  # noqa: FBT002 - a flag
    metrics_port: _MetricsPortOption = None,
    offline: _OfflineOption = False,  # noqa: FBT002 - a flag
    plain_book: _PlainBookOption = False,  # noqa: FBT002 - a flag
    events: _EventsOption = None,
    policy: _PolicyOption = None,
    as_json: JsonOption = False,  # noqa: FBT002 - a flag
) -> None:
    """Run a simulated exchange: agents trade, prices answer, liquidations are executed, every cent is accounted for."""
    settings = load_settings(config)
    if bootstrap_servers is not None:
        settings = settings.model_copy(update={"kafka_bootstrap_servers": bootstrap_servers})
    if (events is not None or plain_book) and not offline:
        raise SettingsError("--events and --plain-book belong to --offline")
    rules = load_policy(policy or settings.policy_file)
    try:
        simulation, source, pace = make_simulation(
            rules,
            scenario=scenario,
            seed=seed,
            seconds=seconds,
            accounts=accounts,
            speed=speed,
            data=data,
            from_time=from_time,
            to_time=to_time,
            ticks_per_second=ticks_per_second,
            orders_per_second=orders_per_second,
            impact=impact,
            first_sequence=0 if offline else time.time_ns() // 1_000,
        )
        if offline:
            summary = _offline(simulation, source, events, plain=plain_book)
        else:
            options = LiveOptions(
                source=source, speed=pace, marks_per_record=marks_per_record, await_workers=await_workers
            )
            tell = _tell_as_json if as_json else _tell
            summary = asyncio.run(_live(Live(settings, simulation, options, tell), simulation, metrics_port))
    except (BrokerError, NotConserved) as error:
        fail(str(error), EXIT_PROBLEM)
    except FeedError as error:
        fail(str(error), EXIT_MISTAKE)
    if as_json:
        typer.echo(msgspec.json.encode(summary))
    else:
        print_summary(summary, Console())


def make_simulation(
    rules: Policy,
    *,
    scenario: str,
    seed: int,
    seconds: float | None,
    accounts: int,
    speed: str,
    data: Path | None,
    from_time: str | None,
    to_time: str | None,
    ticks_per_second: float,
    orders_per_second: float,
    impact: float,
    first_sequence: int = 0,
) -> tuple[Simulation, str, float | None]:
    """The exchange that these options ask for, what its prices follow, and its speed. Raises `FeedError` for none."""
    pace = speed_of(speed)
    check_rate(rules, quotes(rules), ticks_per_second)
    path: MarketPath
    if data is None:
        if scenario not in SCENARIOS:
            raise FeedError(f"--scenario {scenario!r}: one of {', '.join(SCENARIOS)}")
        chosen = SCENARIOS[scenario]
        length = SECONDS if seconds is None else seconds
        path = ScenarioPath(chosen, rules, seed=seed, seconds=length)
        source, bad = chosen.name, chosen.bad_ticks
        funding_at: tuple[float, ...] = (FUNDING_PART * length,)
    else:
        file = recording_in(data)
        window = (unix_ms("--from", from_time), unix_ms("--to", to_time))
        recording = Recording(file, rules, speed=1.0, from_ms=window[0], to_ms=window[1])
        path, source, bad = RecordedPath(recording, rules), str(file), False
        length = recorded_seconds(recording, window[1]) if seconds is None else seconds
        first = FUNDING_SECONDS - recording.start_ms / 1000 % FUNDING_SECONDS
        funding_at = tuple(first + FUNDING_SECONDS * i for i in range(int(length // FUNDING_SECONDS) + 1))
    population = Population(rules, accounts, seed, path.start_prices, AGENT_STYLES)
    if not population.contracts:
        raise FeedError(f"policy {rules.name!r} lists no linear perpetual with tiers: nothing is traded here")
    options = SimulationOptions(
        seconds=length,
        steps_per_second=ticks_per_second / len(quotes(rules)) / (pace or 1.0),
        orders_per_second=orders_per_second / (pace or 1.0),
        impact=impact,
        funding_at=funding_at,
        bad_ticks=bad,
    )
    return Simulation(rules, population, path, options, first_sequence=first_sequence), source, pace


def _offline(simulation: Simulation, source: str, events: Path | None, *, plain: bool) -> SimulationSummary:
    """Play the market in this process; the file of events is there whole, or not at all."""
    engine = OfflineEngine(simulation.policy, plain=plain)
    if events is None:
        for _ in run_offline(simulation, engine):
            pass
    else:
        unfinished = events.with_name(f".{events.name}.part")
        try:
            with unfinished.open("wb") as out:
                for _ in run_offline(simulation, engine, lambda data: out.write(data + b"\n")):
                    pass
            unfinished.replace(events)
        except OSError as error:
            raise SettingsError(f"--events {events}: {error.strerror}") from None
        finally:
            unfinished.unlink(missing_ok=True)
    return summarised(simulation, source, "ended", cascade=True)


async def _live(live: Live, simulation: Simulation, metrics_port: int | None) -> SimulationSummary:
    """Run to the end, or until Ctrl-C or SIGTERM; either way the summary is true."""
    logging.getLogger("aiokafka").setLevel(
        logging.CRITICAL
    )  # what it has to say of a failure is told once, by us
    server = None
    if metrics_port is not None:
        server = HealthServer(LOOPBACK, metrics_port, registry_of(simulation), dict)
        await server.start()
        typer.echo(f"metrics at http://{LOOPBACK}:{server.port}/metrics", err=True)
    task = asyncio.ensure_future(live.run())
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    with suppress(asyncio.CancelledError):
        await task
    if server is not None:
        await server.stop()
    return live.summary(cascade=True)


def _tell(summary: SimulationSummary) -> None:
    if sys.stderr.isatty():
        typer.echo(
            f"{summary.seconds:7.1f} s  {summary.phase:8}  {summary.ticks:,} marks, {summary.fills:,} fills, "
            f"{summary.liquidations_executed:,} liquidations executed, fund {summary.fund_equity:,.0f}, "
            f"{'conserved' if summary.conserved else 'NOT CONSERVED'}",
            err=True,
        )


def _tell_as_json(summary: SimulationSummary) -> None:
    typer.echo(msgspec.json.encode(summary), err=True)
