"""`unimargin bench`: what this machine does with the book of accounts."""

import os
import platform
import time
from typing import Annotated, Any

import msgspec
import typer
from rich.text import Text

from engine.judgement import ENGINE_VERSION
from streams.commands.common import JsonOption
from streams.commands.output import console, json_out, table

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
    as_json: JsonOption = False,  # noqa: FBT002 - an option of the command line
) -> None:
    """Measure the book of accounts alone: no broker, no store, one process, one thread.

    Then a fixed scenario: 10,000 accounts with 10 linear perpetuals each.
    """
    # here, because other commands must not wait for the compiler's start
    from streams.bench.book import bench_book  # noqa: PLC0415
    from streams.bench.population import PopulationPlan  # noqa: PLC0415
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
    report = {
        "method": _method(plan, marks, repeats, cpu=cpu),
        "book": bench_book(plan, marks=marks, repeats=repeats, clock=clock),
        "ten_contracts": bench_ten_contracts(scenario_accounts, seed=seed, repeats=repeats, clock=clock),
    }
    if as_json:
        json_out(report)
        return
    for part, values in msgspec.to_builtins(report).items():
        rows = table(part.replace("_", " "), ["figure", "value"], right=["value"])
        for name, value in _flat(values):
            rows.add_row(name, value)
        console().print(rows)
    console().print(Text(_READING, style="dim"))


_READING = (
    "A holder is answered for when one mark of what it holds has been decided for it, as exactly as by computing it; most are\n"
    "by bounds on prices, many at once. Of the ten contracts, ticks and jumps decide breaches of every line; only every_figure\n"
    "computes equity, IM, MM and band of every account, in exact decimals."
)


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
