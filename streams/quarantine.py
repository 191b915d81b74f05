"""A record that cannot be applied goes to the quarantine topic: original bytes, where it was, and why not."""

from engine.rejections import Rejection
from streams.commit import OutboxEntry

EVENT_TYPE = "record.quarantined"


def quarantine_entry(
    quarantine_topic: str,
    topic: str,
    partition: int,
    offset: int,
    key: bytes | None,
    value: bytes | None,
    rejection: Rejection,
) -> OutboxEntry:
    """The outbox entry that preserves the record; its id is its place, so repeats carry the same id."""
    headers = {
        "ce_specversion": "1.0",
        "ce_id": f"{topic}/{partition}/{offset}",
        "ce_type": EVENT_TYPE,
        "ce_source": f"/unimargin/{topic}/{partition}",
        "topic": topic,
        "partition": str(partition),
        "offset": str(offset),
        "reason": rejection.code,
        "detail": rejection.detail,
    }
    return OutboxEntry(
        topic=quarantine_topic,
        partition=0,
        key=key,
        value=value or b"",
        headers=tuple((name, text.encode()) for name, text in headers.items()),
        event_type=EVENT_TYPE,
    )
