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
from tests.support.cluster import Cluster
from tests.support.waiting import wait_for

START_S = 20.0
STOP_S = 10.0
NOTICED_AFTER_MS = 1000
"""For so long a primary must be silent before it counts as gone."""
SERVICE = "margin"
SLOTS = 16384

DATA = (
    *('save ""', "appendonly yes", "appendfsync everysec", "maxmemory-policy noeviction"),
    # a new replica is given the data at once, and each side notices within a second that the other is gone
    *("repl-diskless-sync-delay 0", "repl-ping-replica-period 1"),
)


class RedisNode:
    """One redis-server, killed and started again on the same port and data."""

    def __init__(self, directory: Path, port: int, lines: Sequence[str], *options: str) -> None:
        self.port, self.directory = port, directory
        directory.mkdir(parents=True)
        # a file, for sentinels write into it what a server has become
        settings = directory / "redis.conf"
        own = (f"bind {LOOPBACK}", f"port {port}", f"dir {directory}")
        self._settings = settings
        settings.write_text("".join(f"{line}\n" for line in (*own, *lines)))
        self._process = TetheredProcess(
            "redis-server",
            [str(system_redis_server()), str(settings), *options],
            log=directory / "server.log",
        )

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
        pid = self._process.start()

        def problem() -> str | None:
            try:
                with self.client() as client:
                    answering = client.info("server")["process_id"]
            except redis.RedisError as error:
                return str(error)
            return None if answering == pid else f"process {answering} has port {self.port}"

        self._process.wait_ready(problem, START_S)

    def start_behind(self, primary: "RedisNode") -> None:
        """Start it as a replica of this one, with what it held given up."""
        lines = [it for it in self._settings.read_text().splitlines() if not it.startswith("replicaof")]
        self._settings.write_text("\n".join([*lines, f"replicaof {LOOPBACK} {primary.port}\n"]))
        self.start()

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
        follow = f"replicaof {LOOPBACK} {ports[0]}"
        self.nodes = [
            RedisNode(directory / f"data-{place}", port, [*DATA, *[follow][: min(place, 1)]])
            for place, port in enumerate(ports[:3])
        ]
        watch = _sentinel(ports[0])
        self.sentinels = [
            RedisNode(directory / f"sentinel-{place}", port, watch, "--sentinel")
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

    def restart(self, node: RedisNode) -> None:
        """Start a primary that was killed, once another has its place: behind that one, as deploy/redis/failover.md asks for."""
        node.start_behind(wait_for("another is the primary", lambda: self._other(node)))

    def _other(self, node: RedisNode) -> RedisNode | None:
        found = self._agreed()
        return (
            None if found is node or found is None or found.replication().get("role") != "master" else found
        )

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
            # free_port gives what lies below 32768; the bus would be ten thousand higher
            bus = (
                *("cluster-enabled yes", f"cluster-port {free_port()}"),
                *(f"cluster-node-timeout {NOTICED_AFTER_MS}", "cluster-require-full-coverage no"),
            )
            self.nodes.append(RedisNode(directory / f"node-{place}", free_port(), [*DATA, *bus]))
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

    def restart(self, node: RedisNode) -> None:
        """Start a primary that was killed; the others tell it that it is one no more."""
        node.start()

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


class StandInCluster(Cluster):
    """A run on Redis servers that stand in for each other."""

    def client(self) -> redis.Redis:
        """A client of the primary of shard 0; close it."""
        return self.redis.primary().client()


def _sentinel(primary: int) -> list[str]:
    return [
        f"sentinel monitor {SERVICE} {LOOPBACK} {primary} 2",
        f"sentinel down-after-milliseconds {SERVICE} {NOTICED_AFTER_MS}",
        f"sentinel failover-timeout {SERVICE} 3000",
        f"sentinel parallel-syncs {SERVICE} 2",
    ]
