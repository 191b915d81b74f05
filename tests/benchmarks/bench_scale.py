"""What 1, 2 and 4 workers carry, what keeps it from more, and what 100,000 accounts take: `make bench-scale`.

Method: one broker, one redis-server; the workers are pinned to cores by turns. A rate is what they would carry with a core each if nothing
waited: records / processor seconds of the busiest worker. So other work on the machine, and fewer cores than workers, change it
little. Every load is repeated; the law of `scalability_law` is fitted to all repetitions.

- `marks_N_per_second`, `fills_N_per_second`     rates of N workers, medians
- `marks_read_us`    what every worker pays for each mark again, reading, decoding and believing it: the wall. Of `read + judge / N`, fitted
- `marks_shared_decoder_gain`     how much more 4 workers would carry if a node decoded each mark once and handing over cost nothing

python -m tests.benchmarks.bench_scale [--accounts N] [--json]
"""

import argparse
import json
import os
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import numpy as np

from streams.config.settings import load_policy
from tests.benchmarks import load
from tests.benchmarks.bench_cluster import bench_cluster
from tests.benchmarks.processor_time import processor_seconds, spent
from tests.benchmarks.scalability_law import fitted
from tests.support.cluster import PARTITIONS, Cluster
from tests.support.waiting import wait_for
from tests.support.workers import Worker

ACCOUNTS = 20_000
WORKERS = (1, 2, 4)
REPETITIONS = 3
FILLS = 20_000
MARKS_PER_SECOND, MARKS_SECONDS = 2_000, 10.0
"""So few that nothing is left out even while other work runs beside."""
FALL = Decimal("0.02")
PER_ACCOUNTS = 100_000
ALMOST = 0.95
"""Of the marks: a few may come too late to be of use."""
DEADLINE_S = 900.0
SEED = 11


def bench_scale(accounts: int = ACCOUNTS) -> dict[str, float]:
    """Run everything; keys end in their units."""
    with bench_cluster() as (cluster, policy_file):
        return _Scale(cluster, policy_file, accounts).figures()


