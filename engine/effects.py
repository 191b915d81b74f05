"""What the engine says: events of an account's risk, each recomputable from the inputs and marks it names."""

from decimal import Decimal
from enum import StrEnum

import msgspec

from engine.accounts import Execution
from engine.ladder import Band, LadderState
from engine.ladder.table import EventType
from engine.liquidation.plan import LiquidationPlan

__all__ = [
    "LIQUIDATION_TYPES",
    "AccountRisk",
    "CollateralLine",
    "Contributor",
    "Detail",
    "EventType",
    "InputOffsets",
    "MarkUsed",
    "RiskEvent",
    "Stream",
]


class Stream(StrEnum):
    """The two event topics; each numbers the events of an account on its own, without gaps."""

    MARGIN_EVENTS = "margin-events"
    LIQUIDATIONS = "liquidations"


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


class Contributor(msgspec.Struct, frozen=True):
    """A position that the pool's trouble comes from; amounts in account currency."""

    key: str
    """Position key: the symbol, and the leg in hedge mode."""
    quantity: Decimal
    mark: Decimal
    unrealised_pnl: Decimal
    maintenance_margin: Decimal
    """Of the position by itself, whatever offsets the pool's margin model knows."""
    liquidation_price: Decimal | None
    """Where the pool would stand on the liquidation line with every other price held, to 6 significant digits; None where no near price does."""


class CollateralLine(msgspec.Struct, frozen=True):
    """One asset of the pool."""

    asset: str
    amount: Decimal
    """Coins: wallet + unrealised P&L settled in it; < 0 is owed."""
    index: Decimal
    value: Decimal
    """What it counts, in account currency, after its haircut (< 0: what is owed)."""


class Detail(msgspec.Struct, frozen=True):
    """What a desk asks first of an event; left out where one price moves very many accounts at once."""

    distance_to_liquidation: Decimal | None
    """Move of the whole market (a fraction, to 0.0001) that reaches the liquidation line; a pool below it: that brings it back.
    None where no near move does."""
    contributors: tuple[Contributor, ...]
    """Positions with the largest maintenance margin + loss, largest first, at most `contents.CONTRIBUTORS_MAX`."""
    collateral: tuple[CollateralLine, ...]


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
    ladder_before: LadderState = LadderState()
    deadline_ns: int | None = None
    """Until when a margin call is to be met; None without one."""
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
    detail: Detail | None = None
    links: dict[str, str] = {}
    """Where to look further, by name (`policy.links`)."""
    liquidation_id: str | None = None
    """Liquidations and bankruptcies: `account/pool/sequence` of the request that it is about; fills that execute it name it."""
    replaces: str | None = None
    """Requests: the older one of the pool whose remainder is void."""
    plan: LiquidationPlan | None = None
    """Requests and bankruptcies: what is to be done, computed from `inputs`: a plan without the account's newest inputs is void."""
    executed: Execution | None = None
    """Progress: what fills have done of it."""
    cause_time_ns: int | None = None
    """Event time of the mark that triggered it; None when a fill, a ledger entry or the clock did."""

    @property
    def stream(self) -> Stream:
        """The topic this event belongs to."""
        return Stream.LIQUIDATIONS if self.type in LIQUIDATION_TYPES else Stream.MARGIN_EVENTS


LIQUIDATION_TYPES = frozenset(
    {
        EventType.LIQUIDATION_REQUESTED,
        EventType.LIQUIDATION_PROGRESSED,
        EventType.LIQUIDATION_FAILED,
        EventType.LIQUIDATION_COMPLETED,
        EventType.ACCOUNT_BANKRUPT,
    }
)


class AccountRisk(msgspec.Struct, frozen=True):
    """The durable side of the ladder for one account."""

    account: str
    pools: dict[str, LadderState] = {}
    """By pool: "" is the cross pool, a symbol an isolated position. Healthy, fresh pools are left out."""
    sequences: dict[Stream, int] = {}
    """Number of events said so far, by stream."""
