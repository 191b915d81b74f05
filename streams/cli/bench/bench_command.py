"""`unimargin bench`: what this machine does with the book of accounts."""

import os
import platform
import sys
import time
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer
from rich.text import Text

from engine.edition import ENGINE_VERSION
from streams.config.invocation import JsonOption
from streams.config.terminal import console, json_out, printable, table

app = typer.Typer(no_args_is_help=True, help="Measure on this machine.")

ACCOUNTS_MAX = 10_000_000
SYMBOLS_MAX = 999
"""The names of the made-up contracts have three digits."""
_DIGITS = 4


@app.callback()
def bench() -> None:
    """Measure on this machine."""


@app.command()
def book(
    accounts: Annotated[
        int, typer.Option(min=1, max=ACCOUNTS_MAX, help="Of the made-up population.")
    ] = 10_000,
    symbols: Annotated[int, typer.Option(min=1, max=SYMBOLS_MAX, help="Perpetuals that it trades.")] = 400,
    positions: Annotated[float, typer.Option(min=1, max=100, help="Mean positions of an account.")] = 5.0,
    coin_share: Annotated[
        float, typer.Option(min=0, max=1, help="Part of the accounts with half their wealth in bitcoin.")
    ] = 0.2,
    portfolio_share: Annotated[
        float, typer.Option(min=0, max=1, help="Part of the accounts under portfolio margin.")
    ] = 0.0,
    scenario_accounts: Annotated[
        int, typer.Option(min=1, max=ACCOUNTS_MAX, help="Of the fixed scenario; others are not comparable.")
    ] = 10_000,
    marks: Annotated[int, typer.Option(min=100, help="Marks of the stream in each repeat.")] = 20_000,
    repeats: Annotated[int, typer.Option(min=1, max=100, help="The median of so many counts.")] = 5,
    seed: Annotated[int, typer.Option(min=0, help="The same seed makes the same accounts and marks.")] = 7,
    cpu: Annotated[  # noqa: FBT002 - an option of the command line
        bool, typer.Option("--cpu", help="Count the thread's processor time: for a machine that is busy.")
    ] = False,
    crash_day: Annotated[
        Path | None,
        typer.Option(
            exists=True,
            dir_okay=False,
            help="A recording of trades or bars: replay all of it over --accounts accounts, too.",
        ),
    ] = None,
    as_json: JsonOption = False,  # noqa: FBT002 - an option of the command line
) -> None:
    """Measure the book of accounts alone: no broker, no store, one process, one thread.

    Then a fixed scenario, 10,000 accounts with 10 linear perpetuals each, and a recorded day if one is given.

    Examples:
      unimargin bench book
      unimargin bench book --accounts 1000000 --cpu --json
    """
    # here, because other commands must not wait for the compiler's start
    from streams.bench.bench_population import PopulationPlan  # noqa: PLC0415
    from streams.bench.book_timing import bench_book  # noqa: PLC0415
    from streams.bench.crash_day import bench_crash_day  # noqa: PLC0415
    from streams.bench.ten_contracts import bench_ten_contracts  # noqa: PLC0415

    plan = PopulationPlan(
        accounts=accounts,
        symbols=symbols,
        positions=positions,
        coin_share=coin_share,
        portfolio_share=portfolio_share,
        seed=seed,
    )
    clock = time.thread_time_ns if cpu else time.perf_counter_ns
    _tell(f"measuring a book of {accounts:,} accounts")
    measured = bench_book(plan, marks=marks, repeats=repeats, clock=clock)
    _tell(f"measuring the fixed scenario of {scenario_accounts:,} accounts")
    ten = bench_ten_contracts(scenario_accounts, seed=seed, repeats=repeats, clock=clock)
    if crash_day is not None:
        _tell(f"replaying {printable(str(crash_day))}")
    day = None if crash_day is None else bench_crash_day(crash_day, accounts, seed=seed, clock=clock)
    report: dict[str, Any] = {
        **_headline(measured, ten, day),
        "method": _method(plan, marks, repeats, cpu=cpu),
        "book": measured,
        "ten_contracts": ten,
    }
    if day is not None:
        report["crash_day"] = day
    if as_json:
        json_out(report)
        return
    shown = msgspec.to_builtins(report)
    headline = {name: value for name, value in shown.items() if not isinstance(value, dict)}
    parts = {name: value for name, value in shown.items() if isinstance(value, dict)}
    for part, values in {"headline": headline, **parts}.items():
        rows = table(part.replace("_", " "), ["figure", "value"], right=["value"])
        for name, value in _flat(values):
            rows.add_row(name, value)
        console().print(rows)
    console().print(Text(_READING, style="dim"))


