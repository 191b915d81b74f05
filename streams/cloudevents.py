"""Risk events as Kafka records: CloudEvents 1.0 in binary mode, attributes in `ce_*` headers over JSON data.

An event becomes the same bytes and the same `ce_id` every time, so a consumer that remembers ids may see it
published twice without harm.
"""

from datetime import UTC, datetime

import msgspec

from engine.effects import RiskEvent
from streams.commit import OutboxEntry

NS_PER_S = 1_000_000_000


def headers(event: RiskEvent, source: str) -> tuple[tuple[str, bytes], ...]:
    """The record headers of `event`, said by `source` (a URI reference); values are UTF-8."""
    attributes = {
        "ce_specversion": "1.0",
        "ce_id": event.id,
        "ce_source": source,
        "ce_type": event.type.value,
        "ce_subject": event.account,
        "ce_time": rfc3339(event.time_ns),
        "ce_sequence": str(event.sequence),
        "content-type": "application/json",
    }
    return tuple((name, value.encode()) for name, value in attributes.items())


def outbox_entry(event: RiskEvent, partition: int, source: str) -> OutboxEntry:
    """The record of `event` in its stream's topic, in the partition of the shard that owns the account."""
    return OutboxEntry(
        topic=event.stream.value,
        partition=partition,
        key=event.account.encode(),
        value=msgspec.json.encode(event),
        headers=headers(event, source),
        event_type=event.type.value,
        cause_time_ns=event.cause_time_ns,
    )


def rfc3339(time_ns: int) -> str:
    """Unix nanoseconds as UTC text with all nine digits; `datetime` alone would drop the last three."""
    seconds, nanoseconds = divmod(time_ns, NS_PER_S)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{nanoseconds:09d}Z"
