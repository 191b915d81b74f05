"""What lies in the quarantine topic: each record as it was, where it was, and why it is here."""

import base64
from collections.abc import AsyncIterator, Callable
from typing import Any

import msgspec

from streams.config.settings import Settings
from streams.config.terminal import printable
from streams.contract.quarantine_record import CUT_FROM, EVENT_TYPE
from streams.kafka.topic_access import ConsumerRecord, find_places, header_texts, open_reader, read_to_end

FOREIGN = "foreign"
"""As reason: somebody else wrote to the quarantine topic."""


class Quarantined(msgspec.Struct, frozen=True):
    """A record as it was, where it was, and why it is here."""

    ce_id: str
    topic: str
    partition: int
    offset: int
    reason: str
    detail: str
    key: bytes | None
    value: bytes
    is_input: bool
    """Whether it is a record that was set aside, and no event or account."""
    cut: bool
    """Whether its bytes are not all here: they are where it came from."""

    def as_json(self) -> dict[str, Any]:
        """Bytes as base64, and as text for reading."""
        return {
            **{
                name: getattr(self, name)
                for name in ("ce_id", "topic", "partition", "offset", "reason", "detail")
            },
            "key": None if self.key is None else printable(self.key),
            "key_base64": None if self.key is None else base64.b64encode(self.key).decode(),
            "value": printable(self.value),
            "value_base64": base64.b64encode(self.value).decode(),
        }


async def quarantined(
    settings: Settings, begun: Callable[[int], Callable[[int], None]] | None = None
) -> AsyncIterator[Quarantined]:
    """Everything in quarantine, in the order of its log; what was published twice comes twice.

    `begun` is told how many offsets there are to read, and what it gives how many were read.
    """
    places = await find_places(settings, [settings.topic_quarantine])
    async with open_reader(settings) as consumer:
        done: Callable[[int], None] | None = None
        if begun is not None:
            starts, ends = (await consumer.beginning_offsets(places), await consumer.end_offsets(places))
            done = begun(sum(ends[place] - starts[place] for place in places))
        async for record in read_to_end(consumer, places):
            yield _read(record)
            if done is not None:
                done(1)


def _read(record: ConsumerRecord) -> Quarantined:
    headers = header_texts(record)
    try:
        return Quarantined(
            ce_id=headers["ce_id"],
            topic=headers["topic"],
            partition=int(headers["partition"]),
            offset=int(headers["offset"]),
            reason=headers["reason"],
            detail=headers["detail"],
            key=record.key,
            value=record.value or b"",
            is_input=headers["ce_type"] == EVENT_TYPE,
            cut=CUT_FROM in headers,
        )
    except (KeyError, ValueError):
        return Quarantined(
            ce_id=f"{record.topic}/{record.partition}/{record.offset}",
            topic=record.topic,
            partition=record.partition,
            offset=record.offset,
            reason=FOREIGN,
            detail="not written by a worker: it does not say which record it holds",
            key=record.key,
            value=record.value or b"",
            is_input=False,
            cut=False,
        )
