"""Who is compared, how each is set, and what it leaves out."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from tests.benchmarks.peers import flink_peer, kafka_streams_peer, scripted, unimargin_peer
from tests.benchmarks.peers.peer_answer import Answer, Row
from tests.benchmarks.peers.peer_scenario import Scenario
from tests.support.workers import TREE

HERE = Path(__file__).parent
OURS = tuple(sorted(path for room in ("engine", "streams") for path in (TREE / room).rglob("*.py")))
NOTHING_BUT_SUMS = "tiers, exactness, durability, plan, explanation"


class Peer(NamedTuple):
    """One row of the table."""

    name: str
    answer: Callable[[Scenario, dict[Row, int], Path], Answer]
    """Given the scenario, what linear margin expects, and an empty directory; raises UnavailableError."""
    files: tuple[Path, ...]
    """Its code."""
    way: str
    settings: str
    without: str


def _scripted(name: str, file: str, packages: tuple[str, ...], settings: str) -> Peer:
    script = HERE / file
    return Peer(
        name,
        lambda scenario, _, directory: scripted.answer(script, packages, scenario, directory),
        (script,),
        "call to return, in one process",
        settings,
        f"{NOTHING_BUT_SUMS}, feed",
    )


def _on_streams(name: str, program: kafka_streams_peer.Program, settings: str) -> Peer:
    return Peer(
        name,
        program.answer,
        (HERE / "kafka_streams_peer.py", program.source),
        "Kafka to Kafka",
        settings,
        NOTHING_BUT_SUMS.replace("durability", "what was said before a restart"),
    )


PEERS = (
    Peer(
        "unimargin",
        unimargin_peer.answer,
        OURS,
        "Kafka to Kafka",
        "as shipped: one worker, four shards, Redis with AOF everysec, plans, explanations, warnings, metrics",
        "nothing",
    ),
    _scripted(
        "numpy", "numpy_resum.py", ("numpy==2.4.6",), "every position summed anew, sums by `add.reduceat`"
    ),
    _scripted(
        "DuckDB",
        "duckdb_loop.py",
        ("duckdb==2.0.1", "numpy==2.4.6"),
        "in memory, 2 threads, wallet as a column, insertion order given up",
    ),
    _scripted(
        "Polars",
        "polars_loop.py",
        ("polars==2.1.0", "numpy==2.4.6"),
        "in-memory engine, all threads, wallet as a column",
    ),
    _on_streams(
        "Kafka Streams",
        kafka_streams_peer.PROCESSOR,
        "Processor API, holders in arrays, prices into every partition, store in memory with a changelog, 2 threads, "
        "at least once, commit every 100 ms, no linger, -Xmx6g, ParallelGC",
    ),
    _on_streams(
        "Kafka Streams DSL",
        kafka_streams_peer.TABLES,
        "foreign-key join and aggregate, stores in memory with changelogs, 2 threads, at least once, cache of 512 MiB flushed by "
        "a commit every 50 ms, -Xmx6g, ParallelGC",
    ),
    Peer(
        "Flink SQL",
        flink_peer.answer,
        (HERE / "flink_peer.py", flink_peer.SCRIPT),
        "Kafka to Kafka",
        "mini cluster, parallelism 2, mini batches of 50 ms, object reuse, heap state without checkpoints, -Xmx6g",
        NOTHING_BUT_SUMS,
    ),
    _scripted(
        "Deephaven",
        "deephaven_tables.py",
        ("deephaven-server==42.7",),
        "embedded server, update cycle as soon as something came, 2 update threads, columns as views, -Xmx4g",
    ),
)
