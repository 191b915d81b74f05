"""A Kafka broker in memory, in a process of its own: librdkafka's mock cluster behind `sync_gate`.

    python -m streams.embedded.embedded_broker --topics fills=4,ledger=4

prints one line of JSON, `{"bootstrap_servers": "127.0.0.1:PORT"}`, then answers one line of JSON for each line on its
standard input (`{"topic": "marks", "partitions": 8}`), and ends when that input ends, that is, at the latest
when whoever started it dies. A process of its own, so that a busy demo neither stalls it nor is stalled by it.

Works with aiokafka, librdkafka and Faust: producing with acks=all, idempotence, transactions, compression and headers;
group consumers with static or dynamic members, commits, takeover after kill -9; group-less readers with assign,
seek, beginning_offsets and end_offsets.

What differs from a Kafka broker:

- Nothing is on disk: all is lost when it stops. A partition keeps its newest 5 MiB or 100,000 batches, whichever is
  less; older records are gone. There is no compaction and no retention time.
- Reading below what is kept is an out-of-range error, as with Kafka.
- A fetch that finds nothing is answered only after the client's `fetch_max_wait_ms` even if a record arrives
  meanwhile, and brings one producer batch per partition: set it to about 5 ms.
- `offsets_for_times` finds nothing (None); the produce response's timestamp is a constant (the record's is right).
- The admin API cannot create, configure or describe (no CreateTopics, DescribeConfigs, DescribeGroups). Create topics
  here; a topic that a client asks for and that does not exist is made with four partitions.
- A member that joins a group of others waits for the session timeout less one second, and so does a rejoin
  into a group that its last member left a moment ago: use a session timeout of 2 to 3 s. All members must name the
  same assignor.
- A static member that comes back counts as a new one: the old one is waited for.
"""

import argparse
import asyncio
import json
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from selectors import EVENT_READ, DefaultSelector
from tempfile import TemporaryFile
from types import TracebackType
from typing import Any, Self

from streams.embedded.embedded_errors import EmbeddedServiceError
from streams.embedded.mock_cluster import MockCluster
from streams.embedded.ports import LOOPBACK, free_port
from streams.embedded.sync_gate import SyncGate

ANSWER_TIMEOUT_S = 20.0
END_TIMEOUT_S = 5.0
# The root of this installation, so that the child finds `streams` from whatever directory the parent runs in.
PACKAGE_ROOT = Path(__file__).resolve().parents[2]


