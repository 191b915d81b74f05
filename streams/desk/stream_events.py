"""What a record of an event topic is to a listener: its kind, whom it is about, and its bytes as the stream carries them."""

from enum import StrEnum
from typing import Any, NamedTuple

import msgspec

from engine.events.adl_events import AdlEvent
from engine.events.breaker_events import BreakerEvent
from engine.events.effects import RiskEvent, Stream
from engine.events.price_events import PriceEvent
from engine.rejections import Rejection
from streams.contract.published_event import decode_event


class StreamKind(StrEnum):
    """What a listener may choose among; the name of the server-sent event."""

    BAND = "band"
    """A pool entered a band or left one."""
    ACCOUNT = "account"
    """Anything else that is said of an account's margin."""
    LIQUIDATION = "liquidation"
    SYMBOL = "symbol"
    """Prices are doubted or can be trusted again: of a symbol, or of the whole feed."""
    BREAKER = "breaker"
    ADL = "adl"
    """A contract's risk of deleveraging changed its level."""


class StreamEvent(NamedTuple):
    """One event."""

    kind: StreamKind
    account: str | None
    stream: Stream
    sequence: int
    partition: int
    offset: int
    event: bytes
    """JSON, as it was published."""

    @property
    def data(self) -> bytes:
        """JSON on one line: where the record lies, and the event as it was published."""
        return msgspec.json.encode({
            "topic": self.stream.value,
            "partition": self.partition,
            "offset": self.offset,
            "event": msgspec.Raw(self.event),
        })  # fmt: skip


def stream_event(stream: Stream, record: Any) -> StreamEvent | None:
    """The event of a Kafka record; None for what this version cannot read."""
    value = record.value or b""
    event = decode_event(value)
    if isinstance(event, Rejection):
        return None
    kind, account = StreamKind.ACCOUNT, None
    match event:
        case RiskEvent():
            account = event.account
            if stream is Stream.LIQUIDATIONS:
                kind = StreamKind.LIQUIDATION
            elif event.band is not event.previous_band:
                kind = StreamKind.BAND
        case PriceEvent():
            kind = StreamKind.SYMBOL
        case BreakerEvent():
            kind = StreamKind.BREAKER
        case AdlEvent():
            kind = StreamKind.ADL
    return StreamEvent(kind, account, stream, event.sequence, record.partition, record.offset, value)
