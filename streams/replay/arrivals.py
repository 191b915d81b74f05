"""What a replay is fed, and in which order.

Order
-----
Event time, then topic (fills, ledger, operator, prices), partition, offset.

* Within a partition, or a file, nothing is reordered: what is dated before the record in front of it counts as dated like
  that one, and so does what cannot be read.
* Nothing counts as later than the log received it, so that one date far ahead does not hold back its whole partition.
  A record of marks has the date of its newest mark.
"""

import heapq
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from engine.inputs import Mark
from engine.marks.plausible_times import NOT_RECEIVED_NS, latest_of
from engine.rejections import Rejection
from streams.contract.operator_command import (
    AccountsResume,
    BreakerRelease,
    BreakerVoid,
    OperatorOutcome,
    OperatorRecord,
)
from streams.contract.record import Decoded

PRICES = "prices"
"""Name of the third kind of input beside those of `engine.inputs.Topic`."""
OPERATOR = "operator"
"""... and of the fourth."""


Body = Decoded | tuple[Mark, ...] | OperatorRecord | Rejection


class Arrival(NamedTuple):
    """One record, decoded; the first four fields are its place in the order."""

    time_ns: int
    topic: str
    """A value of `Topic`, `PRICES` or `OPERATOR`; never the name of a topic on a broker."""
    partition: int
    offset: int
    body: Body
    """An account input of fills or ledger with its bytes; of prices its marks, of the operators a command, or why there is none."""
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
        self.newest_ns = 0

    def next(self, body: Body, received_ns: int) -> int:
        """The date that the next record counts with."""
        said_ns = said_time_ns(body)
        if said_ns is not None:
            latest_ns = min(received_ns, latest_of(self.newest_ns) or NOT_RECEIVED_NS)
            if received_ns != NOT_RECEIVED_NS or said_ns <= latest_ns:
                self.newest_ns = max(self.newest_ns, min(said_ns, latest_ns))
        return self.newest_ns


def said_time_ns(body: Body) -> int | None:
    """The event time that a record states; None where it states none."""
    if isinstance(body, Decoded):
        return None if isinstance(body.message, Rejection) else body.message.time_ns
    if isinstance(body, Rejection | OperatorOutcome):
        return None
    if isinstance(body, BreakerRelease | BreakerVoid | AccountsResume):
        return body.time_ns
    return max((mark.time_ns for mark in body), default=None)


def order(arrival: Arrival) -> tuple[int, str, int, int]:
    """Sort key."""
    return arrival[:4]


def merged(streams: Iterable[Iterable[Arrival]]) -> Iterator[Arrival]:
    """Several streams, each in order, as one; never more than one record of each is held."""
    return heapq.merge(*streams, key=order)
