"""Whole topics, read from offset 0 to their present end."""

from collections.abc import Iterator
from functools import partial
from typing import NamedTuple

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from tests.support.waiting import wait_for

READ_S = 30.0
_NOT_YET = {KafkaError.NOT_LEADER_FOR_PARTITION, KafkaError._UNKNOWN_PARTITION}


class LogRecord(NamedTuple):
    """One record and where it lies."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: dict[str, str]
    time_ms: int = 0
    """Its timestamp."""


def read_topic(bootstrap: str, topic: str, since: dict[int, int] | None = None) -> list[LogRecord]:
    """Every record, by partition and offset; `since` gives the first offset of some partitions."""
    consumer = _consumer(bootstrap)
    try:
        return list(_read(consumer, topic, since or {}))
    finally:
        consumer.close()


def ends(bootstrap: str, topic: str) -> dict[int, int]:
    """The offset after the last record of each partition."""
    consumer = _consumer(bootstrap)
    try:
        return {partition: end for partition, (_, end) in _bounds(consumer, topic).items()}
    finally:
        consumer.close()


def _consumer(bootstrap: str) -> Consumer:
    return Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": "test-reader",
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "fetch.wait.max.ms": 10,
            "log_level": 0,
        }
    )


def _bounds(consumer: Consumer, topic: str) -> dict[int, tuple[int, int]]:
    partitions = consumer.list_topics(topic, timeout=READ_S).topics[topic].partitions
    assert partitions, f"topic {topic} has no partitions"
    return {
        partition: wait_for(
            f"the ends of {topic}/{partition}", partial(_partition_bounds, consumer, topic, partition), READ_S
        )
        for partition in sorted(partitions)
    }


def _partition_bounds(consumer: Consumer, topic: str, partition: int) -> tuple[int, int] | None:
    """None while the broker is not ready for the partition, as after its restart, or starved."""
    try:
        return consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=READ_S)
    except KafkaException as failure:
        if failure.args[0].retriable() or failure.args[0].code() in _NOT_YET:
            return None
        raise


def _read(consumer: Consumer, topic: str, since: dict[int, int]) -> Iterator[LogRecord]:
    for partition, (begin, end) in _bounds(consumer, topic).items():
        start = max(begin, since.get(partition, 0))
        if start >= end:
            continue
        consumer.assign([TopicPartition(topic, partition, start)])
        reached = start
        while reached < end:
            message = consumer.poll(READ_S)
            assert message is not None, f"{topic}/{partition} did not give offset {reached} of {end}"
            error = message.error()
            if error is not None:
                if error.code() == KafkaError._PARTITION_EOF:
                    break
                raise KafkaException(error)
            reached = message.offset() + 1
            headers = {name: value.decode() for name, value in message.headers() or ()}
            yield LogRecord(
                topic,
                partition,
                message.offset(),
                message.key(),
                message.value(),
                headers,
                message.timestamp()[1],
            )
