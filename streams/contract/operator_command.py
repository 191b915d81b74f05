"""What an operator tells the shards, on a topic of its own: who, why, and what of what the engine holds is to go on."""

import msgspec

from engine.inputs import Count, Name, TimeNs
from engine.rejections import Rejection
from streams.contract.codec import INPUT_BYTES_MAX, decode_bounded


class _Command(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    id: Name
    """A command acts once, however often it is sent."""
    who: Name
    """The person or the key that says so."""
    why: Name
    """The reason, kept with what was let go."""
    time_ns: TimeNs
    """When it was given: it concerns no opening that is later."""
    shard: Count | None = None
    """None: every shard."""


class BreakerRelease(_Command, frozen=True, tag="breaker_release", kw_only=True):
    """Judge everything that the breaker holds without the hold: liquidations are requested at the newest prices."""


class BreakerVoid(_Command, frozen=True, tag="breaker_void", kw_only=True):
    """Close the breaker and judge what it holds afresh; where that is still too much it opens again."""


OperatorCommand = BreakerRelease | BreakerVoid

_decoder = msgspec.json.Decoder(OperatorCommand)


def decode_operator_command(value: bytes | None) -> OperatorCommand | Rejection:
    """One record of the topic."""
    return decode_bounded(_decoder.decode, value, INPUT_BYTES_MAX)
