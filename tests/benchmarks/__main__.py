"""Measure everything once and print one table: `make bench`, or `make bench ARGS=--json`."""

import argparse
import json
import sys

from rich.console import Console
from rich.table import Table

from tests.benchmarks.bench_book import bench_book
from tests.benchmarks.bench_exact import bench_exact
from tests.benchmarks.bench_heat_map import bench_heat_map
from tests.benchmarks.bench_ids import bench_ids
from tests.benchmarks.bench_liquidation import bench_liquidation
from tests.benchmarks.bench_orders import bench_orders
from tests.benchmarks.bench_pipeline import ACCOUNTS, bench_pipeline
from tests.benchmarks.bench_questions import bench_questions
from tests.benchmarks.bench_replay import bench_replay
from tests.benchmarks.bench_start import bench_start
from tests.benchmarks.bench_stress import bench_stress


def main() -> None:
    """Run the pipeline and the book benchmarks."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("--accounts", type=int, default=ACCOUNTS)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    figures = {
        "pipeline": bench_pipeline(options.accounts),
        "start": bench_start(options.accounts),
        "book": bench_book(options.accounts),
        "exact": bench_exact(),
        "liquidation": bench_liquidation(),
        "heat map": bench_heat_map(),
        "stress of the book": bench_stress(),
        "questions, ms": bench_questions(),
        "replay": bench_replay(),
        "ids of inputs": bench_ids(),
        "open orders": bench_orders(),
    }
    if options.json:
        json.dump(figures, sys.stdout, indent=1)
        return
    table = Table("part", "figure", "value", title=f"{options.accounts:,} accounts, one worker")
    for part, values in figures.items():
        for name, value in values.items():
            table.add_row(part, name, f"{value:,.4g}" if isinstance(value, int | float) else str(value))
    Console().print(table)


if __name__ == "__main__":
    main()
