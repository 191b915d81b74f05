"""`unimargin simulate`: an exchange that executes what the engine asks for, on Kafka or in this process."""

import asyncio
import functools
import logging
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich.console import Console

from engine.policy import Policy
from engine.policy.rules.deleveraging_rules import DeleveragingRules
from streams.cli.simulate.adl_policies import ACCEPTED, adl_policies
from streams.cli.simulate.exchange_options import make_simulation, scenario_policy, scenario_rules
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
from streams.config.progress_bar import counting
from streams.config.settings import SettingsError, load_policy, load_settings, settings_with
from streams.embedded.ports import LOOPBACK
from streams.exchange.adl_comparison import AdlComparison, adl_row, print_comparison
from streams.exchange.clearing.conservation import NotConserved
from streams.exchange.feed_errors import BrokerError, FeedError
from streams.exchange.market.market_path import RecordedPath
from streams.exchange.market.named_scenarios import SCENARIOS
from streams.exchange.market.recording import told_left_out
from streams.exchange.simulation import Simulation
from streams.exchange.simulation_report import SimulationSummary, print_summary, summarised
from streams.exchange.wire.live_simulation import Live, LiveOptions

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
        help="Recording (csv of trades, marks or bars, plain or packed), or a directory of such, as the path of prices."
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
_GuardOffOption = Annotated[
    bool,
    typer.Option(
        "--guard-off",
        help="Offline: the same without second sources, grace and withholding for stale prices, and breaker.",
    ),
]
_AdlOption = Annotated[
    list[str] | None,
    typer.Option(
        "--adl",
        metavar="POLICY",
        help=f"Offline: play the market once for each deleveraging policy and compare what they took. {ACCEPTED}; "
        "several by commas, or by the option again.",
    ),
]
_WritePolicyOption = Annotated[
    Path | None,
    typer.Option(
        help="Write the policy that the scenario is played by into this file, for workers, and end."
    ),
]


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
    renamed: MapOption = None,
    symbol: SymbolOption = None,
    columns: ColumnsOption = None,
    ticks_per_second: _TicksPerSecondOption = 400,
    orders_per_second: _OrdersPerSecondOption = 20,
    impact: _ImpactOption = 1.0,
    await_workers: _AwaitWorkersOption = False,  # noqa: FBT002 - a flag
    metrics_port: _MetricsPortOption = None,
    offline: _OfflineOption = False,  # noqa: FBT002 - a flag
    plain_book: _PlainBookOption = False,  # noqa: FBT002 - a flag
    events: _EventsOption = None,
    policy: _PolicyOption = None,
    guard_off: _GuardOffOption = False,  # noqa: FBT002 - a flag
    adl: _AdlOption = None,
    write_policy: _WritePolicyOption = None,
    as_json: JsonOption = False,  # noqa: FBT002 - a flag
) -> None:
    """Run a simulated exchange: agents trade, prices answer, liquidations are executed, every cent is accounted for.

    Examples:
      unimargin simulate --scenario flash-crash --accounts 5000
      unimargin simulate --offline --scenario depeg --seed 1 --json
      unimargin simulate --scenario cascade-and-adl --adl queue:position,queue,pro_rata_profit
    """
    settings = load_settings(config)
    if bootstrap_servers is not None:
        settings = settings_with(settings, {"kafka_bootstrap_servers": bootstrap_servers})
    _check_offline(
        adl, offline=offline or write_policy is not None, events=events, other=plain_book or guard_off
    )
    rules_file = policy or settings.policy_file
    try:
        if write_policy is not None:
            _write(write_policy, scenario_policy(rules_file, scenario, guarded=not guard_off))
            return
        rules = (
            load_policy(rules_file) if data else scenario_rules(rules_file, scenario, guarded=not guard_off)
        )
        make = functools.partial(
            make_simulation,
            scenario=scenario,
            seed=seed,
            seconds=seconds,
            accounts=accounts,
            speed=speed,
            data=data,
            from_time=from_time,
            to_time=to_time,
            reading=reading_of(renamed, symbol, columns),
            ticks_per_second=ticks_per_second,
            orders_per_second=orders_per_second,
            impact=impact,
        )
        if adl:
            comparison = _compared(rules, adl_policies(adl, rules.deleveraging), make, plain=plain_book)
            _say(comparison, as_json=as_json)
            return
        simulation, source, pace = make(rules, first_sequence=0 if offline else time.time_ns() // 1_000)
        if offline:
            summary = _offline(simulation, source, events, plain=plain_book)
        else:
            options = LiveOptions(source=source, speed=pace, await_workers=await_workers)
            tell = _tell_as_json if as_json else _tell
            summary = run(_live(Live(settings, simulation, options, tell), simulation, metrics_port))
    except (BrokerError, NotConserved) as error:
        fail(str(error), EXIT_PROBLEM)
    except FeedError as error:
        fail(str(error), EXIT_MISTAKE)
    if isinstance(simulation.path, RecordedPath):
        for line in told_left_out([simulation.path.recording]):
            typer.echo(line, err=True)
    _say(summary, as_json=as_json)


def _say(said: SimulationSummary | AdlComparison, *, as_json: bool) -> None:
    if as_json:
        typer.echo(msgspec.json.encode(said))
    elif isinstance(said, AdlComparison):
        print_comparison(said, Console())
    else:
        print_summary(said, Console())


def _check_offline(adl: list[str] | None, *, offline: bool, events: Path | None, other: bool) -> None:
    """Raise `SettingsError` for options that do not go together."""
    if (events is not None or other) and not (offline or adl):
        raise SettingsError("--events, --plain-book and --guard-off belong to --offline")
    if adl and events is not None:
        raise SettingsError("--events belongs to one run, --adl asks for several")


def _write(file: Path, text: str) -> None:
    try:
        file.write_text(text, encoding="utf-8")
    except OSError as error:
        raise SettingsError(f"--write-policy {file}: {error.strerror}") from None


def _offline(simulation: Simulation, source: str, events: Path | None, *, plain: bool) -> SimulationSummary:
    """Play the market in this process; the file of events is there whole, or not at all."""
    # here, because its book needs the compiler's start, and neither a live run nor the demo should wait for that
    from streams.exchange.offline_simulation import OfflineEngine, run_offline  # noqa: PLC0415

    engine = OfflineEngine(simulation.policy, plain=plain)
    if events is None:
        _play(run_offline(simulation, engine), simulation)
    else:
        unfinished = events.with_name(f".{events.name}.part")
        try:
            with unfinished.open("wb") as out:
                _play(run_offline(simulation, engine, lambda data: out.write(data + b"\n")), simulation)
            unfinished.replace(events)
        except OSError as error:
            raise SettingsError(f"--events {events}: {error.strerror}") from None
        finally:
            unfinished.unlink(missing_ok=True)
    return summarised(simulation, source, "ended", cascade=True)


def _play(steps: Iterator[None], simulation: Simulation) -> None:
    """Take every step; those that bring the market to rest come after the bar's end."""
    with counting("simulating", simulation.options.steps) as done:
        for _ in steps:
            done(1)


def _compared(
    rules: Policy,
    policies: Mapping[str, DeleveragingRules],
    make: Callable[[Policy], tuple[Simulation, str, float | None]],
    *,
    plain: bool,
) -> AdlComparison:
    """The same market under each policy, one after the other."""
    rows = []
    for name, deleveraging in policies.items():
        simulation, source, _ = make(msgspec.structs.replace(rules, deleveraging=deleveraging))
        _offline(simulation, source, None, plain=plain)
        rows.append(adl_row(name, simulation))
    return AdlComparison(
        source=source,
        seed=simulation.population.seed,
        accounts=simulation.population.accounts,
        seconds=round(simulation.second, 3),
        currency=rules.account_currency,
        rows=rows,
    )


async def _live(live: Live, simulation: Simulation, metrics_port: int | None) -> SimulationSummary:
    """Run to the end, or until Ctrl-C or SIGTERM; either way the summary is true."""
    logging.getLogger("aiokafka").setLevel(
        logging.CRITICAL
    )  # what it has to say of a failure is told once, by us
    server = None
    if metrics_port is not None:
        from streams.exchange.wire.exchange_metrics import registry_of  # noqa: PLC0415 - only this option serves them
        from streams.observe.health_server import HealthServer  # noqa: PLC0415

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
