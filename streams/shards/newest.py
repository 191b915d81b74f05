"""What published events say of accounts, for a shard whose store was rewound behind them."""

from collections.abc import Mapping
from typing import NamedTuple

from engine.events.adl_events import AdlEvent
from engine.events.breaker_events import BreakerEvent
from engine.events.effects import AccountRisk, RiskEvent, Stream
from engine.events.lost_words import lost_words
from engine.events.price_events import PriceEvent
from engine.ladder import SEVERITY, Band, LadderState
from engine.policy import Policy
from streams.contract.cloudevents import Event
from streams.contract.published_event import UnreadableEvent


class Told(NamedTuple):
    """What is kept of an event: some hundred bytes, where a plan may have thousands."""

    stream: Stream
    sequence: int
    other_sequence: int
    ladder: LadderState
    age: tuple[int, int, int]

    def follows(self, other: "Told") -> bool:
        """Whether it was said after this other event of its account and pool.

        Their numbers tell. Where neither counts the other topic, an edition that did not has said both: then time decides, and at the same
        time the band: only getting worse takes effect at once. At the same time and band each plan or detail leaves less due.
        """
        if self.stream is other.stream:
            return self.sequence > other.sequence
        if not (self.other_sequence or other.other_sequence):
            return self.age >= other.age
        if self.stream is Stream.LIQUIDATIONS:
            return self.sequence > other.other_sequence
        return other.sequence <= self.other_sequence


class Newest:
    """Of a stretch of published events: the newest of each pool, of the breaker and of each contract, and the highest sequence of each stream.

    It grows with accounts and their pools, and not with the events that were said of them. `margin-events` are added before `liquidations`.
    """

    def __init__(self) -> None:
        self.told: dict[str, dict[str, Told]] = {}
        """By account and pool."""
        self.told_on_margin: dict[str, dict[str, Told]] = {}
        """The same of `margin-events` alone."""
        self.ahead: dict[str, list[RiskEvent]] = {}
        """By account, in order: events of `liquidations` said after all that `margin-events` has of it, but for those that leave their pool
        where the one before did, as `margin-events` shows it."""
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
        """Take one event; one that was published again after newer ones says nothing new."""
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
            self._tell(event, pools)

    def _tell(self, event: RiskEvent, pools: dict[str, Told]) -> None:
        pool, on_margin = event.position or "", self.told_on_margin.setdefault(event.account, {})
        told = Told(event.stream, event.sequence, event.other_sequence, event.ladder, _age(event))
        if event.stream is Stream.MARGIN_EVENTS:
            on_margin[pool] = told
        elif all(event.sequence > it.other_sequence for it in on_margin.values()):
            ahead = self.ahead.setdefault(event.account, [])
            last = next((it for it in reversed(ahead) if it.position == event.position), None)
            if last is None or _shown(last) != _shown(event):
                ahead.append(event)
        before = pools.get(pool)
        if before is None or told.follows(before):
            pools[pool] = told

    def lost(
        self, risk: AccountRisk, known: Mapping[Stream, int], highest: Mapping[Stream, int], policy: Policy
    ) -> list[RiskEvent]:
        """What `margin-events` lacks of what `liquidations` has told of an account, numbered on from `highest`.

        `risk` is the store's, and up to the numbers in `known` it is right.
        """
        was = {pool: ladder for pool, (_, ladder) in self.before.get(risk.account, {}).items()}
        stands, after = {**risk.pools, **was}, known.get(Stream.LIQUIDATIONS, 0)
        for pool, told in self.told_on_margin.get(risk.account, {}).items():
            if told.sequence > known.get(Stream.MARGIN_EVENTS, 0):
                stands[pool], after = told.ladder, max(after, told.other_sequence)
        words: list[RiskEvent] = []
        number = highest.get(Stream.MARGIN_EVENTS, 0) + 1
        for event in self.ahead.get(risk.account, ()):
            if event.sequence > after:
                before = stands.get(event.position or "", LadderState())
                words += lost_words(event, before, number + len(words), policy)
                stands[event.position or ""] = event.ladder
        return words

    def withdraw(self, event: RiskEvent) -> None:
        """Redis was to publish this event, and it never is: its id has another meaning, or it follows from one whose id has."""
        place = event.account, event.stream
        self.void[place] = min(event.sequence, self.void.get(place, event.sequence))
        pools, pool = self.before.setdefault(event.account, {}), event.position or ""
        was = event.ladder_before
        age = event.time_ns, SEVERITY[was.band], -(was.plan_due + was.detail_due)
        if pool not in pools or age < pools[pool][0]:
            pools[pool] = age, was


def _shown(event: RiskEvent) -> tuple[Band, bool]:
    """How a pool shows on `margin-events`."""
    return min(event.band, Band.REDUCE_ONLY, key=SEVERITY.__getitem__), event.degraded


def _age(event: RiskEvent) -> tuple[int, int, int]:
    ladder = event.ladder
    return event.time_ns, SEVERITY[event.band], -(ladder.plan_due + ladder.detail_due)
