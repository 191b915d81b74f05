"""What a replay is fed, and in which order.

Order
-----
Event time, then topic (fills, ledger, prices), partition, offset.

* Within a partition, or a file, nothing is reordered: what is dated before the record in front of it counts as dated like
  that one, and so does what cannot be read.
* Nothing counts as later than the log received it, so that one date far ahead does not hold back its whole partition.
  A record of marks has the date of its newest mark.
"""

import heapq
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from engine.inputs import Mark
from engine.rejections import Rejection
from streams.processor import Decoded

PRICES = "prices"
"""Name of the third kind of input beside those of `engine.inputs.Topic`."""
NOT_RECEIVED_NS = 2**63 - 1
"""Receipt of what no log received: no date is ahead of it."""


class Arrival(NamedTuple):
    """One record, decoded; the first four fields are its place in the order."""

    time_ns: int
    topic: str
    """A value of `Topic`, or `PRICES`; never the name of a topic on a broker."""
    partition: int
    offset: int
    body: Decoded | tuple[Mark, ...] | Rejection
    """An account input of fills or ledger with its bytes; of prices its marks, or why there are none."""
    received_ns: int = NOT_RECEIVED_NS
    where: str = ""
    """For people, where it is not topic/partition/offset."""

    @property
    def place(self) -> str:
        """Where to look for it."""
        return self.where or f"{self.topic}/{self.partition}/{self.offset}"


class Dates:
    """Gives the records of one partition dates that never go back."""

    def __init__(self) -> None:
        """Before the first record."""
        self._newest_ns = 0

    def next(self, body: Decoded | tuple[Mark, ...] | Rejection, received_ns: int) -> int:
        """The date that the next record counts with."""
        said_ns = said_time_ns(body)
        if said_ns is not None:
            self._newest_ns = max(self._newest_ns, min(said_ns, received_ns))
        return self._newest_ns


def said_time_ns(body: Decoded | tuple[Mark, ...] | Rejection) -> int | None:
    """The event time that a record states; None where it states none."""
    if isinstance(body, Decoded):
        return None if isinstance(body.message, Rejection) else body.message.time_ns
    if isinstance(body, Rejection):
        return None
    return max((mark.time_ns for mark in body), default=None)


def order(arrival: Arrival) -> tuple[int, str, int, int]:
    """Sort key."""
    return arrival[:4]


def merged(streams: Iterable[Iterable[Arrival]]) -> Iterator[Arrival]:
    """Several streams, each in order, as one; never more than one record of each is held."""
    return heapq.merge(*streams, key=order)