class EmbeddedBroker:
    """Starts and stops the broker process. As a context manager it starts on entry and stops on exit.

    - `topics`: topic names and their partition counts, made before anyone can connect.
    - `rebalance_delay_ms`: how long the first member of a new group waits for others to join it. Workers started
      together then form one group at once instead of waiting out a session timeout.

    Stopping or killing it loses its records; a start after that is a new, empty broker at a new address.
    """

    def __init__(self, topics: Mapping[str, int] | None = None, *, rebalance_delay_ms: int = 0) -> None:
        self._topics = dict(topics or {})
        self._rebalance_delay_ms = rebalance_delay_ms
        self._process: subprocess.Popen[bytes] | None = None
        self._said = TemporaryFile()  # noqa: SIM115  lives as long as this object
        self._bootstrap_servers = ""

    @property
    def bootstrap_servers(self) -> str:
        """The address for clients, "127.0.0.1:port". Raises EmbeddedServiceError when it is not running."""
        self._running_process()
        return self._bootstrap_servers

    @property
    def pid(self) -> int:
        """The broker's process id. Raises EmbeddedServiceError when it is not running."""
        return self._running_process().pid

    @property
    def running(self) -> bool:
        """Whether the broker runs now."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start the broker; clients can connect on return. Raises EmbeddedServiceError with its last words if it fails."""
        if self.running:
            raise EmbeddedServiceError("the embedded broker is already running")
        topics = ",".join(f"{name}={partitions}" for name, partitions in self._topics.items())
        self._process = subprocess.Popen(  # noqa: S603  a fixed command, no shell
            [
                *(sys.executable, "-m", "streams.embedded.embedded_broker"),
                *("--topics", topics, "--rebalance-delay-ms", str(self._rebalance_delay_ms)),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._said,
            cwd=PACKAGE_ROOT,
            start_new_session=True,  # Ctrl-C in a terminal reaches the parent only, which stops it in its order
        )
        self._bootstrap_servers = str(self._answer(self._process)["bootstrap_servers"])

    def create_topic(self, name: str, partitions: int) -> None:
        """Create a topic. Raises EmbeddedServiceError when it exists, is not a legal one, or the broker has ended."""
        process = self._running_process()
        if process.stdin is None:
            raise EmbeddedServiceError("the embedded broker has no input")
        with suppress(BrokenPipeError):  # it has just ended: reading its answer says so with its last words
            process.stdin.write(json.dumps({"topic": name, "partitions": partitions}).encode() + b"\n")
            process.stdin.flush()
        answer = self._answer(process)
        if "error" in answer:
            raise EmbeddedServiceError(answer["error"])

    def stop(self) -> None:
        """End the broker; all its records are lost."""
        process = self._process
        if process is None:
            return
        for stream in (process.stdin, process.stdout):
            if stream is not None:
                stream.close()
        try:
            process.wait(END_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def kill(self) -> None:
        """End the broker with SIGKILL, as a crash would; all its records are lost."""
        if self._process is not None:
            self._process.kill()
        self.stop()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        self._said.close()

    def _running_process(self) -> "subprocess.Popen[bytes]":
        if self._process is None or self._process.poll() is not None:
            raise EmbeddedServiceError("the embedded broker is not running")
        return self._process

    def _answer(self, process: "subprocess.Popen[bytes]") -> dict[str, Any]:
        """Return the next line the broker prints, within `ANSWER_TIMEOUT_S`."""
        if process.stdout is None:
            raise EmbeddedServiceError("the embedded broker has no output")
        with DefaultSelector() as selector:
            selector.register(process.stdout, EVENT_READ)
            line = process.stdout.readline() if selector.select(ANSWER_TIMEOUT_S) else b""
        if line:
            answer: dict[str, Any] = json.loads(line)
            return answer
        self.kill()
        self._said.seek(0)
        said = self._said.read().decode(errors="replace").strip() or "(nothing)"
        raise EmbeddedServiceError(f"the embedded broker ended or gave no answer; it said:\n{said}")


def _topics(text: str) -> dict[str, int]:
    """Read "fills=4,ledger=4"."""
    topics: dict[str, int] = {}
    for item in filter(None, text.split(",")):
        name, _equals, partitions = item.partition("=")
        if not partitions.isdecimal():
            raise argparse.ArgumentTypeError(f"not NAME=PARTITIONS: {item!r}")
        topics[name] = int(partitions)
    return topics


def _answer_command(cluster: MockCluster, line: bytes) -> dict[str, Any]:
    try:
        command = json.loads(line)
        cluster.create_topic(command["topic"], command["partitions"])
    except (EmbeddedServiceError, ValueError, KeyError, TypeError) as error:
        return {"error": str(error)}
    return {"created": command["topic"]}


def _say(message: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


async def _serve(cluster: MockCluster) -> None:
    """Serve until standard input ends."""
    commands = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(commands), sys.stdin
    )
    gate = SyncGate(free_port(), cluster.port)
    server = await gate.serve()
    cluster.advertise(LOOPBACK, gate.port)
    _say({"bootstrap_servers": f"{LOOPBACK}:{gate.port}"})
    while line := await commands.readline():
        _say(_answer_command(cluster, line))
    server.close()


def main() -> None:
    """Run the broker process; see the head of this file."""
    parser = argparse.ArgumentParser(
        prog="python -m streams.embedded.embedded_broker", description=__doc__.split("\n")[0]
    )
    parser.add_argument("--topics", type=_topics, default={}, help="NAME=PARTITIONS[,NAME=PARTITIONS ...]")
    parser.add_argument("--rebalance-delay-ms", type=int, default=0)
    options = parser.parse_args()
    cluster = MockCluster(options.rebalance_delay_ms)
    for name, partitions in options.topics.items():
        cluster.create_topic(name, partitions)
    asyncio.run(_serve(cluster))


if __name__ == "__main__":
    main()
