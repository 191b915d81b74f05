"""What published events say of accounts, for a shard whose store was rewound behind them."""

from engine.events.adl_events import AdlEvent
from engine.events.breaker_events import BreakerEvent
from engine.events.effects import RiskEvent, Stream
from engine.events.price_events import PriceEvent
from engine.ladder import SEVERITY
from streams.contract.cloudevents import Event


class Newest:
    """Of a stretch of published events: the newest of each pool, of the breaker and of each contract, and the highest sequence of each stream."""

    def __init__(self) -> None:
        self.events: dict[str, dict[str, RiskEvent]] = {}
        """By account and pool."""
        self.sequences: dict[str, dict[Stream, int]] = {}
        """By account and stream."""
        self.breaker: BreakerEvent | None = None
        """The newest of the shard's breaker."""
        self.adl: dict[str, AdlEvent] = {}
        """By contract the newest of its deleveraging risk."""

    def add(self, event: Event) -> None:
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
        pools = self.events.setdefault(event.account, {})
        before = pools.get(event.position or "")
        if before is None or before.stream is event.stream or _age(event) >= _age(before):
            pools[event.position or ""] = event


def _age(event: RiskEvent) -> tuple[int, int, int]:
    ladder = event.ladder
    return event.time_ns, SEVERITY[event.band], -(ladder.plan_due + ladder.detail_due)
