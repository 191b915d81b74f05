"""How long one worker takes from the start of its process to ready, beside a real Kafka and a real Redis, and what it takes of memory.

Method: a stored population (`stored_population`: written into Kafka and Redis directly), one broker, one redis-server, one worker with four
shards, all on this machine. The worker is killed and started again, with the prices of a moment ago in the log: first without any snapshot,
then from snapshots that it has written. Seconds are taken from the worker's own log, counted from the start of the process. Then prices fall
evenly, by as much as makes about as many events whatever the population.

python -m tests.benchmarks.bench_start [--accounts N] [--fall] [--json]
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Callable
from datetime import datetime
from decimal import Decimal
from pathlib import Path

from streams.config.settings import load_policy
from tests.benchmarks import load
from tests.benchmarks.bench_cluster import bench_cluster
from tests.benchmarks.latency import latency
from tests.benchmarks.stored_population import store_population
from tests.support.cluster import PARTITIONS, Cluster
from tests.support.waiting import wait_for
from tests.support.workers import Worker

ACCOUNTS = 100_000
SEED = 7
START_S_MAX = 600.0
SNAPSHOT_S = 2.0
WARM_S = 5.0
"""A started worker collects garbage once and freezes what it loaded."""
FALL_AT_100_000, FALL_SECONDS, MARKS_PER_SECOND = Decimal("0.01"), 20.0, 10_000


def bench_start(accounts: int = ACCOUNTS, *, fall: bool = False) -> dict[str, float]:
    """Run everything once; keys end in their units. `fall`: also the latency from a mark to its events."""
    with bench_cluster() as (cluster, policy_file):
        policy, url = load_policy(policy_file), cluster.redis.url
        prices = store_population(cluster.bootstrap, url, policy, accounts, PARTITIONS, SEED)
        return _measure(cluster, policy_file, prices, accounts, fall=fall)


def _measure(
    cluster: Cluster, policy_file: Path, prices: dict[str, Decimal], accounts: int, *, fall: bool
) -> dict[str, float]:
    sequence = 1

    def send_marks() -> None:
        nonlocal sequence
        load.send_marks(cluster.bootstrap, prices, len(prices), sequence)
        sequence += len(prices)

    send_marks()
    # the first start says what is to be said of accounts that begin in a worse band, and may have to compile
    worker = cluster.worker(POLICY_FILE=str(policy_file), STALL_SECONDS="300", SNAPSHOT_SECONDS="0")
    worker.wait_ready(START_S_MAX)
    figures = {"redis_bytes_per_account": _redis_bytes(cluster) / accounts}
    figures |= _start(worker, "start_without_snapshot", send_marks)
    worker.terminate()

    worker = cluster.worker(
        "worker-b", POLICY_FILE=str(policy_file), STALL_SECONDS="300", SNAPSHOT_SECONDS=str(SNAPSHOT_S)
    ).wait_ready(START_S_MAX)
    written = wait_for("snapshots of all shards", lambda: _written(worker), START_S_MAX)
    figures["snapshot_bytes_per_account"] = sum(it["bytes"] for it in written) / accounts
    figures["snapshot_written_seconds"] = sum(it["seconds"] for it in written)
    figures |= _start(worker, "start_from_snapshot", send_marks)
    time.sleep(WARM_S)
    for name, key in (("VmRSS", "rss_mebibytes"), ("VmHWM", "rss_peak_mebibytes")):
        figures[key] = _memory_mebibytes(worker.pid, name)
    if fall:
        part = FALL_AT_100_000 * ACCOUNTS / accounts
        falling = load.falling(prices, part, MARKS_PER_SECOND, FALL_SECONDS)
        figures |= {
            f"fall_{key}": value
            for key, value in latency(worker, cluster.bootstrap, falling, sequence).items()
        }
        figures["rss_after_fall_mebibytes"] = _memory_mebibytes(worker.pid, "VmRSS")
    worker.terminate()
    return figures


def _start(worker: Worker, name: str, send_marks: Callable[[], None]) -> dict[str, float]:
    """Kill the worker, start it again, and take the time of what its log says."""
    worker.kill(hold_down=True)
    send_marks()
    began_s = time.time()
    worker.release()
    worker.wait_ready(START_S_MAX)

    def at(event: str) -> float:
        return max(_seconds(it["timestamp"]) for it in worker.events(event)) - began_s

    processor_seconds = _processor_seconds(worker.pid)
    running, assigned = at("shard_running"), at("shards_assigned")
    loads = worker.events("shard_loaded")
    return {
        f"{name}_seconds": max(running, at("prices_caught_up")),
        f"{name}_processor_seconds": processor_seconds,
        f"{name}_until_it_listens_seconds": at("health_listens"),
        f"{name}_until_shards_are_assigned_seconds": assigned,
        f"{name}_of_which_recovery_seconds": running - assigned,
        f"{name}_of_which_loading_seconds": sum(it["seconds"] for it in loads),
        f"{name}_states_read": sum(it["states_read"] for it in loads),
        f"{name}_shards_with_snapshot": sum(it["snapshot"] for it in loads),
    }


def _written(worker: Worker) -> list[dict[str, float]]:
    written = worker.events("snapshot_written")
    return written if len({it["shard"] for it in written}) == PARTITIONS else []


def _seconds(timestamp: str) -> float:
    return datetime.fromisoformat(timestamp).timestamp()


def _redis_bytes(cluster: Cluster) -> int:
    with cluster.client() as client:
        return int(client.info("memory")["used_memory"])


def _processor_seconds(pid: int) -> float:
    """What the process has taken of the machine so far: on a busy one it says more than the clock."""
    user, system = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


def _memory_mebibytes(pid: int, name: str) -> float:
    line = next(it for it in Path(f"/proc/{pid}/status").read_text().splitlines() if it.startswith(name))
    return int(line.split()[1]) / 1024


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--accounts", type=int, default=ACCOUNTS)
    parser.add_argument(
        "--fall", action="store_true", help="also the latency from a mark to its events, as prices fall"
    )
    parser.add_argument("--json", action="store_true", help="all figures as one object")
    options = parser.parse_args()
    figures = bench_start(options.accounts, fall=options.fall)
    if options.json:
        json.dump(figures, sys.stdout, indent=1)
        return
    for key, value in figures.items():
        print(f"{key}: {value:,.4g}")  # noqa: T201 - progress for a person


if __name__ == "__main__":
    main()
