"""What is said of the risk that winners are deleveraged: once for each change of a contract's level, with the fund and what is to be taken of it."""

from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import NamedTuple

import msgspec

from engine.edition import ENGINE_VERSION
from engine.events.effects import Stream
from engine.liquidation.adl_risk import AdlLevel, AdlReason, AdlState, FundExposure, advance_adl, reason_of
from engine.policy import Policy


class AdlEventType(StrEnum):
    """CloudEvents types."""

    RISK_CHANGED = "symbol.adl_risk_changed"
    """The risk that holders of the contract who are in profit are closed by auto-deleveraging came to another level."""


class AdlEvent(msgspec.Struct, frozen=True, kw_only=True):
    """One event of a contract's deleveraging risk. Amounts in account currency, exact."""

    type: AdlEventType
    id: str
    """`adl/NAME/margin-events/sequence`: the same for every publication of this event."""
    symbol: str
    sequence: int
    """Counts the events of this contract, without gaps, from 1."""
    time_ns: int
    level: AdlLevel
    previous_level: AdlLevel
    reason: AdlReason
    exposure: FundExposure
    """What was known at the change."""
    shards: tuple[int, ...]
    """Those that were counted: all whose owners have told what their accounts leave unpaid, as they told it last."""
    state: AdlState
    """After the event."""
    policy_digest: str
    engine_version: str = ENGINE_VERSION

    @property
    def subject(self) -> str:
        """Key and subject of the record."""
        return adl_subject(self.symbol)


class AdlChanges(NamedTuple):
    """What has become of some contracts."""

    states: dict[str, AdlState]
    """Of all of them of which there is anything to remember."""
    events: list[AdlEvent]


def adl_subject(symbol: str) -> str:
    """Key and subject of what is said of a contract's deleveraging risk."""
    return f"adl/{symbol}"


def adl_changes(
    states: Mapping[str, AdlState],
    exposures: Mapping[str, FundExposure],
    symbols: Iterable[str],
    shards: tuple[int, ...],
    now_ns: int,
    policy: Policy,
) -> AdlChanges:
    """The next states of these contracts at event time `now_ns`, and what is said of it. One that no fund pays for stays as it is."""
    after, events = dict(states), list[AdlEvent]()
    for symbol in symbols:
        exposure = exposures.get(symbol)
        if exposure is None:
            continue
        was = states.get(symbol, AdlState())
        now = advance_adl(was, exposure, now_ns, policy.deleveraging)
        if now == was:
            continue
        after[symbol] = now
        if now.level is not was.level:
            events.append(AdlEvent(
                type=AdlEventType.RISK_CHANGED,
                id=f"{adl_subject(symbol)}/{Stream.MARGIN_EVENTS}/{now.sequence}",
                symbol=symbol,
                sequence=now.sequence,
                time_ns=now_ns,
                level=now.level,
                previous_level=was.level,
                reason=reason_of(was, now, exposure),
                exposure=exposure,
                shards=shards,
                state=now,
                policy_digest=policy.digest,
            ))  # fmt: skip
    return AdlChanges(after, events)
