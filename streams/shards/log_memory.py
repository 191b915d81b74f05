"""What a shard remembers of the logs that its accounts were built from, so that it never goes on with another one.

In Redis, beside the watermark of each topic: the id of the topic and its number of partitions. Looked at before anything is applied, and again
after every batch was read and before it is applied (`streams.shards.input_steps`), and every few seconds while nothing comes:

* another id: the topic was deleted and made anew. What Redis holds is a result of the one before, so its offsets say nothing of this one.
* another number of partitions: accounts lie in other partitions now, so that they would stand in two shards.
* the end is below the watermark, or the beginning above it: records are gone.

When a shard is taken over, a topic of which nothing was applied may be any topic; its number of partitions must fit all the same.
"""

from collections.abc import Mapping
from typing import Self

from engine.inputs import Topic
from streams.kafka.log_ends import LogLook
from streams.kafka.topic_identity import TopicIdentity
from streams.shards.shard_standing import ShardStopped


class LogMemory:
    """Of one shard. Every check raises ShardStopped with what does not fit."""

    def __init__(self, shard: int, topics: Mapping[Topic, str], partitions: int) -> None:
        """`partitions` is what accounts are assigned by."""
        self._shard, self._topics, self._partitions = shard, topics, partitions
        self._known: dict[Topic, TopicIdentity] = {}
        self._checked = False

    def load(self, stored: Mapping[str, str]) -> None:
        """Take what Redis has, by topic."""
        self._known = {Topic(topic): TopicIdentity.parse(text) for topic, text in stored.items()}

    def of(self, stored: Mapping[str, str]) -> Self:
        """One that remembers this of the same topics, and has compared nothing yet."""
        other = type(self)(self._shard, self._topics, self._partitions)
        other.load(stored)
        return other

    @property
    def stored(self) -> dict[str, str]:
        """What Redis is to have."""
        return {topic: str(identity) for topic, identity in self._known.items()}

    def check_layout(self, stored: Mapping[str, str]) -> None:
        """Compare with what another shard of the same topics remembers: a shard that is new may be one too many."""
        for topic, text in stored.items():
            before = TopicIdentity.parse(text).partitions
            if before != self._partitions:
                raise ShardStopped(self._recounted(Topic(topic), before, self._partitions))

    def check(self, look: LogLook, watermarks: Mapping[Topic, int]) -> None:
        """Compare with how the logs stand now; what fits is remembered."""
        for topic, name in self._topics.items():
            found, known = look.identities[topic], self._known.get(topic)
            counted = self._partitions if known is None else known.partitions
            if found.partitions != counted:
                raise ShardStopped(self._recounted(topic, counted, found.partitions))
            watermark, end = watermarks[topic], look.ends[topic]
            other = known and known.topic_id and found.topic_id and known.topic_id != found.topic_id
            if other and (watermark or self._checked):
                raise ShardStopped(
                    f"{name}/{self._shard}: the topic was made anew: Redis is at offset {watermark} of {self._id(topic)}, "
                    f"and it is {found.topic_id} now"
                )
            if watermark > end:
                raise ShardStopped(
                    f"{name}/{self._shard}: Redis is at offset {watermark}, the log ends at {end}"
                )
        self._checked = True
        self._known = {
            topic: TopicIdentity(found.topic_id or self._id(topic), found.partitions)
            for topic, found in look.identities.items()
        }

    def check_begins(self, begins: Mapping[Topic, int], watermarks: Mapping[Topic, int]) -> None:
        """Compare with where the logs begin."""
        for topic, begin in begins.items():
            if watermarks[topic] < begin:
                raise ShardStopped(
                    f"{self._topics[topic]}/{self._shard}: Redis needs the log from offset {watermarks[topic]}, which begins at {begin}"
                )

    def _id(self, topic: Topic) -> str:
        known = self._known.get(topic)
        return "" if known is None else known.topic_id

    def _recounted(self, topic: Topic, before: int, now: int) -> str:
        return f"{self._topics[topic]}/{self._shard}: the topic has {now} partitions, and had {before} when accounts were assigned to them"
