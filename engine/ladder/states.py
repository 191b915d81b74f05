"""Where a pool stands: its band, and what of its episode must be remembered from one judgement to the next."""

from decimal import Decimal
from enum import StrEnum

import msgspec

from engine.ledger.accounts import Execution


class Band(StrEnum):
    """The states of a pool, from best to worst; their order is `SEVERITY`."""

    HEALTHY = "healthy"
    WARNING = "warning"
    MARGIN_CALL = "margin_call"
    REDUCE_ONLY = "reduce_only"
    LIQUIDATION = "liquidation"
    BANKRUPT = "bankrupt"


SEVERITY = {band: severity for severity, band in enumerate(Band)}


class Controls(StrEnum):
    """What an account may do, from most to least; `ladder.controls` says when."""

    TRADE_AND_WITHDRAW = "trade_and_withdraw"
    TRADE_ONLY = "trade_only"
    """Nothing leaves the account."""
    REDUCE_ONLY = "reduce_only"
    """... and no order opens a position or makes one larger."""
    LOCKED = "locked"
    """No order at all: the exchange acts, or somebody has to look into it."""


class CallKind(StrEnum):
    """How urgently collateral is asked for."""

    NONE = "none"
    STANDARD = "standard"
    """By the deadline, where there is one."""
    URGENT = "urgent"
    """The next line is that of liquidation, or it is crossed already."""
    AGED = "aged"
    """The deadline passed unmet."""


class Called(msgspec.Struct, frozen=True):
    """The figures that a call began with, in account currency."""

    time_ns: int
    outstanding: Decimal
    """Collateral value that was missing to the exit line of the call."""
    ratio: Decimal | None
    equity: Decimal
    collateral_value: Decimal
    maintenance_margin: Decimal


class Request(msgspec.Struct, frozen=True):
    """The liquidation that was asked for last and still runs."""

    liquidation_id: str
    fills: int
    ledger: int
    """Offsets of the account's inputs that its plan was computed from; -1 for none."""
    shortfall: Decimal
    """To the exit line when it was computed."""
    progress_ns: int
    """Event time of the last sign that somebody executes: the episode's first request, or the last fill for one."""
    execution: Execution | None = None
    """What of this or an older one had been executed when it was last spoken of."""
    failures: int = 0
    """Times that it failed without anybody having executed anything in between."""


class LadderState(msgspec.Struct, frozen=True):
    """Where one pool stands. Times are event time."""

    band: Band = Band.HEALTHY
    episode_id: str | None = None
    """Set from the opening event to the resolving one."""
    degraded: bool = False
    exit_since_ns: int | None = None
    """Since when the figures have been above the exit line; None while they are not."""
    deadline_ns: int | None = None
    """Until when a margin call is to be met; None without a call, or without a deadline in the policy."""
    expired: bool = False
    """The deadline passed unmet."""
    said_ns: int | None = None
    """When the episode was last spoken of."""
    said_shortfall: Decimal | None = None
    """What was then missing to leave the band."""
    checked_ns: int | None = None
    """When that was last compared with what is missing."""
    request: Request | None = None
    """Set while a liquidation runs."""
    held_by: int | None = None
    """Number of the opening of the shard's breaker (`ladder.breaker`) that keeps the pool out of a worse band, or from its next plan; None where
    none does."""
    degraded_until_ns: int | None = None
    """Until when doubt that was found is held; None without any, and while the account is stopped."""
    crossed_since_ns: int | None = None
    """Since when the pool has been below the liquidation line unconfirmed; None while it is not."""
    verdict_id: str | None = None
    """The event by which the pool last came into a worse band; None while it is healthy."""
    plan_due: bool = False
    """A plan is asked for and not made yet: plans come behind the verdict."""
    detail_due: bool = False
    """The verdict's detail is not said yet."""
    controls: Controls = Controls.TRADE_AND_WITHDRAW
    """What the pool allows its account; of all its pools the strictest holds (`ladder.controls`)."""
    call: CallKind = CallKind.NONE
    called: Called | None = None
    """Set while it is called."""
