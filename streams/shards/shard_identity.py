"""Which shard it is: its partition, its topics, whom it is home to, and the records that go out in its name. Pure."""

from collections.abc import Callable
from typing import NamedTuple

from engine.inputs import Topic
from engine.rejections import Rejection
from streams.contract.cloudevents import Event, outbox_entry
from streams.contract.commit import OutboxEntry
from streams.contract.quarantine_record import quarantine_entry
from streams.contract.record import Record


class ShardIdentity(NamedTuple):
    """Of one shard."""

    shard: int
    """Partition number, the same in all topics."""
    partition_of: Callable[[bytes], int]
    """By the key of a record."""
    topics: dict[Topic, str]
    """The Kafka topic of each input topic."""
    quarantine_topic: str
    source: str
    """A URI reference: who says its events."""

    def is_home_of(self, subject: str) -> bool:
        """Whether what is said of this subject, an account or something else, is this shard's to say."""
        return self.partition_of(subject.encode()) == self.shard

    def place(self, topic: Topic, offset: int) -> str:
        """Where an input lies, for people."""
        return f"{self.topics[topic]}/{self.shard}/{offset}"

    def said(self, event: Event) -> OutboxEntry:
        """The event as the shard publishes it."""
        return outbox_entry(event, self.shard, self.source)

    def quarantined(self, topic: str, record: Record, rejection: Rejection) -> OutboxEntry:
        """What keeps a record of the shard's partition that is refused."""
        return quarantine_entry(
            self.quarantine_topic, topic, self.shard, record.offset, record.key, record.value, rejection
        )
