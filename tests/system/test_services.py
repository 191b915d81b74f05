"""The test servers themselves: a real Kafka and a real Redis keep what they acknowledged through kill -9."""

from collections.abc import Callable

import pytest
import redis
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from confluent_kafka import KafkaException, Producer

from streams.embedded.embedded_redis import EmbeddedRedis
from tests.support.kafka_server import RealKafka
from tests.support.waiting import wait_for

pytestmark = pytest.mark.system


async def test_kafka_when_killed_and_restarted_keeps_acknowledged_records(
    real_kafka: RealKafka, unique: Callable[[str], str]
) -> None:
    topic = unique("kept")
    real_kafka.create_topics({topic: 1})
    address = real_kafka.bootstrap_servers
    wanted = [b"%d" % number for number in range(100)]
    async with AIOKafkaProducer(bootstrap_servers=address, acks="all", enable_idempotence=True) as producer:
        for value in wanted:
            await producer.send_and_wait(topic, value, partition=0)

    real_kafka.kill()
    assert not real_kafka.running
    real_kafka.start()

    assert real_kafka.bootstrap_servers == address
    partition = TopicPartition(topic, 0)
    async with AIOKafkaConsumer(bootstrap_servers=address, enable_auto_commit=False) as consumer:
        consumer.assign([partition])
        await consumer.seek_to_beginning(partition)
        assert [(await consumer.getone()).value for _ in wanted] == wanted


def test_kafka_when_a_client_asks_for_an_absent_topic_makes_none(
    real_kafka: RealKafka, unique: Callable[[str], str]
) -> None:
    topic = unique("absent")
    # A producer's request for metadata makes a topic where the broker allows it.
    Producer({"bootstrap.servers": real_kafka.bootstrap_servers}).list_topics(topic, timeout=10)
    assert topic not in real_kafka.describe_topics()


def test_create_topics_when_done_gives_the_partitions_asked_for(
    real_kafka: RealKafka, unique: Callable[[str], str]
) -> None:
    fills, state = unique("fills"), unique("state")
    real_kafka.create_topics({fills: 4, state: 2}, {"cleanup.policy": "compact"})
    # the controller has answered; the broker that is asked may learn of it a moment later
    wait_for("the topics are known", lambda: {fills, state} <= real_kafka.describe_topics().keys())
    topics = real_kafka.describe_topics()
    assert (topics[fills], topics[state]) == (4, 2)


def test_create_topics_when_one_exists_says_so(real_kafka: RealKafka, unique: Callable[[str], str]) -> None:
    topic = unique("twice")
    real_kafka.create_topics({topic: 1})
    with pytest.raises(KafkaException, match="already exists"):
        real_kafka.create_topics({topic: 1})


def test_redis_when_killed_and_restarted_keeps_acknowledged_writes(
    real_redis: EmbeddedRedis, redis_url_db: str
) -> None:
    with redis.Redis.from_url(redis_url_db) as client:
        for number in range(1000):
            client.hset("kept", str(number), "1")
    real_redis.kill()
    real_redis.start()
    with redis.Redis.from_url(redis_url_db) as client:
        assert client.hlen("kept") == 1000
