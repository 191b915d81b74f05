"""Where a pool stands: its band, and what of its episode must be remembered from one judgement to the next."""

from decimal import Decimal
from enum import StrEnum

import msgspec

from engine.accounts import Execution


class Band(StrEnum):
    """The states of a pool, from best to worst; their order is `SEVERITY`."""

    HEALTHY = "healthy"
    WARNING = "warning"
    MARGIN_CALL = "margin_call"
    REDUCE_ONLY = "reduce_only"
    LIQUIDATION = "liquidation"
    BANKRUPT = "bankrupt"


SEVERITY = {band: severity for severity, band in enumerate(Band)}


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
