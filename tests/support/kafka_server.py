"""A real Apache Kafka, one KRaft server on loopback, that tests may kill and restart on the same port and data."""

import shutil
import socket
import subprocess
import uuid
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

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


class RealKafka:
    """One Kafka broker and controller; the session timeout of consumers may be as low as one second.

    As a context manager it starts on entry and stops on exit. Topics are never made by themselves.
    - `directory`: its configuration, log of the server and data; made if missing.
    """

    def __init__(self, directory: Path) -> None:
        java = shutil.which("java")
        if java is None:
            raise KafkaServerError("java is not on PATH: .ci/services installs it")
        self._java = java
        self._class_path = f"{kafka_jars()}/*"
        self.directory = directory
        self.port = free_port()
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
        if not self._configuration.exists():
            self._format()
        self._process.start()
        self._process.wait_ready(self._problem, timeout_s)

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
        controller = f"{LOOPBACK}:{free_port()}"
        properties = _properties(self.bootstrap_servers, controller, self.directory / "data")
        properties |= self._more_properties(properties)
        configuration.write_text("".join(f"{name}={value}\n" for name, value in properties.items()))
        cluster_id = urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        said = subprocess.run(
            [
                *(self._java, *JAVA_OPTIONS, "-cp", self._class_path, "kafka.tools.StorageTool"),
                # one word: an id may begin with "-"
                *("format", "--standalone", f"--cluster-id={cluster_id}", "-c", str(configuration)),
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
