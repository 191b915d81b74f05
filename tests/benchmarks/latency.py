"""From a mark sent to its event received: exact quantiles over every event, and the worker's own histograms over the same time."""

import subprocess
import threading
import time
from bisect import bisect
from collections.abc import Iterable
from pathlib import Path

import msgspec
from confluent_kafka import Consumer
from prometheus_client.parser import text_string_to_metric_families

from tests.benchmarks import load
from tests.benchmarks.processor_time import processor_seconds
from tests.support.workers import Worker

SETTLE_S = 2.0
"""The last events are awaited this long."""
STAGES = {
    "margin_mark_batch_seconds": "mark_batch",
    "margin_commit_seconds": "commit",
    "margin_loop_lag_seconds": "loop_lag",
    "margin_tick_to_event_seconds": "tick_to_published",
}
"""Histograms of the worker, and what they are called in the figures."""
CROWD_NS, CROWD_EVENTS = 100_000_000, 20
"""An event is one of many where so many others were caused within so long before or after it: accounts with the same leverage
reach their lines in the same instant, and the last of them waits for the exact judgements of all."""
PROFILER = "py-spy"
Buckets = dict[str, dict[float, float]]
"""By metric: cumulative counts by upper edge."""


def latency(
    worker: Worker,
    bootstrap: str,
    marks: Iterable[load.Due],
    sequence: int,
    *,
    profile: Path | None = None,
) -> dict[str, float]:
    """Send `marks` when they are due, from this sequence number, and listen to what the worker says.

    `profile`: have py-spy draw the worker's flame graph meanwhile. It takes a core's time too: figures are then not comparable.
    """
    heard: list[tuple[int, float]] = []
    done = threading.Event()
    consumer = _listening(bootstrap)

    def listen() -> None:
        while not done.is_set():
            for message in consumer.consume(500, 0.002):
                received_ns = time.time_ns()
                cause_ns = msgspec.json.decode(message.value())["cause_time_ns"]
                if cause_ns is not None:
                    heard.append((cause_ns, (received_ns - cause_ns) / 1e9))

    listener = threading.Thread(target=listen, daemon=True)
    listener.start()
    before, processor_s = _histograms(worker), processor_seconds(worker.pid)
    profiler = _profiler(worker.pid, profile) if profile else None
    waits = load.send_paced(bootstrap, marks, sequence)
    time.sleep(SETTLE_S)
    if profiler:
        profiler.send_signal(2)
        profiler.wait()
    after, processor_s = _histograms(worker), processor_seconds(worker.pid) - processor_s
    done.set()
    listener.join()
    consumer.close()
    apart = _apart(heard)
    return {
        "events": len(heard),
        "worker_processor_seconds": processor_s,
        **_quantiles("tick_to_event", [it for _, it in heard]),
        "events_apart": len(apart),
        **_quantiles("tick_to_event_apart", apart),
        **waits,
        **_stages(before, after),
    }


def _apart(heard: list[tuple[int, float]]) -> list[float]:
    """Latencies of the events that are not one of many."""
    causes = sorted(cause_ns for cause_ns, _ in heard)
    return [
        seconds
        for cause_ns, seconds in heard
        if bisect(causes, cause_ns + CROWD_NS) - bisect(causes, cause_ns - CROWD_NS) <= CROWD_EVENTS
    ]


def _quantiles(of_what: str, latencies: list[float]) -> dict[str, float]:
    ordered = sorted(latencies)
    if not ordered:
        return {}
    return {f"{of_what}_p{it}_seconds": ordered[int(len(ordered) * it / 100)] for it in (50, 99)}


def _listening(bootstrap: str) -> Consumer:
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": "bench-latency",
            "auto.offset.reset": "latest",
            "fetch.wait.max.ms": 500,
        }
    )
    consumer.subscribe(["margin-events", "liquidations"])
    while not consumer.assignment():
        consumer.poll(0.1)
    return consumer


def _profiler(pid: int, file: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [
            PROFILER,
            "record",
            "--format",
            "raw",
            "--gil",
            "--rate",
            "500",
            "--pid",
            str(pid),
            "--output",
            str(file),
        ],
        stdout=subprocess.DEVNULL,
    )


def _histograms(worker: Worker) -> Buckets:
    found: Buckets = {name: {} for name in STAGES}
    for family in text_string_to_metric_families(worker.get("/metrics").body):
        for sample in family.samples:
            if family.name in found and sample.name.endswith("_bucket"):
                found[family.name][float(sample.labels["le"])] = sample.value
    return found


def _stages(before: Buckets, after: Buckets) -> dict[str, float]:
    """The upper edge of the bucket that holds the quantile: the stage took no longer than that."""
    figures = {}
    for name, called in STAGES.items():
        counts = {edge: count - before[name].get(edge, 0) for edge, count in after[name].items()}
        total = max(counts.values(), default=0)
        for percent in (50, 99):
            edges = [edge for edge, count in counts.items() if count >= total * percent / 100]
            figures[f"{called}_p{percent}_seconds_at_most"] = min(edges, default=float("nan"))
    return figures
