"""Shutting older owners out of a log, on a real Kafka: from the moment on at which the next owner may read it back."""

import asyncio
from collections.abc import Callable

import pytest
from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.errors import ProducerFenced

from streams.config.settings import Settings
from streams.kafka.clients import relay_producer
from streams.kafka.producer_epochs import ProducerEpoch, raise_epoch
from tests.support.kafka_server import RealKafka

pytestmark = pytest.mark.system
PARTITIONS = 4
TAKEOVERS = 8


async def send(producer: AIOKafkaProducer, place: TopicPartition, epoch: ProducerEpoch, sequence: int) -> int:
    batch = producer.create_batch()
    batch.append(timestamp=None, key=b"k", value=b"v", headers=[])
    batch._set_producer_state(*epoch, sequence)
    batch.close()
    acknowledged = await producer.send_batch(batch, place.topic, partition=place.partition)
    offset: int = (await acknowledged).offset
    return offset


async def test_raise_epoch_when_it_returns_then_no_partition_takes_anything_of_the_epoch_before(
    real_kafka: RealKafka, unique: Callable[[str], str]
) -> None:
    """Sent in the same moment, on a connection that is open: the markers must be in every log by then."""
    topic, settings = unique("events"), Settings(kafka_bootstrap_servers=real_kafka.bootstrap_servers)
    real_kafka.create_topics({topic: PARTITIONS})
    places = [TopicPartition(topic, partition) for partition in range(PARTITIONS)]
    async with relay_producer(settings) as producer:
        for _ in range(TAKEOVERS):
            old = await raise_epoch(settings, topic, places)
            for place in places:
                await send(producer, place, old, 0)
            new = await raise_epoch(settings, topic, places)
            late = (send(producer, place, old, 1) for place in places)
            answers = await asyncio.gather(*late, return_exceptions=True)
            assert [type(answer) for answer in answers] == [ProducerFenced] * PARTITIONS
            for place in places:
                await send(producer, place, new, 0)


async def test_send_when_a_batch_is_sent_again_then_the_log_has_it_once(
    real_kafka: RealKafka, unique: Callable[[str], str]
) -> None:
    topic, settings = unique("events"), Settings(kafka_bootstrap_servers=real_kafka.bootstrap_servers)
    real_kafka.create_topics({topic: 1})
    place = TopicPartition(topic, 0)
    async with relay_producer(settings) as producer:
        epoch = await raise_epoch(settings, topic, [place])
        offsets = [await send(producer, place, epoch, sequence) for sequence in (0, 1, 1, 2)]
    assert offsets[1] == offsets[2] == offsets[3] - 1
