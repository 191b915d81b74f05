"""The breakers of all shards as they are told to programs: every amount a decimal, as everywhere, though the breaker sums floats."""

from collections.abc import Iterable
from decimal import Decimal
from typing import Any

import msgspec

from engine.inputs import Count
from engine.ladder.breaker import InputsTaken
from engine.marks.instants import InstantName
from engine.numbers import canonical, exact
from streams.answers.breaker_read import ShardBreaker


class StakeReport(msgspec.Struct, frozen=True, kw_only=True):
    """How much: of what is held, of a shard; in account currency."""

    accounts: int = 0
    open_interest: Decimal = Decimal(0)
    equity: Decimal = Decimal(0)


class MoveReport(msgspec.Struct, frozen=True, kw_only=True):
    """A price that took money from the condemned."""

    symbol: str
    before: Decimal
    """At the beginning of the window."""
    price: Decimal
    loss: Decimal
    """Of all condemned together, in account currency."""


class CauseReport(msgspec.Struct, frozen=True, kw_only=True):
    """What condemned too many."""

    kind: str
    """instant | batch | clock | start | void | window: see the contract of the topics."""
    time_ns: int
    instant: InstantName | None = None
    """The instant of marks that it ended with; null for others."""
    symbols: tuple[MoveReport, ...] = ()
    """The prices that took most from the condemned."""
    inputs: tuple[InputsTaken, ...] = ()


class HeldReport(msgspec.Struct, frozen=True, kw_only=True):
    """One of the largest pools that were held."""

    account: str
    position: str | None
    open_interest: Decimal
    equity: Decimal


class OpeningReport(msgspec.Struct, frozen=True, kw_only=True):
    """Why the breaker opened."""

    number: int
    """Counts the openings of the shard, from 1."""
    cause: CauseReport
    limit: str
    """The share that was exceeded most: accounts | open_interest | equity."""
    share: Decimal
    share_max: Decimal
    condemned: StakeReport
    """By the cause, those included whose liquidation had been requested within the window."""
    of: StakeReport
    """The whole shard."""
    worst: tuple[HeldReport, ...]
    """The largest of the held, by open interest."""


class CondemnedReport(msgspec.Struct, frozen=True, kw_only=True):
    """What one second of event time has condemned and was not held."""

    second: int
    stake: StakeReport
    inputs: tuple[InputsTaken, ...] = ()


class StateReport(msgspec.Struct, frozen=True, kw_only=True):
    """The breaker itself."""

    openings: Count = 0
    opening: OpeningReport | None = None
    """While it is open."""
    released: int = 0
    """The newest opening that an operator released."""
    held: StakeReport = StakeReport()
    window: tuple[CondemnedReport, ...] = ()
    sequence: int = 0
    """Number of events said."""
    commands: tuple[str, ...] = ()
    """Ids of operators' commands that were taken, oldest first."""


class BreakerReport(msgspec.Struct, frozen=True, kw_only=True):
    """The breaker of one shard."""

    shard: int
    open: bool
    state: StateReport


def breaker_reports(breakers: Iterable[ShardBreaker]) -> tuple[BreakerReport, ...]:
    """What is told of them."""
    with exact():
        told = [_in_decimals(msgspec.to_builtins(it)) for it in breakers]
    return tuple(msgspec.convert(it, BreakerReport) for it in told)


def _in_decimals(value: Any) -> Any:
    match value:
        case float():
            return canonical(Decimal(repr(value)))
        case dict():
            return {name: _in_decimals(it) for name, it in value.items()}
        case list() | tuple():
            return [_in_decimals(it) for it in value]
        case _:
            return value
