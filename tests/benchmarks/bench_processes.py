"""What a second process on the same machine could gain: processor time of one worker and of two, under the same load.

Method: one broker, one redis-server, producers in processes of their own. Processor seconds of each server and worker come from /proc, so
other work on the machine changes them little; rates do not enter. Beside the worker runs a standby: it reads, decodes and believes every price as a
worker does, and judges nobody, so what it takes is what every further process takes again.

Two processes that both read gain nothing on marks: four fifths of what a mark takes is reading, and each does it again. A parent that
reads for children that judge could gain at most what judging takes, a fifth, less what handing over costs. So there is none.

- `..._us`        microseconds of processor time a mark, or a fill, over a run
- `bound_...`     how many a second two cores could carry, if nothing ever waited: 2 s of processor time / all that a mark or a fill takes

python -m tests.benchmarks.bench_processes [--accounts N] [--json]
"""

import argparse
import json
import sys
import time
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path

from streams.config.settings import load_policy
from tests.benchmarks import load
from tests.benchmarks.bench_cluster import bench_cluster
from tests.benchmarks.processor_time import spent
from tests.support.cluster import PARTITIONS, Cluster
from tests.support.waiting import wait_for
from tests.support.workers import WORKER_COMMAND, Worker

ACCOUNTS = 5_000
FILLS = 20_000
MARKS_PER_SECOND = 2_000
"""So few that nothing is left out even while other work runs beside."""
MARKS_SECONDS = 20.0
FALL = Decimal("0.03")
FLOOD_MARKS = 200_000
ALMOST = 0.95
"""Of the marks: a few may come too late to be of use."""
CORES = 2
SETTLED_S = 5.0
DEADLINE_S = 600.0
SEED = 7
IDLE_SECONDS = 5.0


def bench_processes(accounts: int = ACCOUNTS) -> dict[str, float]:
    """One worker with a standby, then two workers; keys end in their units."""
    with bench_cluster() as (cluster, policy_file):
        return _Run(cluster, policy_file, accounts).figures()


class _Run:
    """One population; the sequence of marks goes on."""

    def __init__(self, cluster: Cluster, policy_file: Path, accounts: int) -> None:
        self._cluster, self._accounts = cluster, accounts
        self._settings = {"POLICY_FILE": str(policy_file), "STALL_SECONDS": "300"}
        self._policy = load_policy(policy_file)
        self._prices, self._seeds = load.seeding(self._policy, accounts, SEED)
        self._sequence, self._fills = 1, 0

    def figures(self) -> dict[str, float]:
        load.send_marks(self._cluster.bootstrap, self._prices, len(self._prices), self._sequence)
        self._sequence += len(self._prices)
        first = self._cluster.worker("worker-a", **self._settings).wait_ready()
        load.send(self._cluster.bootstrap, self._seeds)
        self._applied([first], len(self._seeds))
        standby = self._cluster.worker(
            "standby-a", command=(*WORKER_COMMAND, "--standby"), **self._settings
        ).wait_ready()
        found = self._load("one", [first], {"standby": standby})
        standby.terminate()
        second = self._cluster.worker("worker-b", **self._settings)
        wait_for("the shards are shared", lambda: _shares(first) and _shares(second), DEADLINE_S)
        return found | self._load("two", [first, second], {})

    def _load(self, name: str, workers: list[Worker], others: Mapping[str, Worker]) -> dict[str, float]:
        self._trade(workers)  # the first time, ids that were applied are read from the store
        time.sleep(SETTLED_S)
        pids = {f"worker_{number}": it.pid for number, it in enumerate(workers, 1)}
        pids |= {key: it.pid for key, it in others.items()}
        pids |= {"broker": self._cluster.kafka.pid, "redis": self._redis_pid()}
        idle = spent(pids, lambda: time.sleep(IDLE_SECONDS))
        found = {f"{name}_idle_{key}_percent_of_a_core": 100 * it / IDLE_SECONDS for key, it in idle.items()}
        marks = int(MARKS_PER_SECOND * MARKS_SECONDS)
        self._tell(found, f"{name}_mark", spent(pids, lambda: self._fall(workers)), marks)
        self._tell(found, f"{name}_flood_mark", spent(pids, lambda: self._flood(workers)), FLOOD_MARKS)
        self._tell(found, f"{name}_fill", spent(pids, lambda: self._trade(workers)), FILLS)
        return found

    def _tell(self, found: dict[str, float], name: str, spent: Mapping[str, float], count: int) -> None:
        for key, seconds in spent.items():
            found[f"{name}_{key}_us"] = 1e6 * seconds / count
        for what, keys in (("all", spent), ("workers", [it for it in spent if it.startswith("worker")])):
            seconds = sum(spent[key] for key in keys if key != "standby")
            found[f"bound_{name}_{what}_per_second"] = CORES * count / seconds
        for key, value in found.items():
            if name in key:
                print(f"{key}: {value:,.4g}", file=sys.stderr, flush=True)  # noqa: T201 - progress for a person

    def _fall(self, workers: list[Worker]) -> None:
        """Every price falls, at a pace; return when each worker has believed all of it."""
        before = [it.metric("margin_marks_accepted_total") for it in workers]
        count = int(MARKS_PER_SECOND * MARKS_SECONDS)
        marks = load.falling(self._prices, FALL, MARKS_PER_SECOND, MARKS_SECONDS)
        load.send_paced(self._cluster.bootstrap, marks, self._sequence)
        self._believed(workers, before, count)

    def _flood(self, workers: list[Worker]) -> None:
        """Calm marks as fast as they can be made: what a mark takes when there are as many as a worker can carry."""
        before = [it.metric("margin_marks_accepted_total") for it in workers]
        load.send_marks(self._cluster.bootstrap, self._prices, FLOOD_MARKS, self._sequence)
        self._believed(workers, before, FLOOD_MARKS)

    def _believed(self, workers: list[Worker], before: list[float], count: int) -> None:
        self._sequence += count
        wait_for(
            "the marks are believed",
            lambda: all(
                it.metric("margin_marks_accepted_total") - known >= ALMOST * count
                for it, known in zip(workers, before, strict=True)
            ),
            DEADLINE_S,
        )

    def _trade(self, workers: list[Worker]) -> None:
        fills = load.small_fills(self._policy, self._accounts, FILLS, self._prices, SEED)
        # their ids are new in every run
        renamed = [
            (topic, key, value.replace(b"bench-", b"bench-%d-" % self._fills)) for topic, key, value in fills
        ]
        self._fills += 1
        before = sum(it.metric("margin_inputs_applied_total") for it in workers)
        load.send(self._cluster.bootstrap, renamed)
        self._applied(workers, int(before) + FILLS)

    def _applied(self, workers: list[Worker], count: int) -> None:
        wait_for(
            "the inputs are applied",
            lambda: sum(it.metric("margin_inputs_applied_total") for it in workers) >= count,
            DEADLINE_S,
        )

    def _redis_pid(self) -> int:
        with self._cluster.client() as client:
            return int(client.info("server")["process_id"])


def _shares(worker: Worker) -> bool:
    return worker.ready() is None and worker.metric("margin_shards", condition="running") == PARTITIONS / 2


def main() -> None:
    """Print the figures as they come."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--accounts", type=int, default=ACCOUNTS)
    parser.add_argument("--json", action="store_true", help="all figures as one object, in the end")
    options = parser.parse_args()
    figures = bench_processes(options.accounts)
    if options.json:
        json.dump(figures, sys.stdout, indent=1)


if __name__ == "__main__":
    main()
