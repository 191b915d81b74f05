"""What published events say of accounts, for a shard whose store was rewound behind them."""

from engine.effects import RiskEvent, Stream
from engine.ladder import SEVERITY


class Newest:
    """Of a stretch of published events: the newest of each pool, and the highest sequence of each stream."""

    def __init__(self) -> None:
        self.events: dict[str, dict[str, RiskEvent]] = {}
        """By account and pool."""
        self.sequences: dict[str, dict[Stream, int]] = {}
        """By account and stream."""

    def add(self, event: RiskEvent) -> None:
        """Take one event; one that was published again after newer ones says nothing new.

        A stream is in order; between streams, which come one after the other, time decides, and at the same time the
        band: only getting worse takes effect at once.
        """
        sequences = self.sequences.setdefault(event.account, {})
        if event.sequence <= sequences.get(event.stream, 0):
            return
        sequences[event.stream] = event.sequence
        pools = self.events.setdefault(event.account, {})
        before = pools.get(event.position or "")
        if before is None or before.stream is event.stream or _age(event) >= _age(before):
            pools[event.position or ""] = event


def _age(event: RiskEvent) -> tuple[int, int]:
    return event.time_ns, SEVERITY[event.band]
