"""Three real Kafka servers that replicate each other: any one of them may be killed and nothing that was acknowledged is lost."""

from pathlib import Path
from types import TracebackType
from typing import Self

from confluent_kafka.admin import AdminClient

from streams.embedded.ports import LOOPBACK, free_port
from tests.support.kafka_server import ADMIN_TIMEOUT_S, Member, RealKafka, new_cluster_id
from tests.support.waiting import wait_for

COUNT = 3


class KafkaTrio:
    """As `RealKafka`, of which it has three. Replication factor 3, two of them in step or nothing is taken."""

    replication = COUNT

    def __init__(self, directory: Path) -> None:
        cluster_id, controllers = new_cluster_id(), [f"{LOOPBACK}:{free_port()}" for _ in range(COUNT)]
        self.brokers = [
            RealKafka(directory / f"broker-{number}", Member(cluster_id, number, controllers))
            for number in range(1, COUNT + 1)
        ]

    @property
    def bootstrap_servers(self) -> str:
        """The addresses of all three."""
        return ",".join(it.bootstrap_servers for it in self.brokers)

    def whole(self) -> bool:
        """Whether all three run, and every copy of every partition is in step."""
        found = AdminClient({"bootstrap.servers": self.bootstrap_servers, "log_level": 0}).list_topics(
            timeout=ADMIN_TIMEOUT_S
        )
        partitions = [it for topic in found.topics.values() for it in topic.partitions.values()]
        return len(found.brokers) == COUNT and all(len(it.isrs) == len(it.replicas) for it in partitions)

    def leader(self, topic: str, partition: int) -> RealKafka:
        """The server that takes the records of a partition."""
        found = AdminClient({"bootstrap.servers": self.bootstrap_servers, "log_level": 0}).list_topics(
            topic, timeout=ADMIN_TIMEOUT_S
        )
        return self.brokers[found.topics[topic].partitions[partition].leader - 1]

    def __enter__(self) -> Self:
        for broker in self.brokers:
            broker.launch()
        wait_for("three brokers", self.whole, 120)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for broker in self.brokers:
            broker.kill()
