"""Which topic a name stands for right now: its id and its number of partitions.

A topic that was deleted and made anew has the same name and another id. aiokafka asks for metadata in versions before there were ids, so
version 10 of the request is spelled out here. A broker that does not speak it (librdkafka's mock cluster) gives no id; the number of
partitions is all that is known of its topics, beside where their logs begin and end.
"""

from collections.abc import Mapping, Sequence
from io import BytesIO
from typing import Any, NamedTuple, Self
from uuid import UUID

from aiokafka import AIOKafkaConsumer
from aiokafka.errors import (
    IncompatibleBrokerVersion,
    NodeNotReadyError,
    UnknownTopicOrPartitionError,
    for_code,
)
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.types import (
    Boolean,
    CompactArray,
    CompactString,
    Int16,
    Int32,
    Schema,
    TaggedFields,
)

UUID_BYTES = 16
NO_ID = UUID(int=0)
NO_EXTRAS = (False,) * 3
"""No topic is made by being asked for, and nobody's rights are told."""


class TopicIdentity(NamedTuple):
    """What a topic is, beyond its name."""

    topic_id: str
    """"" where the broker gives none."""
    partitions: int

    def __str__(self) -> str:
        """As it is kept."""
        return f"{self.topic_id}/{self.partitions}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read what `str` wrote."""
        topic_id, _, partitions = text.rpartition("/")
        return cls(topic_id, int(partitions))


class _Uuid:
    """Sixteen bytes; aiokafka has no such type."""

    @staticmethod
    def encode(value: UUID) -> bytes:
        return value.bytes

    @staticmethod
    def decode(data: BytesIO) -> UUID:
        return UUID(bytes=data.read(UUID_BYTES))


class _Response(Response):  # type: ignore[misc]
    """The answer as bytes: it is compared with the last one, and read only where it differs."""

    API_KEY = 3
    API_VERSION = 10
    SCHEMA = Schema()
    BODY = Schema(
        ("throttle_time_ms", Int32),
        (
            "brokers",
            CompactArray(
                ("node_id", Int32),
                ("host", CompactString("utf-8")),
                ("port", Int32),
                ("rack", CompactString("utf-8")),
                ("tags", TaggedFields),
            ),
        ),
        ("cluster_id", CompactString("utf-8")),
        ("controller_id", Int32),
        (
            "topics",
            CompactArray(
                ("error_code", Int16),
                ("topic", CompactString("utf-8")),
                ("topic_id", _Uuid),
                ("is_internal", Boolean),
                (
                    "partitions",
                    CompactArray(
                        ("error_code", Int16),
                        ("partition", Int32),
                        ("leader", Int32),
                        ("leader_epoch", Int32),
                        ("replicas", CompactArray(Int32)),
                        ("isr", CompactArray(Int32)),
                        ("offline_replicas", CompactArray(Int32)),
                        ("tags", TaggedFields),
                    ),
                ),
                ("authorized_operations", Int32),
                ("tags", TaggedFields),
            ),
        ),
        ("cluster_authorized_operations", Int32),
        ("tags", TaggedFields),
    )

    body: bytes = b""

    @classmethod
    def decode(cls, data: BytesIO | bytes) -> Self:
        answer = cls()
        answer.body = data if isinstance(data, bytes) else data.read()
        return answer


class _Request(RequestStruct):  # type: ignore[misc]
    API_KEY = 3
    API_VERSION = 10
    FLEXIBLE_VERSION = True
    RESPONSE_TYPE = _Response
    SCHEMA = Schema(
        (
            "topics",
            CompactArray(
                ("topic_id", _Uuid),
                ("name", CompactString("utf-8")),
                ("tags", TaggedFields),
            ),
        ),
        ("allow_auto_topic_creation", Boolean),
        ("include_cluster_authorized_operations", Boolean),
        ("include_topic_authorized_operations", Boolean),
        ("tags", TaggedFields),
    )


class _Builder(Request[_Request]):  # type: ignore[misc]
    API_KEY = 3

    def __init__(self, topics: Sequence[str]) -> None:
        self._topics = topics

    def build(self, request_struct_class: type[_Request]) -> _Request:
        return request_struct_class([(NO_ID, it, {}) for it in self._topics], *NO_EXTRAS, {})


class TopicIdentities:
    """Asks one connection again and again."""

    def __init__(self, consumer: AIOKafkaConsumer, topics: Sequence[str]) -> None:
        """`consumer` is connected."""
        self._client, self._topics = consumer._client, topics  # noqa: SLF001 - it sends any request
        self._consumer = consumer
        self._answer = b""
        self._known: Mapping[str, TopicIdentity] = {}
        self._gives_ids = True

    async def now(self) -> Mapping[str, TopicIdentity]:
        """By topic name; one that does not exist has 0 partitions. Raises a KafkaError where the broker does not answer."""
        if self._gives_ids:
            try:
                return await self._asked()
            except (IncompatibleBrokerVersion, NotImplementedError):
                self._gives_ids = False
        counts = {it: len(self._consumer.partitions_for_topic(it) or ()) for it in self._topics}
        return {it: TopicIdentity("", count) for it, count in counts.items()}

    async def _asked(self) -> Mapping[str, TopicIdentity]:
        node = self._client.get_random_node()
        if node is None:
            raise NodeNotReadyError("no broker is known")
        answer: Any = await self._client.send(node, _Builder(self._topics))
        if answer.body != self._answer:
            self._known, self._answer = _read(answer.body), answer.body
        return self._known


def _read(body: bytes) -> dict[str, TopicIdentity]:
    *_, topics, _, _ = _Response.BODY.decode(BytesIO(body))
    found: dict[str, TopicIdentity] = {}
    for error_code, name, topic_id, _, partitions, *_ in topics:
        if error_code == UnknownTopicOrPartitionError.errno:
            found[name] = TopicIdentity("", 0)
            continue
        if error_code:
            raise for_code(error_code)(name)
        found[name] = TopicIdentity("" if topic_id == NO_ID else str(topic_id), len(partitions))
    return found
