"""A real Apache Kafka, one KRaft server on loopback, that tests may kill and restart on the same port and data."""

import shutil
import socket
import subprocess
import uuid
from base64 import urlsafe_b64encode
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient, NewTopic

from streams.embedded.child import TetheredProcess
from streams.embedded.ports import LOOPBACK, free_port
from tests.support.kafka_jars import kafka_jars

START_TIMEOUT_S = 90.0
STOP_TIMEOUT_S = 30.0
FORMAT_TIMEOUT_S = 60.0
ADMIN_TIMEOUT_S = 30.0

# Small and quick to start on two cores; the compiler's first tier is enough for tests.
JAVA_OPTIONS = ("-Xmx512m", "-Xms256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto")


class KafkaServerError(RuntimeError):
    """Kafka could not be prepared; the message carries what its tool said."""


class Member(NamedTuple):
    """A server's place among several that replicate each other."""

    cluster_id: str
    number: int
    controllers: Sequence[str]
    """host:port of each member's controller, in the order of their numbers, which begin with 1."""


class RealKafka:
    """One Kafka broker and controller; the session timeout of consumers may be as low as one second.

    As a context manager it starts on entry and stops on exit. Topics are never made by themselves.
    - `directory`: its configuration, log of the server and data; made if missing.
    - `member`: None for a server by itself.
    - `proxy_port`: where a proxy will lead to `proxied_port`; whoever comes from there is told to come again from there.
    """

    replication = 1
    """How many servers hold each record."""

    def __init__(self, directory: Path, member: Member | None = None, proxy_port: int | None = None) -> None:
        java = shutil.which("java")
        if java is None:
            raise KafkaServerError("java is not on PATH: .ci/services installs it")
        self._java = java
        self._class_path = f"{kafka_jars()}/*"
        self.directory = directory
        self._member = member
        self.port, self.proxied_port, self._proxy_port = free_port(), free_port(), proxy_port
        self._configuration = directory / "server.properties"
        log_options = ("-Dlog4j2.level=INFO", "-Dlog4j2.disable.jmx=true")
        self._process = TetheredProcess(
            "kafka",
            [
                *(self._java, *JAVA_OPTIONS, *log_options, "-cp", self._class_path),
                *("kafka.Kafka", str(self._configuration)),
            ],
            log=directory / "server.log",
        )

    @property
    def bootstrap_servers(self) -> str:
        """The address for clients, "127.0.0.1:port"; the same after a restart."""
        return f"{LOOPBACK}:{self.port}"

    @property
    def pid(self) -> int:
        """The server's process id."""
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether the server runs now."""
        return self._process.running

    def start(self, timeout_s: float = START_TIMEOUT_S) -> None:
        """Start the server and return once it answers clients.

        Raises EmbeddedServiceError with the server's last words when it does not within `timeout_s` seconds.
        """
        self.launch()
        self._process.wait_ready(self._problem, timeout_s)

    def launch(self) -> None:
        """Start the server, and do not wait: with others it answers once a majority of them runs."""
        if not self._configuration.exists():
            self._format()
        self._process.start()

    def stop(self) -> None:
        """Stop the server in order; it may be started again."""
        self._process.stop(STOP_TIMEOUT_S)

    def kill(self) -> None:
        """End the server with SIGKILL, as a crash would; it may be started again."""
        self._process.kill()

    def create_topics(self, topics: Mapping[str, int], configs: Mapping[str, str] | None = None) -> None:
        """Create topics by name and partition count, all with the same configs, and wait until they can be used.

        Raises confluent_kafka.KafkaException with Kafka's reason, for example when one exists.
        """
        admin = self._admin()
        wanted = [
            NewTopic(name, num_partitions=partitions, replication_factor=1, config=dict(configs or {}))
            for name, partitions in topics.items()
        ]
        for future in admin.create_topics(wanted, operation_timeout=ADMIN_TIMEOUT_S).values():
            future.result(ADMIN_TIMEOUT_S)

    def describe_topics(self) -> dict[str, int]:
        """Return every topic's partition count by name."""
        topics = self._admin().list_topics(timeout=ADMIN_TIMEOUT_S).topics
        return {name: len(topic.partitions) for name, topic in topics.items()}

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _more_properties(self, _properties: Mapping[str, str]) -> dict[str, str]:
        """What a server of another kind is configured with, besides or instead."""
        return {}

    def _format_options(self) -> list[str]:
        """What its storage is formatted with, besides."""
        return []

    def _admin(self) -> AdminClient:
        # While the server is down librdkafka would report each refused connection on the terminal: hence the log level.
        return AdminClient({"bootstrap.servers": self.bootstrap_servers, "log_level": 0})

    def _problem(self) -> str | None:
        """Return why clients cannot use the server yet, None once they can."""
        try:
            socket.create_connection((LOOPBACK, self.port), timeout=1).close()
            brokers = self._admin().list_topics(timeout=2).brokers
        except (OSError, KafkaException) as error:
            return str(error)
        return None if brokers else "no broker is registered"

    def _format(self) -> None:
        self.directory.mkdir(parents=True, exist_ok=True)
        configuration = self._configuration.with_suffix(".new")
        cluster_id, place = new_cluster_id(), ["--standalone"]
        if self._member is None:
            properties = _properties(
                self.bootstrap_servers, f"{LOOPBACK}:{free_port()}", self.directory / "data"
            )
        else:
            cluster_id, place = self._member.cluster_id, []
            properties = _member_properties(self.bootstrap_servers, self._member, self.directory / "data")
        if self._proxy_port is not None:
            properties |= _proxied(properties, self.proxied_port, self._proxy_port)
        properties |= self._more_properties(properties)
        configuration.write_text("".join(f"{name}={value}\n" for name, value in properties.items()))
        said = subprocess.run(
            [
                *(self._java, *JAVA_OPTIONS, "-cp", self._class_path, "kafka.tools.StorageTool"),
                # one word: an id may begin with "-"
                *("format", *place, f"--cluster-id={cluster_id}", "-c", str(configuration)),
                *self._format_options(),
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=FORMAT_TIMEOUT_S,
        )
        if said.returncode != 0:
            raise KafkaServerError(f"Kafka's storage was not formatted:\n{said.stdout}")
        configuration.rename(self._configuration)


def new_cluster_id() -> str:
    """One that no other has."""
    return urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")


def _member_properties(broker: str, member: Member, data: Path) -> dict[str, str]:
    """Three copies of everything, of which two must be written."""
    controller = member.controllers[member.number - 1]
    voters = ",".join(f"{number}@{it}" for number, it in enumerate(member.controllers, 1))
    settings = _properties(broker, controller, data)
    del settings["controller.quorum.bootstrap.servers"]
    copies = {name: "3" for name in settings if name.endswith("replication.factor")}
    written = {name: "2" for name in settings if name.endswith("min.isr")}
    return {
        **settings,
        **copies,
        **written,
        "min.insync.replicas": "2",
        "node.id": str(member.number),
        "controller.quorum.voters": voters,
        # a member that is gone is missed within a second or two, not within ten and thirty
        "replica.lag.time.max.ms": "3000",
        "controller.quorum.election.timeout.ms": "500",
        "controller.quorum.fetch.timeout.ms": "1000",
    }


def _proxied(settings: Mapping[str, str], port: int, proxy_port: int) -> dict[str, str]:
    """A second listener, for clients behind a proxy."""
    return {
        "listeners": f"{settings['listeners']},PROXIED://{LOOPBACK}:{port}",
        "advertised.listeners": f"{settings['advertised.listeners']},PROXIED://{LOOPBACK}:{proxy_port}",
        "listener.security.protocol.map": f"{settings['listener.security.protocol.map']},PROXIED:PLAINTEXT",
        "inter.broker.listener.name": "PLAINTEXT",
    }


def _properties(broker: str, controller: str, data: Path) -> dict[str, str]:
    return {
        "process.roles": "broker,controller",
        "node.id": "1",
        "listeners": f"PLAINTEXT://{broker},CONTROLLER://{controller}",
        "advertised.listeners": f"PLAINTEXT://{broker}",
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "controller.listener.names": "CONTROLLER",
        "controller.quorum.bootstrap.servers": controller,
        "log.dirs": str(data),
        "auto.create.topics.enable": "false",
        # One server: nothing can be replicated.
        "default.replication.factor": "1",
        "offsets.topic.replication.factor": "1",
        "transaction.state.log.replication.factor": "1",
        "transaction.state.log.min.isr": "1",
        "share.coordinator.state.topic.replication.factor": "1",
        "share.coordinator.state.topic.min.isr": "1",
        # Few internal partitions: they are made when the first group joins, and loaded again at each restart.
        "offsets.topic.num.partitions": "4",
        "transaction.state.log.num.partitions": "4",
        "share.coordinator.state.topic.num.partitions": "4",
        # Tests of takeover need not wait for Kafka's usual three and six seconds.
        "group.initial.rebalance.delay.ms": "0",
        "group.min.session.timeout.ms": "1000",
        # A killed server may register again only when its session has run out: nine seconds by default.
        "broker.session.timeout.ms": "3000",
        "broker.heartbeat.interval.ms": "500",
        # A little machine.
        "num.network.threads": "2",
        "num.io.threads": "2",
        "log.cleaner.dedupe.buffer.size": "4194304",
    }
