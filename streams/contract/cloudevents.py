"""Risk events as Kafka records: CloudEvents 1.0 in binary mode, attributes in `ce_*` headers over JSON data.

An event becomes the same bytes and the same `ce_id` every time, so a consumer that remembers ids may see it
published twice without harm.
"""

from collections.abc import Callable
from datetime import UTC, datetime

import msgspec

from engine.events.adl_events import AdlEvent, AdlEventType
from engine.events.breaker_events import BreakerEvent, BreakerEventType
from engine.events.effects import EventType, RiskEvent, Stream
from engine.events.price_events import PriceEvent
from engine.marks.outages import OutageKind
from streams.contract.commit import OutboxEntry

NS_PER_S = 1_000_000_000

Event = RiskEvent | BreakerEvent | PriceEvent | AdlEvent


class _Head(msgspec.Struct):
    type: str


_decoder = msgspec.json.Decoder(RiskEvent)
_head_decoder = msgspec.json.Decoder(_Head)
_DECODE_OTHER: dict[str, Callable[[bytes], BreakerEvent | PriceEvent | AdlEvent]] = {
    **{kind.value: msgspec.json.Decoder(BreakerEvent).decode for kind in BreakerEventType},
    **{kind.value: msgspec.json.Decoder(PriceEvent).decode for kind in OutageKind},
    **{kind.value: msgspec.json.Decoder(AdlEvent).decode for kind in AdlEventType},
}


def event_types() -> list[str]:
    """Every type of event that this version knows, as `ce_type` says it."""
    return [*(it.value for it in EventType), *_DECODE_OTHER]


def read_event(value: bytes) -> Event:
    """An event as its topic carries it. Raises `msgspec.DecodeError` or `UnicodeDecodeError` for anything else."""
    try:
        return _decoder.decode(value)
    except msgspec.ValidationError:
        decode = _DECODE_OTHER.get(_head_decoder.decode(value).type)
        if decode is None:
            raise
        return decode(value)


def read_risk_event(value: bytes) -> RiskEvent | None:
    """An event of an account; None for one of a breaker, of prices or of a deleveraging risk. Raises as `read_event`."""
    event = read_event(value)
    return event if isinstance(event, RiskEvent) else None


def headers(event: Event, source: str) -> tuple[tuple[str, bytes], ...]:
    """The record headers of `event`, said by `source` (a URI reference); values are UTF-8."""
    attributes = {
        "ce_specversion": "1.0",
        "ce_id": event.id,
        "ce_source": source,
        "ce_type": event.type.value,
        "ce_subject": subject(event),
        "ce_time": rfc3339(event.time_ns),
        "ce_sequence": str(event.sequence),
        "content-type": "application/json",
    }
    return tuple((name, value.encode()) for name, value in attributes.items())


def outbox_entry(event: Event, partition: int, source: str) -> OutboxEntry:
    """The record of `event` in its stream's topic, in the partition of the shard that owns the account."""
    stream = event.stream if isinstance(event, RiskEvent) else Stream.MARGIN_EVENTS
    return OutboxEntry(
        topic=stream.value,
        partition=partition,
        key=subject(event).encode(),
        value=msgspec.json.encode(event),
        headers=headers(event, source),
        event_type=event.type.value,
        cause_time_ns=event.cause_time_ns if isinstance(event, RiskEvent) else None,
    )


def subject(event: Event) -> str:
    """Whom or what the event is about: the key of its record."""
    return event.account if isinstance(event, RiskEvent) else event.subject


def rfc3339(time_ns: int) -> str:
    """Unix nanoseconds as UTC text with all nine digits; `datetime` alone would drop the last three."""
    seconds, nanoseconds = divmod(time_ns, NS_PER_S)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{nanoseconds:09d}Z"
