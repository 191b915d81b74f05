"""Is a published event what the engine says of the inputs and marks that it names? Pure.

The pool is put back to where the event says that it stood, and judged again at the event's own marks and time. Every
field of the event that comes out is compared with what was published, digit for digit, and then the bytes.
What one event cannot show is taken from it: the pool's state before, and the number that its ids show of the other stream. What comes
behind a verdict, a plan or a detail, is found again in the same way, from the inputs and marks that it names itself.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

from engine.edition import ENGINE_VERSION
from engine.events.dependencies import price_symbols_of
from engine.events.effects import AccountRisk, InputOffsets, MarkUsed, RiskEvent, Stream
from engine.events.judgement import Judgement, judge
from engine.events.pools import CROSS
from engine.events.reasons import BEHIND, reasons
from engine.inputs import Mark
from engine.ledger.accounts import AccountState
from engine.marks.mark_book import Prices
from engine.policy import Policy
from streams.contract.cloudevents import headers

_NOTHING = "nothing"
_FIGURES = (
    "ratio",
    "equity",
    "collateral_value",
    "initial_margin",
    "maintenance_margin",
    "shortfall_to_call",
    "shortfall_to_liquidation",
)
"""Compared first: what people look for."""


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """One field as it was published and as it was recomputed."""

    field: str
    published: str
    recomputed: str

    @property
    def matches(self) -> bool:
        """Whether both are the same, digit for digit."""
        return self.published == self.recomputed


class Published(msgspec.Struct, frozen=True, kw_only=True):
    """The record of an event, as it lies in its topic."""

    topic: str
    partition: int
    offset: int
    key: bytes
    value: bytes
    headers: dict[str, str]
    event: RiskEvent


def event_prices(event: RiskEvent, state: AccountState, policy: Policy) -> Prices:
    """The prices it was judged at: its own marks and their doubt; what it needed and does not name was never quoted."""
    needed = price_symbols_of(state, event.position or CROSS, policy)
    stale = {symbol for symbol in needed if symbol not in event.marks or event.marks[symbol].stale}
    marks = {symbol: _mark(symbol, used) for symbol, used in event.marks.items()}
    doubts = {symbol: used.doubt for symbol, used in event.marks.items() if used.doubt is not None}
    return Prices(marks, frozenset(stale), event.time_ns, event.instant, doubts)


def compared(record: Published, state: AccountState, policy: Policy) -> list[Comparison]:
    """Every field of the published event beside what the engine says at `state`; `policy` has the event's digest."""
    event = record.event
    found = [_inputs(event.inputs, state)]
    recomputed = _recomputed(event, state, policy)
    if recomputed is None:
        types = _types_said(event, state, policy)
        return [*found, _difference("type", event.type, ", ".join(types) or _NOTHING)]
    found += _fields(event, recomputed)
    found += _record(record, recomputed)
    return found


def said_by_another_engine(event: RiskEvent) -> bool:
    """Whether the version that published it is not the one that recomputes it."""
    return event.engine_version != ENGINE_VERSION


def _mark(symbol: str, used: MarkUsed) -> Mark:
    return Mark(
        symbol=symbol,
        price=used.price,
        sequence=used.sequence,
        time_ns=used.time_ns,
        volatility=used.volatility,
        funding_rate=used.funding_rate,
        average_price=used.average_price,
        confidence=used.confidence,
        open_interest=used.open_interest,
        deposits=used.deposits,
        borrows=used.borrows,
        potential_deposits=used.potential_deposits,
        realisable_share=used.realisable_share,
    )


def _inputs(named: InputOffsets, state: AccountState) -> Comparison:
    reached = InputOffsets(state.fills.offset, state.ledger.offset)
    return _difference("inputs", named, reached)


def _recomputed(event: RiskEvent, state: AccountState, policy: Policy) -> RiskEvent | None:
    """The event of this type and pool that the engine says; None where it says none."""
    first = _judged(event, dict.fromkeys(Stream, 0), state, policy)
    if first is None:
        return None
    # one judgement may say several events: the numbers of this one tell how many came before it
    return _judged(
        event, {stream: _number(event, stream) - _number(first, stream) for stream in Stream}, state, policy
    )


def _judged(
    event: RiskEvent, sequences: Mapping[Stream, int], state: AccountState, policy: Policy
) -> RiskEvent | None:
    judgement = _again(event, sequences, state, policy)
    said = (it for it in judgement.events if (it.type, it.position) == (event.type, event.position))
    return next(said, None)


def _again(
    event: RiskEvent, sequences: Mapping[Stream, int], state: AccountState, policy: Policy
) -> Judgement:
    """The account judged anew from where its pool stood, or the reasons that were due found anew."""
    risk = AccountRisk(event.account, {event.position or CROSS: event.ladder_before}, dict(sequences))
    prices = event_prices(event, state, policy)
    if event.type in BEHIND:
        return reasons(state, risk, prices, event.time_ns, policy, hold=event.breaker)
    return judge(
        state, risk, prices, event.time_ns, policy, event.cause_time_ns,
        detailed=event.ladder.detail_due, hold=event.breaker,
    )  # fmt: skip


def _types_said(event: RiskEvent, state: AccountState, policy: Policy) -> list[str]:
    """What the engine says of the pool instead."""
    judgement = _again(event, {}, state, policy)
    return [it.type.value for it in judgement.events if it.position == event.position]


def _number(event: RiskEvent, stream: Stream) -> int:
    """A number of the event in a stream: its own, or that of the event before it in the other one."""
    return event.sequence if stream is event.stream else event.other_sequence


def _fields(event: RiskEvent, recomputed: RiskEvent) -> list[Comparison]:
    names = [field.name for field in msgspec.structs.fields(RiskEvent)]
    ordered = [*_FIGURES, *(name for name in names if name not in _FIGURES)]
    return [
        _difference(name, getattr(event, name), getattr(recomputed, name))
        for name in ordered
        if name != "engine_version"
    ]


def _record(record: Published, recomputed: RiskEvent) -> Iterator[Comparison]:
    """Key, headers and bytes of the record; the bytes only say something where all that they hold is the same."""
    same_version = msgspec.structs.replace(recomputed, engine_version=record.event.engine_version)
    yield _difference("topic", record.topic, recomputed.stream)
    yield _difference("key", record.key.decode(errors="backslashreplace"), recomputed.account)
    wanted = dict(headers(same_version, record.headers.get("ce_source", "")))
    for name, value in wanted.items():
        yield _difference(f"header {name}", record.headers.get(name, _NOTHING), value.decode())
    whole = msgspec.json.encode(same_version)
    if record.value != whole and all(pair.matches for pair in _fields(record.event, recomputed)):
        yield _difference("bytes", record.value.decode(errors="backslashreplace"), whole.decode())


def mismatches(comparisons: Sequence[Comparison]) -> list[Comparison]:
    """Those that do not match."""
    return [pair for pair in comparisons if not pair.matches]


def _difference(field: str, published: Any, recomputed: Any) -> Comparison:
    return Comparison(field=field, published=_text(published), recomputed=_text(recomputed))


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    return msgspec.json.encode(value, order="deterministic").decode().strip('"')
