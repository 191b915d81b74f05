"""What the engine says: events of an account's risk, each recomputable from the inputs and marks it names."""

from decimal import Decimal
from enum import StrEnum

import msgspec

from engine.ladder import Band, LadderState
from engine.ladder.outlook import Outlook
from engine.ladder.states import CallKind, Controls
from engine.ladder.table import EventType
from engine.ledger.accounts import Execution
from engine.liquidation.plan import LiquidationPlan
from engine.marks.doubts import Doubt
from engine.marks.instants import InstantName
from engine.numbers import ZERO

__all__ = [
    "LIQUIDATION_TYPES",
    "OTHER_STREAM",
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
    """Collateral priced by it counted 0."""
    doubt: Doubt | None = None
    """How far off it may have been; None where nothing was doubted, or nothing known."""
    volatility: Decimal | None = None
    funding_rate: Decimal | None = None
    average_price: Decimal | None = None
    confidence: Decimal | None = None
    open_interest: Decimal | None = None
    """This and the next four hold until another is stated: they may have come with an earlier mark."""
    deposits: Decimal | None = None
    borrows: Decimal | None = None
    potential_deposits: Decimal | None = None
    realisable_share: Decimal | None = None
    """Of all unrealised profits in the contract, what those who lose in it can pay, 0..1."""


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
    """What a desk asks first of a verdict; left out where one price moves very many accounts at once."""

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
    other_sequence: int = 0
    """Number of the account's newest event in the other topic when this one was said: what of it came before. So the events of both topics
    have one order, whatever becomes of clocks."""
    episode_id: str | None
    time_ns: int
    band: Band
    previous_band: Band
    entered: Band | None = None
    """The worse band that the pool entered with this event; None for every other event. One filter finds all who entered a band,
    wherever they came from: `margin-events` for warning, margin_call and reduce_only, `liquidations` for liquidation and bankrupt."""
    degraded: bool
    ladder: LadderState
    """The pool's state after the event."""
    ladder_before: LadderState = LadderState()
    controls: Controls = Controls.TRADE_AND_WITHDRAW
    """What the pool allows its account from now on; of all its pools the strictest holds."""
    call: CallKind = CallKind.NONE
    """How urgently collateral is asked for; `ladder.called` has the figures that the call began with."""
    deadline_ns: int | None = None
    """Until when a margin call is to be met; None without one."""
    outstanding: Decimal = ZERO
    """Collateral value missing to be rid of the call: to its exit line; 0 without one."""
    follows: tuple[Outlook, ...] = ()
    """What may happen next where nothing is done, and when."""
    ratio: Decimal | None
    equity: Decimal
    collateral_value: Decimal
    initial_margin: Decimal
    maintenance_margin: Decimal
    shortfall_to_call: Decimal
    shortfall_to_liquidation: Decimal
    marks: dict[str, MarkUsed]
    instant: InstantName | None = None
    """The instant of marks that it was judged at: the newest that the book had taken; None where marks came from no log."""
    inputs: InputOffsets
    policy_digest: str
    engine_version: str
    verdict: str | None = None
    """What comes behind a verdict (a plan, an explanation): id of the event that it gives the reasons of."""
    detail: Detail | None = None
    """Explanations only."""
    links: dict[str, str] = {}
    """Where to look further, by name (`policy.links`)."""
    liquidation_id: str | None = None
    """Liquidations: `account/pool/sequence` of the request that it is about; fills that execute it name it. None while no plan was
    made."""
    replaces: str | None = None
    """Requests: the older one of the pool whose remainder is void."""
    plan: LiquidationPlan | None = None
    """Requests: what is to be done, computed from `inputs`: a plan without the account's newest inputs is void."""
    executed: Execution | None = None
    """Progress: what fills have done of it."""
    cause_time_ns: int | None = None
    """Event time of the instant that triggered it; None when a fill, a ledger entry or the clock did."""
    breaker: int | None = None
    """Number of the opening of the shard's breaker that was in force; None while it was closed. `ladder.held_by` says whether it holds the pool."""

    @property
    def stream(self) -> Stream:
        """The topic this event belongs to."""
        return stream_of(self.type)


OTHER_STREAM = {
    Stream.MARGIN_EVENTS: Stream.LIQUIDATIONS,
    Stream.LIQUIDATIONS: Stream.MARGIN_EVENTS,
}

LIQUIDATION_TYPES = frozenset(
    {
        EventType.LIQUIDATION_ENTERED,
        EventType.LIQUIDATION_REQUESTED,
        EventType.LIQUIDATION_PROGRESSED,
        EventType.LIQUIDATION_FAILED,
        EventType.LIQUIDATION_COMPLETED,
        EventType.ACCOUNT_BANKRUPT,
    }
)


def stream_of(event_type: EventType) -> Stream:
    """The topic that events of this type belong to."""
    return Stream.LIQUIDATIONS if event_type in LIQUIDATION_TYPES else Stream.MARGIN_EVENTS


class AccountRisk(msgspec.Struct, frozen=True):
    """The durable side of the ladder for one account."""

    account: str
    pools: dict[str, LadderState] = {}
    """By pool: "" is the cross pool, a symbol an isolated position. Healthy, fresh pools are left out."""
    sequences: dict[Stream, int] = {}
    """Number of events said so far, by stream."""

    @property
    def held_pools(self) -> tuple[str, ...]:
        """Pools whose liquidation, or its next plan, the breaker holds."""
        return tuple(pool for pool, it in self.pools.items() if it.held_by is not None)
