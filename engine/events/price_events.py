"""What is said of prices: once for each outage of a symbol, or of the whole feed, with whom it concerns."""

import msgspec

from engine.edition import ENGINE_VERSION
from engine.events.effects import Stream
from engine.marks.outages import OutageKind, OutageTurn


class PriceEvent(msgspec.Struct, frozen=True, kw_only=True):
    """One event of a price symbol, or of the feed. Equity is for people: a float, in account currency."""

    type: OutageKind
    id: str
    """`symbol/NAME/margin-events/time_ns` (`feed/...`): the same for every publication. A worker that starts during an outage says it
    anew, with counts of its own."""
    outage: OutageTurn
    sequence: int
    """1 where the outage begins, 2 where it ends."""
    time_ns: int
    accounts: int
    """That hold the symbol, or collateral priced by it, in the shards that were counted; of the feed: all of them."""
    equity: float
    """Of their shared pools."""
    shards: tuple[int, ...]
    """Those that were counted: the shards of the worker that said it."""
    policy_digest: str
    engine_version: str = ENGINE_VERSION

    @property
    def subject(self) -> str:
        """Key and subject of the record."""
        return subject_of(self.outage.symbol)


def subject_of(symbol: str) -> str:
    """Key and subject of what is said of a symbol, or of the feed."""
    return f"symbol/{symbol}" if symbol else "feed"


def price_event(
    turn: OutageTurn, accounts: int, equity: float, shards: tuple[int, ...], policy_digest: str
) -> PriceEvent:
    """The event of an outage that began or ended."""
    begins = turn.kind in {OutageKind.FEED_STALE, OutageKind.SYMBOL_DEGRADED}
    number = 1 if begins else 2
    return PriceEvent(
        type=turn.kind,
        id=f"{subject_of(turn.symbol)}/{Stream.MARGIN_EVENTS}/{turn.time_ns}",
        outage=turn,
        sequence=number,
        time_ns=turn.time_ns,
        accounts=accounts,
        equity=equity,
        shards=shards,
        policy_digest=policy_digest,
    )
