"""One run of the whole system: fresh topics on a real Kafka, an empty real Redis, and workers."""

import shutil
import tomllib
import uuid
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

import redis
from confluent_kafka import Consumer, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from engine.policy import Policy, parse
from streams.embedded.embedded_redis import EmbeddedRedis
from streams.kafka.clients import account_partitioner
from tests.support.kafka_server import RealKafka
from tests.support.waiting import wait_for
from tests.support.workers import TREE, WORKER_COMMAND, Worker

POLICY_FILE = Path(__file__).with_name("system_policy.toml")
SHIPPED_TOPICS = TREE / "deploy" / "kafka" / "topics.toml"
PARTITIONS = 4
ADMIN_S = 30.0


class Cluster:
    """Topics as `deploy/kafka/topics.toml` says, but with PARTITIONS shards. A context manager: workers end on exit."""

    def __init__(self, kafka: RealKafka, server: EmbeddedRedis, directory: Path) -> None:
        self.kafka, self.redis, self.directory = kafka, server, directory
        self.policy: Policy = parse(POLICY_FILE.read_text())
        self.partition_of = account_partitioner(PARTITIONS)
        self.group = f"system-{uuid.uuid4().hex[:8]}"
        self.workers: list[Worker] = []

    @property
    def bootstrap(self) -> str:
        """The broker's address."""
        return self.kafka.bootstrap_servers

    def __enter__(self) -> Self:
        recreate_topics(self.kafka)
        with self.client() as client:
            client.flushall()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for worker in self.workers:
            worker.close()

    def client(self) -> redis.Redis:
        """A Redis client; close it."""
        return redis.Redis.from_url(self.redis.url)

    def worker(
        self,
        name: str = "worker-a",
        *,
        worker_id: Callable[[], str] | None = None,
        command: Sequence[str] = WORKER_COMMAND,
        environment: Mapping[str, str] | None = None,
        **settings: str,
    ) -> Worker:
        """Start one more worker; `settings` are UNIMARGIN_* without the prefix, `environment` is as it stands."""
        known = {
            "KAFKA_BOOTSTRAP_SERVERS": self.bootstrap,
            "KAFKA_SESSION_TIMEOUT_SECONDS": "3",
            "KAFKA_FETCH_WAIT_MS": "20",
            "REDIS_URL": self.redis.url,
            "GROUP": self.group,
            "POLICY_FILE": str(POLICY_FILE),
            "METRICS_PORT": "0",
            **settings,
        }
        worker = Worker(
            name,
            {**{f"UNIMARGIN_{key}": value for key, value in known.items()}, **(environment or {})},
            self.directory / f"{name}.log",
            worker_id=worker_id,
            command=command,
        )
        self.workers.append(worker)
        return worker.start()

    def committed(self, topic: str) -> dict[int, int]:
        """How far the workers' group acknowledged each partition; no entry where it never did."""
        consumer = Consumer({"bootstrap.servers": self.bootstrap, "group.id": self.group, "log_level": 0})
        try:
            places = [TopicPartition(topic, partition) for partition in range(PARTITIONS)]
            found = consumer.committed(places, timeout=ADMIN_S)
        finally:
            consumer.close()
        return {place.partition: place.offset for place in found if place.offset >= 0}

    def trim(self, topic: str, before: Mapping[int, int]) -> None:
        """Delete the records of `topic` below an offset per partition, as retention would."""
        wanted = [TopicPartition(topic, partition, offset) for partition, offset in before.items()]
        client = admin(self.kafka)
        for future in client.delete_records(wanted).values():
            future.result(ADMIN_S)

    def copy_redis(self, name: str) -> Path:
        """Copy the data of the stopped Redis."""
        assert not self.redis.running, "the files of a running Redis are not a snapshot"
        return Path(shutil.copytree(self.redis.data_dir, self.directory / name))

    def restore_redis(self, copy: Path) -> None:
        """Put a copy in the place of the stopped Redis' data."""
        assert not self.redis.running, "a running Redis would not read it"
        shutil.rmtree(self.redis.data_dir)
        shutil.copytree(copy, self.redis.data_dir)


def admin(kafka: RealKafka) -> AdminClient:
    """An admin client that is quiet while the broker is down."""
    return AdminClient({"bootstrap.servers": kafka.bootstrap_servers, "log_level": 0})


def recreate_topics(kafka: RealKafka) -> None:
    """Delete the pipeline's topics and make them anew, empty."""
    layout = tomllib.loads(SHIPPED_TOPICS.read_text())["topics"]
    client = admin(kafka)
    present = set(client.list_topics(timeout=ADMIN_S).topics) & set(layout)
    if present:
        for future in client.delete_topics(sorted(present), operation_timeout=ADMIN_S).values():
            future.result(ADMIN_S)
    wanted = [
        NewTopic(
            name,
            num_partitions=it["partitions"] if name in {"prices", "quarantine", "policies"} else PARTITIONS,
            replication_factor=kafka.replication,
            config=it["config"],
        )
        for name, it in layout.items()
    ]

    def created() -> bool:
        # A deleted topic's name is free a moment after the deletion was acknowledged.
        with suppress(KafkaException):
            missing = [it for it in wanted if it.topic not in client.list_topics(timeout=ADMIN_S).topics]
            if not missing:
                return True
            for future in client.create_topics(missing, operation_timeout=ADMIN_S).values():
                future.result(ADMIN_S)
        return False

    wait_for("the topics exist", created, ADMIN_S)
