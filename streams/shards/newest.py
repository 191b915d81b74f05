"""What published events say of accounts, for a shard whose store was rewound behind them."""

from typing import NamedTuple

from engine.events.adl_events import AdlEvent
from engine.events.breaker_events import BreakerEvent
from engine.events.effects import RiskEvent, Stream
from engine.events.price_events import PriceEvent
from engine.ladder import SEVERITY, LadderState
from streams.contract.cloudevents import Event
from streams.contract.published_event import UnreadableEvent


class Told(NamedTuple):
    """What is kept of an event: some hundred bytes, where a plan may have thousands."""

    stream: Stream
    sequence: int
    ladder: LadderState
    age: tuple[int, int, int]


class Newest:
    """Of a stretch of published events: the newest of each pool, of the breaker and of each contract, and the highest sequence of each stream.

    It grows with accounts and their pools, and not with the events that were said of them.
    """

    def __init__(self) -> None:
        self.told: dict[str, dict[str, Told]] = {}
        """By account and pool."""
        self.sequences: dict[str, dict[Stream, int]] = {}
        """By account and stream."""
        self.void: dict[tuple[str, Stream], int] = {}
        """By account and stream: from this number on Redis counts events that are of a history which was given up."""
        self.before: dict[str, dict[str, tuple[tuple[int, int, int], LadderState]]] = {}
        """By account and pool: where it stood before the first of these events, and the age of that."""
        self.breaker: BreakerEvent | None = None
        """The newest of the shard's breaker."""
        self.adl: dict[str, AdlEvent] = {}
        """By contract the newest of its deleveraging risk."""

    def add(self, event: Event | UnreadableEvent) -> None:
        """Take one event; one that was published again after newer ones says nothing new.

        A stream is in order; between streams, which come one after the other, time decides, and at the same time the
        band: only getting worse takes effect at once. At the same time and band each plan or detail that was said leaves less due.
        """
        if isinstance(event, PriceEvent):
            return
        if isinstance(event, AdlEvent):
            known = self.adl.get(event.symbol)
            if known is None or event.sequence > known.sequence:
                self.adl[event.symbol] = event
            return
        if isinstance(event, BreakerEvent):
            if self.breaker is None or event.sequence > self.breaker.sequence:
                self.breaker = event
            return
        sequences = self.sequences.setdefault(event.account, {})
        if event.sequence <= sequences.get(event.stream, 0):
            return
        sequences[event.stream] = event.sequence
        pools = self.told.setdefault(event.account, {})
        if isinstance(event, RiskEvent):
            told = Told(event.stream, event.sequence, event.ladder, _age(event))
            before = pools.get(event.position or "")
            if before is None or before.stream is told.stream or told.age >= before.age:
                pools[event.position or ""] = told

    def withdraw(self, event: RiskEvent) -> None:
        """Redis was to publish this event, and it never is: its id has another meaning, or it follows from one whose id has."""
        place = event.account, event.stream
        self.void[place] = min(event.sequence, self.void.get(place, event.sequence))
        pools, pool = self.before.setdefault(event.account, {}), event.position or ""
        was = event.ladder_before
        age = event.time_ns, SEVERITY[was.band], -(was.plan_due + was.detail_due)
        if pool not in pools or age < pools[pool][0]:
            pools[pool] = age, was


def _age(event: RiskEvent) -> tuple[int, int, int]:
    ladder = event.ladder
    return event.time_ns, SEVERITY[event.band], -(ladder.plan_due + ladder.detail_due)
