"""Sending to Kafka as the exchange does: key = account, acks=all, Java's default partitioner, order kept."""

from typing import Any

import msgspec
from confluent_kafka import Producer

from engine.inputs import AccountInput, Fill, Mark, MarkBatch, Resume, Topic

FLUSH_S = 60.0


class Sender:
    """A producer whose refused records fail the test that looks at `check`."""

    def __init__(self, bootstrap: str, **options: object) -> None:
        self._errors: list[str] = []
        self._producer = Producer(
            {
                "bootstrap.servers": bootstrap,
                "partitioner": "murmur2_random",
                "acks": "all",
                "enable.idempotence": True,
                "linger.ms": 1,
                "message.max.bytes": 2_000_000,
                "message.timeout.ms": 300_000,
                "reconnect.backoff.max.ms": 500,
                "log_level": 0,
                **options,
            }
        )

    def send(self, topic: str, key: bytes | None, value: bytes | None, partition: int | None = None) -> None:
        """Queue one record."""
        place = {} if partition is None else {"partition": partition}
        self._producer.produce(topic, value, key, on_delivery=self._delivered, **place)
        self._producer.poll(0)

    def send_now(self, topic: str, key: bytes | None, value: bytes | None) -> tuple[int, int]:
        """Send one record and return its partition and offset."""
        places: list[tuple[int, int]] = []

        def delivered(error: Any, message: Any) -> None:
            self._delivered(error, message)
            if error is None:
                places.append((message.partition(), message.offset()))

        self._producer.produce(topic, value, key, on_delivery=delivered)
        self.flush()
        return places[0]

    def inputs(self, *messages: AccountInput, topic: Topic | None = None) -> tuple[int, int]:
        """Send account inputs to the topics they belong to; return where the last one lies."""
        place = (-1, -1)
        for message in messages:
            place = self.send_now(
                topic or topic_of(message), message.account.encode(), msgspec.json.encode(message)
            )
        return place

    def prices(self, message: Mark | MarkBatch, key: str) -> None:
        """Queue one price record."""
        self.send("prices", key.encode(), msgspec.json.encode(message))

    def flush(self) -> None:
        """Wait until Kafka acknowledged everything."""
        assert self._producer.flush(FLUSH_S) == 0, f"Kafka did not take everything within {FLUSH_S:g} s"
        self.check()

    def poll(self) -> None:
        """Serve delivery reports."""
        self._producer.poll(0)

    def check(self) -> None:
        """Fail if Kafka refused anything."""
        assert not self._errors, self._errors[:3]

    def _delivered(self, error: Any, message: Any) -> None:
        if error is not None:
            self._errors.append(f"{message.topic()}: {error}")


def topic_of(message: AccountInput) -> Topic:
    """The topic a message belongs to; a `Resume` goes to either, so it must be said."""
    assert not isinstance(message, Resume), "say which topic the account is to resume in"
    return Topic.FILLS if isinstance(message, Fill) else Topic.LEDGER
