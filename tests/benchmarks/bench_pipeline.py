"""One worker behind a real Kafka and a real Redis, and what the machine gives without us beside it.

Method: one broker, one redis-server (AOF everysec), one worker, producers in processes of their own, all on this
machine. Rates are taken between 10 % and 90 % of the records, read from the worker's own counters every 200 ms. Latency
is from the time a mark is dated and sent to the time a consumer of the event topics has the event: every event that a
mark caused, exact quantiles. Beside it stand the worker's own histograms over the same marks, which say where the time goes.

python -m tests.benchmarks.bench_pipeline [--accounts N] [--fall-only] [--profile FILE] [--json]
"""

import argparse
import asyncio
import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition

from streams.config.settings import load_policy
from streams.contract.account_copy import ACCOUNT_TYPE, SHARD_TYPE
from tests.benchmarks import load
from tests.benchmarks.bench_cluster import bench_cluster
from tests.benchmarks.crowd import Crowd, measure
from tests.benchmarks.latency import latency
from tests.support.cluster import PARTITIONS, Cluster
from tests.support.waiting import wait_for
from tests.support.workers import TREE, Worker

ACCOUNTS = 10_000
MARKS = 600_000
FILLS = 100_000
PACED_MARKS_PER_SECOND = 10_000
FALL, FALL_SECONDS = Decimal("0.06"), 30.0
"""An ordinary bad half minute."""
CRASH_SECONDS = 20.0
"""The demo's whole crash, squeezed: thousands of events within a few seconds."""
DEADLINE_S = 180.0
SEEDING_S_PER_ACCOUNT = 0.006
"""An account opens with some six inputs."""
WARM_S = 5.0
"""A started worker collects garbage once and freezes what it loaded; latency is measured after that."""
REST_S = 6.0
"""Longer than a pool must be well before its band is left, and shorter than a price stays fresh."""
SNAPSHOT_S = 10.0
"""Between two looks whether a snapshot is due."""
SAMPLE_S = 0.2
"""Reading the worker's counters costs it some 10 ms."""
SEED = 7


def bench_pipeline(
    accounts: int = ACCOUNTS, *, fall_only: bool = False, profile: Path | None = None
) -> dict[str, float]:
    """Run everything once, or only up to the fall; keys end in their units. `profile`: the worker's flame graph over the fall."""
    with bench_cluster() as (cluster, policy_file):
        policy = load_policy(policy_file)
        prices, seeds = load.seeding(policy, accounts, SEED)
        return _measure(
            cluster, policy_file, policy, prices, seeds, accounts, fall_only=fall_only, profile=profile
        )


class _Told(dict[str, float]):
    """Figures that are told on standard error as they come."""

    def __setitem__(self, key: str, value: float) -> None:
        print(f"{key}: {value:,.4g}", file=sys.stderr, flush=True)  # noqa: T201 - progress for a person
        super().__setitem__(key, value)


def _measure(
    cluster: Cluster,
    policy_file: Path,
    policy: Any,
    prices: Any,
    seeds: list[load.Pair],
    accounts: int,
    *,
    fall_only: bool,
    profile: Path | None,
) -> dict[str, float]:
    figures = _Told()
    sequence = 1

    def send_marks(count: int, *, whole: bool = False) -> None:
        nonlocal sequence
        load.send_marks(cluster.bootstrap, prices, count, sequence, whole=whole)
        sequence += count

    send_marks(len(prices))
    worker = cluster.worker(
        POLICY_FILE=str(policy_file), STALL_SECONDS="120", SNAPSHOT_SECONDS=str(SNAPSHOT_S)
    ).wait_ready()
    load.send(cluster.bootstrap, seeds)
    wait_for(
        "the population applied",
        lambda: worker.metric("margin_inputs_applied_total") == len(seeds),
        DEADLINE_S + SEEDING_S_PER_ACCOUNT * accounts,
    )

    if not fall_only:
        _rates(worker, cluster, policy, prices, accounts, send_marks, figures)
    # what `rates` has changed since is read beside it, as at any start
    wait_for(
        "a snapshot of every shard",
        lambda: worker.metric("margin_snapshots_written_total") >= PARTITIONS,
        DEADLINE_S,
    )
    worker.kill(hold_down=True)
    send_marks(len(prices))
    began = time.perf_counter()
    worker.release()
    worker.wait_ready()
    figures["cold_start_seconds"] = time.perf_counter() - began
    time.sleep(WARM_S)
    figures["of_which_recovery_seconds"] = worker.metric("margin_recovery_seconds_sum") / PARTITIONS
    for key, value in _crowds(worker, cluster, policy, prices, accounts, sequence).items():
        figures[key] = value
    sequence += 2
    _rest(worker, lambda: send_marks(len(prices)))
    fall = load.falling(prices, FALL, PACED_MARKS_PER_SECOND, FALL_SECONDS)
    for key, value in latency(worker, cluster.bootstrap, fall, sequence, profile=profile).items():
        figures[f"fall_{key}"] = value
    if fall_only:
        return figures
    sequence += int(PACED_MARKS_PER_SECOND * FALL_SECONDS)
    crash = load.crash(policy, PACED_MARKS_PER_SECOND, CRASH_SECONDS, SEED)
    for key, value in latency(worker, cluster.bootstrap, crash, sequence).items():
        figures[f"crash_{key}"] = value
    figures["rss_mebibytes"] = _rss_mebibytes(worker.pid)
    worker.terminate()
    figures["raw_aiokafka_records_per_second"] = asyncio.run(_raw_aiokafka(cluster.bootstrap))
    figures["raw_faust_records_per_second"] = _raw_faust(cluster.bootstrap)
    return figures


