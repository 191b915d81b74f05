"""The newest events of both topics in memory, and where a stream stands in them.

A stream's place is where *each partition* stands, for that is what Kafka keeps: `0.12.7-4.0.3` are the next offsets of the partitions of
`margin-events`, then of `liquidations`. So an id that a client got from one process means the same to the next one, and to a replica.
The ring is bounded by a count of events. `floor` says below which offset it holds nothing of a partition: a place below that cannot be
resumed, and the client is told to load everything anew.
"""

import re
from collections import deque
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from streams.desk.stream_events import StreamEvent

ID_CHARACTERS_MAX = 4096
_ID = re.compile(r"\d{1,19}(\.\d{1,19})*(-\d{1,19}(\.\d{1,19})*)*")


class Place(NamedTuple):
    """A partition of an event topic; `topic` is its number among the event topics."""

    topic: int
    partition: int


class Kept(NamedTuple):
    """One event, and the id that a client has when it got it."""

    place: Place
    offset: int
    id: str
    event: StreamEvent


class EventRing:
    """At most so many events, in the order in which they were read."""

    def __init__(self, events_max: int, counts: Sequence[int]) -> None:
        """`counts`: partitions of each event topic. Every partition stands at 0."""
        self._kept: deque[Kept] = deque()
        self._events_max, self._counts = events_max, tuple(counts)
        places = [Place(topic, it) for topic, count in enumerate(counts) for it in range(count)]
        self.next: dict[Place, int] = dict.fromkeys(places, 0)
        """Offset after the last record that was read."""
        self.floor: dict[Place, int] = dict.fromkeys(places, 0)
        """Below it nothing is held."""

    def begin(self, offsets: Mapping[Place, int]) -> None:
        """Say from where on the log is read."""
        self.next.update(offsets)
        self.floor.update(offsets)

    def add(self, place: Place, offset: int, event: StreamEvent | None) -> Kept | None:
        """Take the record at `offset`; None where it is no event that anybody is told, or known already."""
        if offset < self.next[place]:
            return None
        self.next[place] = offset + 1
        if event is None:
            return None
        kept = Kept(place, offset, self.id, event)
        self._kept.append(kept)
        if len(self._kept) > self._events_max:
            gone = self._kept.popleft()
            self.floor[gone.place] = gone.offset + 1
        return kept

    @property
    def id(self) -> str:
        """Where all partitions stand now."""
        return "-".join(
            ".".join(str(self.next[Place(topic, it)]) for it in range(count))
            for topic, count in enumerate(self._counts)
        )

    def since(self, event_id: str) -> list[Kept] | None:
        """What came after the place that `event_id` names; None where that cannot be told any more."""
        offsets = self._offsets(event_id)
        if offsets is None:
            return None
        for place, offset in offsets.items():
            # behind the end of the log: another log than the one that the id is from
            if not self.floor[place] <= offset <= self.next[place]:
                return None
        return [it for it in self._kept if it.offset >= offsets[it.place]]

    def of_account(self, account: str) -> list[Kept]:
        """All that are about the account, as they were read."""
        return [it for it in list(self._kept) if it.event.account == account]

    def _offsets(self, event_id: str) -> dict[Place, int] | None:
        if len(event_id) > ID_CHARACTERS_MAX or not _ID.fullmatch(event_id):
            return None
        parts = [part.split(".") for part in event_id.split("-")]
        if tuple(map(len, parts)) != self._counts:
            return None
        return {
            Place(topic, it): int(offset)
            for topic, part in enumerate(parts)
            for it, offset in enumerate(part)
        }