class _Scale:
    """One population, and more and more workers."""

    def __init__(self, cluster: Cluster, policy_file: Path, accounts: int) -> None:
        self._cluster, self._accounts = cluster, accounts
        self._settings = {"POLICY_FILE": str(policy_file), "STALL_SECONDS": "600"}
        self._policy = load_policy(policy_file)
        self._prices, self._seeds = load.seeding(self._policy, accounts, SEED)
        self._workers: list[Worker] = []
        self._sequence, self._fills = 1, 0
        self._found: dict[str, float] = {}

    def figures(self) -> dict[str, float]:
        load.send_marks(self._cluster.bootstrap, self._prices, len(self._prices), self._sequence)
        self._sequence += len(self._prices)
        self._sizes()
        rates: defaultdict[str, list[tuple[int, float]]] = defaultdict(list)
        for count in WORKERS:
            self._have(count)
            self._trade()  # the first time, ids that were applied are read from the store
            for _ in range(REPETITIONS):
                rates["marks"].append((count, self._rate(self._fall)))
                rates["fills"].append((count, self._rate(self._trade)))
        for name, measured in rates.items():
            self._law(name, measured)
        self._wall(rates["marks"])
        return self._found

    def _sizes(self) -> None:
        """What accounts take in Redis, in the log and in a worker."""
        with self._cluster.client() as client:
            empty = int(client.info("memory")["used_memory"])
        self._have(1)
        (worker,) = self._workers
        idle, began = _rss(worker.pid), processor_seconds(worker.pid)
        load.send(self._cluster.bootstrap, self._seeds)
        self._applied(len(self._seeds))
        per = PER_ACCOUNTS / self._accounts
        opened = processor_seconds(worker.pid) - began
        self._tell("opening_processor_seconds_per_100000_accounts", per * opened)
        self._tell("worker_bytes_per_100000_accounts", per * (_rss(worker.pid) - idle))
        with self._cluster.client() as client:
            used = int(client.info("memory")["used_memory"]) - empty
        self._tell("redis_bytes_per_100000_accounts", per * used)
        self._tell("inputs_per_account", len(self._seeds) / self._accounts)
        logged = sum(len(key) + len(value) for _, key, value in self._seeds)
        self._tell("log_bytes_an_input", logged / len(self._seeds))
        worker.kill(hold_down=True)
        began = time.perf_counter()
        worker.release()
        worker.wait_ready()
        self._tell("cold_start_seconds", time.perf_counter() - began)
        self._tell("cold_start_processor_seconds", processor_seconds(worker.pid))

    def _have(self, count: int) -> None:
        cores = sorted(os.sched_getaffinity(0))
        while len(self._workers) < count:
            number = len(self._workers)
            worker = self._cluster.worker(f"worker-{number}", **self._settings).wait_ready()
            os.sched_setaffinity(worker.pid, {cores[number % len(cores)]})
            self._workers.append(worker)
        share = PARTITIONS / count
        wait_for(
            f"{count} workers share the shards",
            lambda: all(
                it.ready() is None and it.metric("margin_shards", condition="running") == share
                for it in self._workers
            ),
            DEADLINE_S,
        )

    def _rate(self, act: Callable[[], int]) -> float:
        """Records for each processor second of the busiest worker."""
        done: list[int] = []
        used = spent({str(it.pid): it.pid for it in self._workers}, lambda: done.append(act()))
        return done[0] / max(used.values())

    def _fall(self) -> int:
        before = [it.metric("margin_marks_accepted_total") for it in self._workers]
        count = int(MARKS_PER_SECOND * MARKS_SECONDS)
        marks = load.falling(self._prices, FALL, MARKS_PER_SECOND, MARKS_SECONDS)
        load.send_paced(self._cluster.bootstrap, marks, self._sequence)
        self._sequence += count
        wait_for(
            "the marks are believed",
            lambda: all(
                it.metric("margin_marks_accepted_total") - known >= ALMOST * count
                for it, known in zip(self._workers, before, strict=True)
            ),
            DEADLINE_S,
        )
        return count

    def _trade(self) -> int:
        fills = load.small_fills(self._policy, self._accounts, FILLS, self._prices, SEED)
        # their ids are new in every run
        renamed = [
            (topic, key, value.replace(b"bench-", b"scale-%d-" % self._fills)) for topic, key, value in fills
        ]
        self._fills += 1
        before = sum(it.metric("margin_inputs_applied_total") for it in self._workers)
        load.send(self._cluster.bootstrap, renamed)
        self._applied(int(before) + FILLS)
        return FILLS

    def _applied(self, count: int) -> None:
        wait_for(
            "the inputs are applied",
            lambda: sum(it.metric("margin_inputs_applied_total") for it in self._workers) >= count,
            DEADLINE_S,
        )

    def _law(self, name: str, measured: list[tuple[int, float]]) -> None:
        for count in WORKERS:
            self._tell(
                f"{name}_{count}_per_second", statistics.median(it for n, it in measured if n == count)
            )
        fit = fitted([n for n, _ in measured], [it for _, it in measured])
        self._tell(f"{name}_contention", fit.contention)
        self._tell(f"{name}_contention_error", fit.contention_error)
        self._tell(f"{name}_coherency", fit.coherency)
        self._tell(f"{name}_coherency_error", fit.coherency_error)

    def _wall(self, measured: list[tuple[int, float]]) -> None:
        """Of the busiest worker's time for a mark, what does not fall with the number of workers."""
        base = np.asarray([[1.0, 1 / n] for n, _ in measured])
        (read, judge), *_ = np.linalg.lstsq(base, np.asarray([1e6 / it for _, it in measured]), rcond=None)
        self._tell("marks_read_us", float(read))
        self._tell("marks_judge_us", float(judge))
        most = WORKERS[-1]
        self._tell("marks_shared_decoder_gain", float((read + judge / most) / ((read + judge) / most)))

    def _tell(self, name: str, value: float) -> None:
        print(f"{name}: {value:,.4g}", file=sys.stderr, flush=True)  # noqa: T201 - progress for a person
        self._found[name] = value


def _rss(pid: int) -> int:
    line = next(it for it in Path(f"/proc/{pid}/status").read_text().splitlines() if it.startswith("VmRSS"))
    return int(line.split()[1]) * 1024


def main() -> None:
    """Print the figures as they come."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--accounts", type=int, default=ACCOUNTS)
    parser.add_argument("--json", action="store_true", help="all figures as one object, in the end")
    options = parser.parse_args()
    figures = bench_scale(options.accounts)
    if options.json:
        json.dump(figures, sys.stdout, indent=1)


if __name__ == "__main__":
    main()
