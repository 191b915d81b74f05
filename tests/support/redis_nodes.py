"""Real redis-servers that stand in for each other: a primary with replicas under sentinels, and a Redis Cluster."""

import signal
import subprocess
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from types import TracebackType
from typing import Self

import redis
import redis.exceptions
from redis.crc import key_slot

from streams.embedded.child import TetheredProcess
from streams.embedded.ports import LOOPBACK, free_port
from tests.conftest import system_redis_server
from tests.support.waiting import wait_for

START_S = 20.0
STOP_S = 10.0
NOTICED_AFTER_MS = 1000
"""For so long a primary must be silent before it counts as gone."""
SERVICE = "margin"
SLOTS = 16384
BUS_PORT_OFFSET = 10_000
"""Of a cluster's nodes; kept below what Linux gives to outgoing connections."""

DATA = ("--save", "", "--appendonly", "yes", "--appendfsync", "everysec", "--maxmemory-policy", "noeviction")
# a new replica is given the data at once, and replicas are asked for within a second
REPLICATION = ("--repl-diskless-sync-delay", "0", "--repl-ping-replica-period", "1")


class RedisNode:
    """One redis-server, killed and started again on the same port and data."""

    def __init__(self, directory: Path, port: int, *options: str, sentinel_conf: str | None = None) -> None:
        self.port, self.directory = port, directory
        directory.mkdir(parents=True)
        binary = str(system_redis_server())
        command = [binary, "--bind", LOOPBACK, "--port", str(port), "--dir", str(directory), *options]
        if sentinel_conf is not None:
            conf = directory / "sentinel.conf"
            conf.write_text(sentinel_conf)
            command = [binary, str(conf), "--sentinel"]
        self._process = TetheredProcess("redis-server", command, log=directory / "server.log")

    @property
    def running(self) -> bool:
        """Whether it runs now."""
        return self._process.running

    @property
    def pid(self) -> int:
        """Process id."""
        return self._process.pid

    def start(self) -> None:
        """Start it; it answers on return."""
        self._process.start()

        def problem() -> str | None:
            try:
                with self.client() as client:
                    client.ping()
            except redis.RedisError as error:
                return str(error)
            return None

        self._process.wait_ready(problem, START_S)

    def kill(self) -> None:
        """SIGKILL."""
        self._process.kill()

    def pause(self) -> None:
        """SIGSTOP: neither answers nor ends."""
        self._process.signal(signal.SIGSTOP)

    def resume(self) -> None:
        """SIGCONT."""
        self._process.signal(signal.SIGCONT)

    def shut_out_replicas(self) -> None:
        """Have its replicas lose it, and follow it no more until it is started again: what it takes from here on is its own alone."""
        with self.client() as client:
            client.execute_command("ACL SETUSER", "default", "-psync", "-sync", "-replconf")
            client.execute_command("CLIENT KILL", "TYPE", "replica")

    def close(self) -> None:
        """End it for good."""
        self._process.stop(STOP_S)

    def client(self) -> redis.Redis:
        """A client of this server; close it."""
        return redis.Redis(LOOPBACK, self.port, socket_timeout=2, socket_connect_timeout=2)

    def replication(self) -> dict[str, object]:
        """What it says of its part; {} while it is away."""
        with suppress(redis.RedisError), self.client() as client:
            return dict(client.info("replication"))
        return {}


class _Servers:
    """Started on entry, ended on exit."""

    nodes: Sequence[RedisNode]
    url: str

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def _run(self, nodes: Sequence[RedisNode]) -> None:
        for node in nodes:
            node.start()
            self._stack.callback(node.close)

    _stack: ExitStack


