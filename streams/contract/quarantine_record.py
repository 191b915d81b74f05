"""A record that cannot be applied goes to the quarantine topic: original bytes, where it was, and why not.

What is longer than any valid input by far is cut, and the header `cut_from_bytes` says how long the value was: a record
as large as a broker takes (or far larger, once decompressed) would not fit again with its headers, and a record that
Kafka never takes would end every worker that tries. The whole of it is still in its own topic, at the place named.
"""

import msgspec

from engine.rejections import Rejection
from streams.contract.commit import OutboxEntry

EVENT_TYPE = "record.quarantined"
CUT_FROM = "cut_from_bytes"
"""The header of a record that was cut: how long its value was."""
REFUSED_TYPE = "event.refused"
"""An event that Kafka does not take, which has no offset."""
STOPPED_TYPE = "account.stopped"
"""Not of a record that was set aside: of an account that is stopped although nothing was wrong with its inputs."""

RECORD_BYTES_MAX = 1_000_000
"""Of key and value together: leaves 48 kB for headers under Kafka's default limit of 1,048,588 bytes a batch."""
PLACE_KEY_BYTES_MAX = 1024
"""Longer than any account's name."""
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
    return _entry(
        quarantine_topic,
        EVENT_TYPE,
        f"{topic}/{partition}/{offset}",
        (topic, partition, offset),
        key,
        value,
        rejection,
    )


def stopped_entry(
    quarantine_topic: str, last_input: tuple[str, int, int], account: str, state: bytes, rejection: Rejection
) -> OutboxEntry:
    """The outbox entry that says that the account is stopped at its `last_input` (topic, partition, offset), with what it was then."""
    place = "/".join(map(str, last_input))
    return _entry(
        quarantine_topic,
        STOPPED_TYPE,
        f"{account}/stopped/{place}",
        last_input,
        account.encode(),
        state,
        rejection,
    )


def refused_entry(quarantine_topic: str, entry: OutboxEntry, rejection: Rejection) -> OutboxEntry:
    """The outbox entry that preserves an event which Kafka does not take. What was quarantined itself loses its value: it is in its topic."""
    if entry.event_type in {EVENT_TYPE, STOPPED_TYPE, REFUSED_TYPE}:
        return place_only(entry)
    event_id = dict(entry.headers).get("ce_id", b"").decode(errors="backslashreplace")
    place = entry.topic, -1 if entry.partition is None else entry.partition, -1
    return _entry(
        quarantine_topic, REFUSED_TYPE, f"{event_id}/refused", place, entry.key, entry.value, rejection
    )


def place_only(entry: OutboxEntry) -> OutboxEntry:
    """What was quarantined without its bytes: they are in its own topic, at the place named."""
    headers = {CUT_FROM: str(len(entry.value)).encode(), **dict(entry.headers)}
    key = None if entry.key is None else entry.key[:PLACE_KEY_BYTES_MAX]
    return msgspec.structs.replace(entry, key=key, value=b"", headers=tuple(headers.items()))


def _entry(
    quarantine_topic: str,
    event_type: str,
    event_id: str,
    place: tuple[str, int, int],
    key: bytes | None,
    value: bytes | None,
    rejection: Rejection,
) -> OutboxEntry:
    topic, partition, offset = place
    headers = {
        "ce_specversion": "1.0",
        "ce_id": event_id,
        "ce_type": event_type,
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
        headers[CUT_FROM] = str(len(value))
    return OutboxEntry(
        topic=quarantine_topic,
        partition=0,
        key=kept_key,
        value=kept_value,
        headers=tuple((name, text.encode()) for name, text in headers.items()),
        event_type=event_type,
    )
