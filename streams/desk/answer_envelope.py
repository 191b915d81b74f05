"""What stands around every answer: when it was computed, from what, and under which rules."""

from typing import Generic, NamedTuple, TypeVar

import msgspec

from engine.events.effects import InputOffsets

_T = TypeVar("_T")


class Answer(msgspec.Struct, Generic[_T], frozen=True, kw_only=True):
    """An answer. Amounts are strings with every digit; names that end in `_ns` are Unix nanoseconds."""

    evaluated_at: str
    """When it was computed."""
    read_at: str
    """When the copy that it was computed from last agreed with Redis."""
    instant: str | None
    """Event time of the newest mark that it was computed at; null where no mark is known."""
    inputs: dict[str, InputOffsets]
    """By shard: every input up to these offsets is in it. Of an answer about one account exactly that account's last ones. -1 for none."""
    policy: str
    policy_digest: str
    """Of the policy that it was computed under."""
    data: _T


class Page(msgspec.Struct, Generic[_T], frozen=True, kw_only=True):
    """A part of a list."""

    items: tuple[_T, ...]
    next_cursor: str | None
    """Ask with it for what follows; null at the end."""
    total: int
    """Items of the whole list, as it is now."""
    complete: bool = True
    """Whether all that is known has a place in the list. After a start it takes seconds until everybody has; the unwell are first."""


class Basis(NamedTuple):
    """What an answer was computed from."""

    evaluated_ns: int
    read_ns: int
    instant_ns: int | None
    inputs: dict[str, InputOffsets]
