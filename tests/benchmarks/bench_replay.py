"""How fast a recorded crash is replayed: reading, order, believing, judging, events into a packed file, one process.

python -m tests.benchmarks.bench_replay [--accounts N] [--day] [--json]

The hour of the crash of 10 October 2025, or its whole day, where the recording is found: in $UNIMARGIN_DATA, or in ../shared/data
beside the checkout; else a synthetic crash. `reading alone` are the same arrivals given to nobody.
"""

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path

from streams.cli.replay.replay_run import RunOptions, replay_files
from streams.cli.simulate.feed_command import unix_ms
from streams.config.settings import load_policy
from streams.replay.recorded_market import FRESH_SECONDS
from streams.replay.sources import FileOptions, Files
from tests.engine.book.test_crash_day import TRADES
from tests.support.replay_files import crash_recording

ACCOUNTS = 20_000
SEED = 7
HOUR = ("2025-10-10T21:00", "2025-10-10T22:00")


def bench_replay(accounts: int = ACCOUNTS, *, whole_day: bool = False) -> dict[str, float]:
    """Figures by name, units last."""
    policy = load_policy(None)
    with tempfile.TemporaryDirectory(prefix="unimargin-bench-") as name:
        data, window = TRADES, (None, None) if whole_day else HOUR
        if not data.exists():
            data, window = crash_recording(Path(name) / "crash.csv.gz", policy, SEED), (None, None)
        begin_ms, end_ms = (unix_ms("window", it) for it in window)
        options = FileOptions(
            accounts=accounts, seed=SEED, fresh_seconds=FRESH_SECONDS, from_ms=begin_ms, to_ms=end_ms
        )
        files = Files(data, policy, options)
        began = time.perf_counter()
        for _ in files.arrivals():
            pass
        reading = time.perf_counter() - began
        told = replay_files(files, RunOptions(policy=policy, events=Path(name) / "events.jsonl.gz"))
    figures = {
        f"{data.name}, accounts": told.accounts,
        "event time, s": (told.to_ns - told.from_ns) / 1e9,
        "marks": told.marks,
        "events": told.events,
        "replay, s": told.wall_seconds,
        "marks/s": told.marks_per_second,
        "reading alone, s": reading,
    }
    if told.slowest is not None:
        figures["slowest second of event time, ms"] = told.slowest.wall_ms
    return figures


def main() -> None:
    """Print the figures, or JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--accounts", type=int, default=ACCOUNTS)
    parser.add_argument("--day", action="store_true")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    figures = bench_replay(arguments.accounts, whole_day=arguments.day)
    if arguments.json:
        json.dump(figures, sys.stdout, indent=1)
        return
    for name, value in figures.items():
        sys.stdout.write(f"{name:44} {value:>14,.6g}\n")


if __name__ == "__main__":
    main()
