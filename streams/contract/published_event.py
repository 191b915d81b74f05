"""Reading an event topic as it is found: anybody who may write to it can have, and so can a newer edition.

A record is one of ours where its value is an event, its key names whom the event is about, its header `ce_id` is the event's id, and it
lies in the topic of the event's stream. An event that this edition cannot read, but that names itself in this way, has taken its number.
"""

from collections.abc import Mapping
from typing import NamedTuple

import msgspec

from engine.events.effects import RiskEvent, Stream
from engine.rejections import Rejection, RejectionCode
from engine.strict_decoding import UNREADABLE
from streams.contract.cloudevents import Event, read_event, subject

DETAIL_CHARACTERS_MAX = 200


class UnreadableEvent(NamedTuple):
    """An event of an account that a newer edition has said: only its number is known here."""

    account: str
    stream: Stream
    sequence: int
    id: str


class _Name(msgspec.Struct):
    """What every event of an account says of itself, in every edition."""

    id: str
    account: str
    sequence: int


_name_decoder = msgspec.json.Decoder(_Name)


def read_published(
    stream: Stream, key: bytes | None, value: bytes | None, headers: Mapping[str, bytes | None]
) -> Event | UnreadableEvent | Rejection:
    """What a record of the topic of `stream` says; a rejection where it is no event of ours."""
    event = decode_event(value)
    if isinstance(event, Rejection):
        named = _named(stream, value or b"")
        if named is None:
            return event
        return _strange(key, headers, named.account, named.id) or named
    if (event.stream if isinstance(event, RiskEvent) else Stream.MARGIN_EVENTS) is not stream:
        return Rejection(
            RejectionCode.WRONG_SHAPE, f"an event of type {event.type.value!r} is of another topic"
        )
    return _strange(key, headers, subject(event), event.id) or event


def decode_event(value: bytes | None) -> Event | Rejection:
    """The event that a record's value is; a rejection where it is none, or none that this edition knows."""
    if not value:
        return Rejection(RejectionCode.MALFORMED, "no value")
    try:
        return read_event(value)
    except msgspec.ValidationError as error:
        code, said = RejectionCode.WRONG_SHAPE, str(error)
    except UnicodeDecodeError as error:
        code, said = RejectionCode.NOT_UTF8, str(error)
    except (msgspec.DecodeError, RecursionError, ValueError, ArithmeticError) as error:
        code, said = RejectionCode.MALFORMED, str(error)
    return Rejection(code, said[:DETAIL_CHARACTERS_MAX])


def _named(stream: Stream, value: bytes) -> UnreadableEvent | None:
    try:
        name = _name_decoder.decode(value)
    except UNREADABLE:
        return None
    if name.sequence < 1 or name.id != f"{name.account}/{stream}/{name.sequence}":
        return None
    return UnreadableEvent(name.account, stream, name.sequence, name.id)


def _strange(
    key: bytes | None, headers: Mapping[str, bytes | None], about: str, event_id: str
) -> Rejection | None:
    if key != about.encode():
        return Rejection(RejectionCode.KEY_MISMATCH, f"the key is {key!r:.{DETAIL_CHARACTERS_MAX}}")
    if headers.get("ce_id") != event_id.encode():
        said = f"the header ce_id is {headers.get('ce_id')!r:.{DETAIL_CHARACTERS_MAX}}"
        return Rejection(RejectionCode.WRONG_SHAPE, said)
    return None
