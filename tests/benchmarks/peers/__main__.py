"""The same accounts, tick and fall through every peer: `make bench-peers`, or `make bench-peers ARGS="--only numpy --only DuckDB"`."""

import argparse
import json
import os
import sys
import tempfile
from pathlib import Path

from rich.console import Console
from rich.table import Table

from streams.embedded.embedded_errors import EmbeddedServiceError
from tests.benchmarks.peers.environments import UnavailableError
from tests.benchmarks.peers.peer_answer import Row, figures, lines_of_code
from tests.benchmarks.peers.peer_scenario import Scenario
from tests.benchmarks.peers.peers import PEERS, Peer

ACCOUNTS, SEED = 100_000, 7
COLUMNS = {
    "first_row_ms": "first row ms",
    "last_row_ms": "last row ms",
    "processor_ms": "CPU ms",
    "fall_row_p50_ms": "fall p50 ms",
    "fall_row_p99_ms": "fall p99 ms",
    "differ": "rows that differ: tick, all",
    "mebibytes": "MiB",
    "lines": "lines",
    "load_before": "load",
}
Figures = dict[str, float | str]


def main() -> None:
    """One table, or one JSON document with everything that is known of each peer."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.peers", description=__doc__)
    parser.add_argument("--accounts", type=int, default=ACCOUNTS)
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--only", action="append", metavar="NAME", choices=[it.name for it in PEERS])
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    scenario = Scenario.made_up(options.accounts, options.seed)
    expected = scenario.crossings()
    found: dict[str, Figures] = {}
    for peer in PEERS:
        if not options.only or peer.name in options.only:
            found[peer.name] = _measured(peer, scenario, expected)
            print(f"{peer.name}: {json.dumps(found[peer.name])}", file=sys.stderr, flush=True)
    if options.json:
        json.dump(found, sys.stdout, indent=1)
        return
    _print(found, scenario, len(expected))


def _measured(peer: Peer, scenario: Scenario, expected: dict[Row, int]) -> Figures:
    said: Figures = {"way": peer.way, "settings": peer.settings, "without": peer.without}
    said["load_before"] = os.getloadavg()[0]
    with tempfile.TemporaryDirectory(prefix="unimargin-peer-") as name:
        try:
            said |= figures(peer.answer(scenario, expected, Path(name)), expected)
        except (UnavailableError, EmbeddedServiceError, AssertionError, OSError) as error:
            return said | {"skipped": f"{type(error).__name__}: {error}"}
    said["lines"] = lines_of_code(*peer.files)
    said["differ"] = (
        f"-{said['missing_at_tick']} +{said['besides_at_tick']}, -{said['missing_in_all']} +{said['besides_in_all']}"
    )
    return said


def _print(found: dict[str, Figures], scenario: Scenario, expected: int) -> None:
    holders = int((scenario.symbols == 0).sum())
    table = Table(
        *("peer", *COLUMNS.values(), "note"),
        title=f"{len(scenario.wallets):,} accounts, {len(scenario.accounts):,} positions, {holders:,} hold the symbol; {expected:,} rows",
    )
    for name, values in found.items():
        if "skipped" in values:
            why = str(values["skipped"]).splitlines()
            table.add_row(name, *["-"] * len(COLUMNS), f"skipped: {why[0]} ... {why[-1]}")
            continue
        cells = [_cell(values.get(it, "-")) for it in COLUMNS]
        table.add_row(name, *cells, str(values["note"]))
    console = Console()
    console.print(table)
    for name, values in found.items():
        console.print(
            f"{name}, {values['way']}. Set: {values['settings']}. Without: {values['without']}.",
            highlight=False,
        )


def _cell(value: float | str) -> str:
    return f"{value:,.4g}" if isinstance(value, float) else str(value)


if __name__ == "__main__":
    main()