def _crowds(
    worker: Worker, cluster: Cluster, policy: Any, prices: Any, accounts: int, sequence: int
) -> dict[str, float]:
    """A hundredth of the accounts in one instant for the first and the last word, a tenth for the rates."""
    symbols = [symbol for symbol, it in policy.instruments.items() if it.kind == "perpetual"][:2]
    small = Crowd(policy, prices, symbols[0], "c", max(100, accounts // 100))
    large = Crowd(policy, prices, symbols[1], "d", max(1000, accounts // 10))
    of_small = measure(worker, cluster.bootstrap, small, sequence)
    of_large = measure(worker, cluster.bootstrap, large, sequence + 1)
    of_small |= {key: of_large[key] for key in ("verdicts_per_second", "plans_per_second")}
    return {
        **{f"crowd_{key}": value for key, value in of_small.items()},
        **{f"large_crowd_{key}": value for key, value in of_large.items() if not key.endswith("per_second")},
    }


def _rates(
    worker: Worker,
    cluster: Cluster,
    policy: Any,
    prices: Any,
    accounts: int,
    send_marks: Callable[..., None],
    figures: dict[str, float],
) -> None:
    fills = load.small_fills(policy, accounts, FILLS, prices, SEED)
    figures["fills_per_second"] = _rate(
        worker,
        "margin_inputs_applied_total",
        len(fills),
        lambda: load.send(cluster.bootstrap, fills),
        topic="fills",
    )
    figures["marks_per_second"] = _rate(
        worker, "margin_marks_accepted_total", MARKS, lambda: send_marks(MARKS)
    )
    figures["marks_per_second_in_whole_instants"] = _rate(
        worker, "margin_marks_accepted_total", MARKS, lambda: send_marks(MARKS, whole=True)
    )


def _rest(worker: Worker, mark_again: Callable[[], None]) -> None:
    """Until all that the crowds have led to is said: calls are resolved seconds after they are met, and copies are written for minutes."""
    said, deadline = -1.0, time.perf_counter() + DEADLINE_S

    def told() -> float:
        copies = (
            worker.metric("margin_events_published_total", type=it) for it in (ACCOUNT_TYPE, SHARD_TYPE)
        )
        return worker.metric("margin_events_published_total") - sum(copies)

    while said != (said := told()):
        assert time.perf_counter() < deadline, "something is still said"
        mark_again()
        time.sleep(REST_S)


def _rate(worker: Worker, metric: str, count: int, act: Callable[[], None], **labels: str) -> float:
    """Records per second between 10 % and 90 % of `count` while `act` runs in a thread."""
    start = worker.metric(metric, **labels)
    thread = threading.Thread(target=act)
    thread.start()
    samples: list[tuple[float, float]] = []
    deadline = time.perf_counter() + DEADLINE_S
    while not samples or samples[-1][1] < count:
        assert time.perf_counter() < deadline, (
            f"{metric} stands at {samples[-1][1]} of {count}\n{worker.last_words()}"
        )
        samples.append((time.perf_counter(), worker.metric(metric, **labels) - start))
        time.sleep(SAMPLE_S)
    thread.join()
    low = next(it for it in samples if it[1] >= 0.1 * count)
    high = next(it for it in samples if it[1] >= 0.9 * count)
    return (high[1] - low[1]) / max(high[0] - low[0], 1e-9) if high is not low else float("nan")


def _rss_mebibytes(pid: int) -> float:
    line = next(it for it in Path(f"/proc/{pid}/status").read_text().splitlines() if it.startswith("VmRSS"))
    return int(line.split()[1]) / 1024


async def _raw_aiokafka(bootstrap: str) -> float:
    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap, group_id=None, enable_auto_commit=False)
    await consumer.start()
    try:
        places = [TopicPartition("prices", partition) for partition in range(4)]
        consumer.assign(places)
        await consumer.seek_to_beginning(*places)
        read = 0
        began = time.perf_counter()
        while read < MARKS:
            polled = await consumer.getmany(timeout_ms=200, max_records=2000)
            read += sum(map(len, polled.values()))
        return read / (time.perf_counter() - began)
    finally:
        await consumer.stop()


def _raw_faust(bootstrap: str) -> float:
    command = [sys.executable, "-m", "tests.benchmarks.raw_faust", bootstrap, str(FILLS)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE_S, check=True, cwd=TREE)
    return float(done.stdout.strip().splitlines()[-1])


def main() -> None:
    """Print the figures as they come."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--accounts", type=int, default=ACCOUNTS)
    parser.add_argument(
        "--fall-only", action="store_true", help="no rates, no crash: the latency at an ordinary pace"
    )
    parser.add_argument(
        "--profile", type=Path, help="py-spy's stacks of the worker over the fall, one a line"
    )
    parser.add_argument("--json", action="store_true", help="all figures as one object, in the end")
    options = parser.parse_args()
    figures = bench_pipeline(options.accounts, fall_only=options.fall_only, profile=options.profile)
    if options.json:
        json.dump(figures, sys.stdout, indent=1)


if __name__ == "__main__":
    main()
