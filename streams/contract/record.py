"""One record of an account topic, as it was read and as it was understood."""

from collections.abc import Sequence
from typing import NamedTuple

from engine.inputs import AccountInput
from engine.rejections import Rejection

NS_PER_MS = 1_000_000


def taken_in_ns(timestamp_ms: int | None) -> int:
    """From the time stamp that a log gave a record, which cuts the millisecond; a log that gives none says None or -1."""
    return 0 if timestamp_ms is None or timestamp_ms < 0 else (timestamp_ms + 1) * NS_PER_MS - 1


class Record(NamedTuple):
    """A raw Kafka record of one topic of the shard."""

    offset: int
    key: bytes | None
    value: bytes | None
    taken_in_ns: int = 0
    """The latest time at which it can have come into its log (Unix ns); 0 where nothing is known of that."""
    headers: Sequence[tuple[str, bytes | None]] = ()
    """Where who reads asks for them."""


class Decoded(NamedTuple):
    """A record with what its bytes say."""

    record: Record
    message: AccountInput | Rejection