class SentinelServers(_Servers):
    """A primary, two replicas and three sentinels, which need two to agree."""

    def __init__(self, directory: Path) -> None:
        ports = [free_port() for _ in range(6)]
        self._stack = ExitStack()
        self.nodes = [
            RedisNode(
                directory / f"data-{place}",
                port,
                *DATA,
                *REPLICATION,
                *(("--replicaof", f"{LOOPBACK} {ports[0]}") if place else ()),
            )
            for place, port in enumerate(ports[:3])
        ]
        self.sentinels = [
            RedisNode(
                directory / f"sentinel-{place}", port, sentinel_conf=_sentinel(directory, port, ports[0])
            )
            for place, port in enumerate(ports[3:])
        ]
        hosts = ",".join(f"{LOOPBACK}:{it.port}" for it in self.sentinels)
        self.url = f"redis+sentinel://{hosts}/{SERVICE}/0"

    def __enter__(self) -> Self:
        self._run(self.nodes)
        wait_for("the replicas follow", lambda: self.attached(self.nodes[0]) == 2)
        self._run(self.sentinels)
        wait_for("the sentinels know each other and the replicas", self._complete)
        return self

    def primary(self, _key: str = "") -> RedisNode:
        """The one that a majority of sentinels names."""
        return wait_for("the sentinels agree on who is the primary", self._agreed)

    def attached(self, node: RedisNode) -> int:
        """How many replicas follow it, in step."""
        said = node.replication()
        if said.get("role") != "master":
            return 0
        return sum(1 for place in range(3) if "online" in str(said.get(f"slave{place}", "")))

    def whole(self) -> bool:
        """Whether a primary may be killed: another is in step."""
        found = self._agreed()
        return found is not None and self.attached(found) >= 1

    def _agreed(self) -> RedisNode | None:
        named = []
        for sentinel in self.sentinels:
            with suppress(redis.RedisError), sentinel.client() as client:
                named.append(int(client.execute_command("SENTINEL GET-MASTER-ADDR-BY-NAME", SERVICE)[1]))
        for port in set(named):
            if named.count(port) > len(self.sentinels) // 2:
                return next(it for it in self.nodes if it.port == port)
        return None

    def _complete(self) -> bool:
        for sentinel in self.sentinels:
            with sentinel.client() as client:
                state = client.sentinel_master(SERVICE)
                if (state["num-slaves"], state["num-other-sentinels"]) != (2, 2):
                    return False
        return True


class ClusterServers(_Servers):
    """Three primaries, each with a replica. A shard's keys lie on the primary of its hash tag."""

    def __init__(self, directory: Path) -> None:
        self._stack = ExitStack()
        self.nodes = []
        for place in range(6):
            port = free_port()
            bus = ("--cluster-enabled", "yes", "--cluster-node-timeout", str(NOTICED_AFTER_MS))
            # free_port gives what lies below 32768: the bus, ten thousand higher, is asked for by itself
            bus += ("--cluster-port", str(free_port()), "--cluster-require-full-coverage", "no")
            self.nodes.append(RedisNode(directory / f"node-{place}", port, *DATA, *REPLICATION, *bus))
        self.url = "redis+cluster://" + ",".join(f"{LOOPBACK}:{it.port}" for it in self.nodes[:3])

    def __enter__(self) -> Self:
        self._run(self.nodes)
        said = subprocess.run(
            [
                *("redis-cli", "--cluster", "create", *(f"{LOOPBACK}:{it.port}" for it in self.nodes)),
                *("--cluster-replicas", "1", "--cluster-yes"),
            ],
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert said.returncode == 0, said.stdout + said.stderr
        wait_for("every primary has its replica", self.whole)
        return self

    def primary(self, key: str = "unimargin:{shard-0}:fence") -> RedisNode:
        """The one that has the slot of this key."""
        return wait_for(f"a node has the slot of {key}", lambda: self._owner(key))

    def whole(self) -> bool:
        """Whether a primary may be killed: each has a replica in step, and all know all."""
        primaries = [it for it in self.nodes if it.replication().get("role") == "master"]
        healthy = len(primaries) == 3 and all(
            "online" in str(it.replication().get("slave0", "")) for it in primaries
        )
        return healthy and all(self._knows_all(it) for it in self.nodes)

    def _knows_all(self, node: RedisNode) -> bool:
        with node.client() as client:
            state = client.execute_command("CLUSTER INFO")
            said = client.execute_command("CLUSTER NODES")
        flags = [it["flags"] for it in said.values()]
        return state["cluster_state"] == "ok" and len(flags) == 6 and not any("fail" in it for it in flags)

    def _owner(self, key: str) -> RedisNode | None:
        slot = key_slot(key.encode())
        votes: list[int] = []
        for node in self.nodes:
            if not node.running:
                continue
            with suppress(redis.RedisError), node.client() as client:
                for first, last, (_, port, *_), *_ in client.execute_command("CLUSTER SLOTS"):
                    if first <= slot <= last:
                        votes.append(port)
        for port in set(votes):
            if votes.count(port) > len(self.nodes) // 2:
                return next(it for it in self.nodes if it.port == port)
        return None


def _sentinel(directory: Path, port: int, primary: int) -> str:
    return "".join(
        f"{line}\n"
        for line in (
            f"port {port}",
            f"bind {LOOPBACK}",
            f"dir {directory}",
            f"sentinel monitor {SERVICE} {LOOPBACK} {primary} 2",
            f"sentinel down-after-milliseconds {SERVICE} {NOTICED_AFTER_MS}",
            f"sentinel failover-timeout {SERVICE} 3000",
            f"sentinel parallel-syncs {SERVICE} 2",
        )
    )