@app.command()
def plot(
    out: Annotated[Path, typer.Option(dir_okay=False, help="Where to write the picture (SVG).")],
    accounts_max: Annotated[
        int,
        typer.Option(min=1_000, max=ACCOUNTS_MAX, help="Of the largest population; the smallest has 1,000."),
    ] = 100_000,
    marks: Annotated[int, typer.Option(min=100, help="Marks of the stream.")] = 10_000,
    seed: Annotated[int, typer.Option(min=0, help="The same seed makes the same accounts and marks.")] = 7,
    cpu: Annotated[  # noqa: FBT002 - an option of the command line
        bool, typer.Option("--cpu", help="Count the thread's processor time: for a machine that is busy.")
    ] = False,
    as_json: JsonOption = False,  # noqa: FBT002 - an option of the command line
) -> None:
    """Draw what a tick costs against the number of accounts, by decades.

    Examples:
      unimargin bench plot --out cost.svg
    """
    from streams.bench.scaling import bench_scaling, drawn  # noqa: PLC0415

    sizes = [10**power for power in range(3, len(str(accounts_max)))]
    clock = time.thread_time_ns if cpu else time.perf_counter_ns
    costs = []
    for size, cost in zip(sizes, bench_scaling(sizes, seed=seed, marks=marks, clock=clock), strict=True):
        _tell(f"measured {size:,} accounts")
        costs.append(cost)
    out.write_text(drawn(costs), encoding="utf-8")
    if as_json:
        json_out(costs)
        return
    names = costs[0].__struct_fields__
    rows = table("what a tick costs", [name.replace("_", " ") for name in names], right=names)
    for cost in costs:
        rows.add_row(*(_shown(getattr(cost, name)) for name in names))
    console().print(rows)


def _tell(words: str) -> None:
    """Say how far it is, where somebody watches; a bar that is drawn meanwhile would be measured too."""
    if sys.stderr.isatty():
        typer.echo(words, err=True)


_READING = (
    "A holder is answered for when one mark of what it holds has been decided for it, as exactly as by computing it; most are\n"
    "by bounds on prices, many at once. Of the ten contracts, ticks and jumps decide breaches of every line; only every_figure\n"
    "computes equity, IM, MM and band of every account, in exact decimals. Live figures are all of these in float, by increments."
)


def _headline(measured: Any, ten: Any, day: Any) -> dict[str, float | None]:
    """The figures that others are compared with; None for what was not measured."""
    stream = measured.stream
    return {
        "ns_per_holder_p50": stream.ns_per_holder,
        "worst_symbol_ms_p50": measured.slowest_symbol.us / 1e3,
        "accounts_per_second_w10": ten.live_figures.accounts_per_second,
        "bytes_per_account": measured.build.resident_bytes_per_account,
        # of the holders answered for, the part judged in exact decimals
        "exact_share": stream.exact_looks_per_1000_marks / 1000 / stream.holders_per_mark,
        "crash_day_seconds": None if day is None else day.seconds,
    }


def _method(plan: Any, marks: int, repeats: int, *, cpu: bool) -> dict[str, Any]:
    return {
        **msgspec.structs.asdict(plan),
        "marks": marks,
        "repeats": repeats,
        "clock": "processor time of the thread" if cpu else "wall clock",
        "threads": 1,
        "engine": ENGINE_VERSION,
        "python": platform.python_version(),
        "machine": platform.machine(),
        "cores": os.cpu_count(),
    }


def _flat(values: dict[str, Any], head: str = "") -> list[tuple[str, str]]:
    """Names and values of nested figures, one after the other."""
    rows: list[tuple[str, str]] = []
    for name, value in values.items():
        if isinstance(value, dict):
            rows += _flat(value, f"{head}{name.replace('_', ' ')}: ")
        else:
            rows.append((head + name.replace("_", " "), _shown(value)))
    return rows


def _shown(value: object) -> str:
    """A number to four digits; what could not be measured is "-"."""
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 10**_DIGITS else f"{value:.{_DIGITS}g}"
    return f"{value:,}" if isinstance(value, int) else str(value)
