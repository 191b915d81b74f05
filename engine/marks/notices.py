"""What the belief in prices has to say beside prices: refusals that name their mark, and notices of a symbol."""

from decimal import Decimal
from enum import StrEnum

import msgspec

from engine.inputs import Mark
from engine.rejections import Rejection, RejectionCode


class MarkRefusal(Rejection, frozen=True):
    """A refused mark: why, and which."""

    symbol: str = ""
    price: Decimal = Decimal(0)
    epoch: int = 0
    sequence: int = 0
    time_ns: int = 0
    received_ns: int = 0


class NoticeKind(StrEnum):
    """What has happened to the belief in a symbol."""

    JUMP_CONFIRMED = "jump_confirmed"
    FEED_EPOCH = "feed_epoch"
    """The feed said that it began anew."""
    FEED_RESTARTED = "feed_restarted"
    """... did not say so, and was recognised."""
    SEQUENCE_LEAPT = "sequence_leapt"
    """The feed goes on far ahead of where it was."""
    CLOCK_STEPPED_BACK = "clock_stepped_back"
    """The book's time lay ahead of any present time and was set back. Of no symbol."""
    SECOND_SOURCE_DIVERGED = "second_source_diverged"
    SECOND_SOURCE_AGREES = "second_source_agrees"


class Notice(msgspec.Struct, frozen=True):
    """One such thing."""

    kind: NoticeKind
    symbol: str
    """Empty where it is of no symbol."""
    time_ns: int
    """Event time."""
    detail: str


def refusal_of(mark: Mark, code: RejectionCode, detail: str, received_ns: int) -> MarkRefusal:
    """The refusal of a mark."""
    return MarkRefusal(
        code, detail, mark.symbol, mark.price, mark.epoch, mark.sequence, mark.time_ns, received_ns
    )
