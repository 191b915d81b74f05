"""The columnar book as `unimargin bench book` measures it, one column per size of population.

python -m tests.benchmarks.bench_book [accounts ...] [--json] [--cpu]
"""

import argparse
import json
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import msgspec

from streams.bench import book_timing
from streams.bench.bench_population import PopulationPlan
from streams.bench.stopwatch import Clock

MARKS, REPEATS = 20_000, 5


def bench_book(accounts: int, clock: Clock = time.perf_counter_ns) -> dict[str, object]:
    """The figures of a default population of this size, parts of parts joined by a dot.

    Measured in a process of its own: in this one, what was freed before would be taken again and not count.
    """
    plan = PopulationPlan(accounts=accounts)
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
        measured = process.submit(book_timing.bench_book, plan, marks=MARKS, repeats=REPEATS, clock=clock)
        return dict(_flat(msgspec.to_builtins(measured.result())))


def _flat(figures, head=""):
    for name, value in figures.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{head}{name}.")
        else:
            yield head + name, value


def main() -> None:
    """Print one column per population, or JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("accounts", nargs="*", type=int, default=[10_000, 100_000])
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--cpu", action="store_true")
    arguments = parser.parse_args()
    clock = time.thread_time_ns if arguments.cpu else time.perf_counter_ns
    results = [bench_book(accounts, clock) for accounts in arguments.accounts]
    if arguments.json:
        json.dump(results, sys.stdout, indent=1)
        return
    for key in results[0]:
        values = (result.get(key, "") for result in results)
        shown = (f"{it:,.6g}" if isinstance(it, int | float) else str(it) for it in values)
        sys.stdout.write(f"{key:36}" + "".join(f" {it:>14}" for it in shown) + "\n")


if __name__ == "__main__":
    main()
