"""A record that cannot be applied goes to the quarantine topic: original bytes, where it was, and why not.

What is longer than any valid input by far is cut, and the header `cut_from_bytes` says how long the value was: a record
as large as a broker takes (or far larger, once decompressed) would not fit again with its headers, and a record that
Kafka never takes would end every worker that tries. The whole of it is still in its own topic, at the place named.
"""

from engine.rejections import Rejection
from streams.contract.commit import OutboxEntry

EVENT_TYPE = "record.quarantined"

RECORD_BYTES_MAX = 1_000_000
"""Of key and value together: leaves 48 kB for headers under Kafka's default limit of 1,048,588 bytes a batch."""
DETAIL_CHARACTERS_MAX = 1000
"""It may quote a key, which may be as long as a record."""


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
        "detail": rejection.detail[:DETAIL_CHARACTERS_MAX],
    }
    kept_key = None if key is None else key[:RECORD_BYTES_MAX]
    kept_value = (value or b"")[: RECORD_BYTES_MAX - len(kept_key or b"")]
    if value is not None and len(kept_value) < len(value):
        headers["cut_from_bytes"] = str(len(value))
    return OutboxEntry(
        topic=quarantine_topic,
        partition=0,
        key=kept_key,
        value=kept_value,
        headers=tuple((name, text.encode()) for name, text in headers.items()),
        event_type=EVENT_TYPE,
    )
