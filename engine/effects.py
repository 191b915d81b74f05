"""What the engine says: events of an account's risk, each recomputable from the inputs and marks it names."""

from decimal import Decimal
from enum import StrEnum

import msgspec

from engine.ladder import Band, LadderState
from engine.liquidation.plan import LiquidationPlan


class Stream(StrEnum):
    """The two event topics; each numbers the events of an account on its own, without gaps."""

    MARGIN_EVENTS = "margin-events"
    LIQUIDATIONS = "liquidations"


class EventType(StrEnum):
    """CloudEvents types. `opened` starts an episode, `resolved` ends it."""

    WARNING_OPENED = "margin.warning.opened"
    WARNING_UPDATED = "margin.warning.updated"
    WARNING_RESOLVED = "margin.warning.resolved"
    CALL_OPENED = "margin.call.opened"
    CALL_ESCALATED = "margin.call.escalated"
    CALL_UPDATED = "margin.call.updated"
    CALL_RESOLVED = "margin.call.resolved"
    REDUCE_ONLY_OPENED = "margin.reduce_only.opened"
    REDUCE_ONLY_ESCALATED = "margin.reduce_only.escalated"
    REDUCE_ONLY_UPDATED = "margin.reduce_only.updated"
    REDUCE_ONLY_RESOLVED = "margin.reduce_only.resolved"
    LIQUIDATION_REQUESTED = "liquidation.requested"
    LIQUIDATION_COMPLETED = "liquidation.completed"
    ACCOUNT_BANKRUPT = "account.bankrupt"
    DEGRADED = "engine.degraded"
    RECOVERED = "engine.recovered"


class MarkUsed(msgspec.Struct, frozen=True, omit_defaults=True):
    """A price that entered the figures."""

    price: Decimal
    sequence: int
    time_ns: int
    stale: bool = False
    volatility: Decimal | None = None
    funding_rate: Decimal | None = None
    average_price: Decimal | None = None
    confidence: Decimal | None = None


class InputOffsets(msgspec.Struct, frozen=True):
    """The account's prefix: offset of its last applied input in each topic, -1 for none."""

    fills: int
    ledger: int


class RiskEvent(msgspec.Struct, frozen=True, kw_only=True):
    """One event. Amounts in account currency, exact; times in Unix ns of event time."""

    type: EventType
    id: str
    """`account/stream/sequence`: the same for every publication of this event."""
    account: str
    position: str | None
    """Symbol of the isolated position it is about; None for the cross pool."""
    sequence: int
    episode_id: str | None
    time_ns: int
    band: Band
    previous_band: Band
    degraded: bool
    ladder: LadderState
    """The pool's state after the event."""
    ratio: Decimal | None
    equity: Decimal
    collateral_value: Decimal
    initial_margin: Decimal
    maintenance_margin: Decimal
    shortfall_to_call: Decimal
    shortfall_to_liquidation: Decimal
    marks: dict[str, MarkUsed]
    inputs: InputOffsets
    policy_digest: str
    engine_version: str
    liquidation_id: str | None = None
    """`account/pool/sequence` of the request that the plan came with; fills that execute the plan name it."""
    plan: LiquidationPlan | None = None
    """Liquidations and bankruptcies: what is to be done. A newer one of the pool replaces it."""
    cause_time_ns: int | None = None
    """Event time of the mark that triggered it; None when a fill, a ledger entry or the clock did."""

    @property
    def stream(self) -> Stream:
        """The topic this event belongs to."""
        return Stream.LIQUIDATIONS if self.type in LIQUIDATION_TYPES else Stream.MARGIN_EVENTS


LIQUIDATION_TYPES = frozenset(
    {EventType.LIQUIDATION_REQUESTED, EventType.LIQUIDATION_COMPLETED, EventType.ACCOUNT_BANKRUPT}
)


class AccountRisk(msgspec.Struct, frozen=True):
    """The durable side of the ladder for one account."""

    account: str
    pools: dict[str, LadderState] = {}
    """By pool: "" is the cross pool, a symbol an isolated position. Healthy, fresh pools are left out."""
    sequences: dict[Stream, int] = {}
    """Number of events said so far, by stream."""
