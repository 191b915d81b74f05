"""How long nobody judges after kill -9 of the owner: with a standby, with a second worker, and by a restart alone.

Method: one broker, one redis-server, all on this machine; the population is seeded once, then each way is gone several times in turn. Times are
those of the log lines: `shard_owner_gone`, and `shard_running`, which is written when everybody in the shard was judged for the first time.

python -m tests.benchmarks.bench_takeover [--accounts N] [--kills N] [--json]
"""

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from streams.config.settings import load_policy
from tests.benchmarks import load
from tests.benchmarks.bench_cluster import bench_cluster
from tests.support.cluster import PARTITIONS, Cluster
from tests.support.waiting import wait_for
from tests.support.workers import WORKER_COMMAND, Worker

ACCOUNTS = 30_000
KILLS = 5
SESSION_SECONDS = "10"
"""The default."""
DEADLINE_S = 600.0
SETTLED_S = 3.0
"""Between two kills: a worker that has started collects garbage once."""
SEED = 7


def bench_takeover(accounts: int = ACCOUNTS, kills: int = KILLS) -> dict[str, float]:
    """Every way, `kills` times; keys end in their units."""
    with bench_cluster() as (cluster, policy_file):
        return _measure(cluster, policy_file, accounts, kills)


def _measure(cluster: Cluster, policy_file: Path, accounts: int, kills: int) -> dict[str, float]:
    prices, seeds = load.seeding(load_policy(policy_file), accounts, SEED)
    load.send_marks(cluster.bootstrap, prices, len(prices), 1)
    settings = {
        "STALL_SECONDS": "120",
        "POLICY_FILE": str(policy_file),
        "KAFKA_SESSION_TIMEOUT_SECONDS": SESSION_SECONDS,
    }
    owner = cluster.worker("worker-a", **settings).wait_ready()
    load.send(cluster.bootstrap, seeds)
    wait_for(
        "the population applied",
        lambda: owner.metric("margin_inputs_applied_total") == len(seeds),
        DEADLINE_S,
    )
    figures: dict[str, float] = {}
    restarts = [_killed(owner, owner, hold_down=False) for _ in range(kills)]
    _tell(figures, "restart_alone_kill_to_running", restarts)

    standby = cluster.worker("standby-a", command=(*WORKER_COMMAND, "--standby"), **settings).wait_ready()
    taken, known, gaps = [], [], []
    for _ in range(kills):
        _wait(standby, "standby")
        taken.append(_killed(owner, standby, hold_down=True))
        known.append(max(it["seconds"] for it in standby.events("shard_running")[-PARTITIONS:]))
        owner.release()
        _wait(owner, "running")
        gaps.append(_gap(standby, owner))
    _tell(figures, "standby_kill_to_running", taken)
    _tell(figures, "standby_known_to_running", known)
    _tell(figures, "given_back_fenced_to_running", gaps)
    standby.terminate()

    other = cluster.worker("worker-b", **settings)
    moved = []
    for _ in range(kills):
        wait_for("the shards are shared", lambda: _shares(owner) and _shares(other), DEADLINE_S)
        moved.append(_killed(owner, other, hold_down=True))
        owner.release()
    _tell(figures, "second_worker_kill_to_running", moved)
    return figures


def _killed(owner: Worker, heir: Worker, *, hold_down: bool) -> float:
    """Seconds from the kill to the last shard's first judgement."""
    time.sleep(SETTLED_S)
    killed_s = time.time()
    owner.kill(hold_down=hold_down)
    _wait(heir, "running")
    return _last(heir, "shard_running") - killed_s


def _gap(standby: Worker, owner: Worker) -> float:
    """Seconds without an owner when the shards are given back: the fence is taken within the second of the log line at the latest."""
    fenced = {it["shard"]: _when(it) for it in standby.events("shard_fenced")}
    return max(_when(it) - fenced[it["shard"]] for it in owner.events("shard_running"))


def _wait(worker: Worker, condition: str) -> None:
    wait_for(
        f"{worker.name}: every shard is {condition}",
        lambda: worker.metric("margin_shards", condition=condition) == PARTITIONS,
        DEADLINE_S,
    )


def _shares(worker: Worker) -> bool:
    return worker.ready() is None and worker.metric("margin_shards", condition="running") == PARTITIONS / 2


def _last(worker: Worker, event: str) -> float:
    return max(map(_when, worker.events(event)))


def _when(line: dict[str, str]) -> float:
    return datetime.fromisoformat(line["timestamp"]).timestamp()


def _tell(figures: dict[str, float], name: str, seconds: list[float]) -> None:
    for what, of in _QUANTILES.items():
        figures[f"{name}_{what}_seconds"] = of(seconds)
        print(f"{name}_{what}_seconds: {of(seconds):.2f}", file=sys.stderr, flush=True)  # noqa: T201 - progress for a person


_QUANTILES: dict[str, Callable[[list[float]], float]] = {"median": statistics.median, "most": max}


def main() -> None:
    """Print the figures as they come."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--accounts", type=int, default=ACCOUNTS)
    parser.add_argument("--kills", type=int, default=KILLS)
    parser.add_argument("--json", action="store_true", help="all figures as one object, in the end")
    options = parser.parse_args()
    figures = bench_takeover(options.accounts, options.kills)
    if options.json:
        json.dump(figures, sys.stdout, indent=1)


if __name__ == "__main__":
    main()
