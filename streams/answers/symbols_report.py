"""What `unimargin symbols show` says of each price symbol."""

from collections.abc import Iterable, Mapping
from decimal import Decimal

import msgspec

from engine.inputs import Mark
from engine.marks.doubts import NANOSECONDS, Doubt, doubt_of_age, stronger
from engine.marks.notices import Notice
from engine.marks.second_sources import Standing
from engine.policy import Policy
from engine.strict_decoding import UNREADABLE
from streams.answers.shelf import Shelf
from streams.config.problem import Problem
from streams.prices.symbol_beliefs import UNLISTED, LastRefusal, SymbolBelief


class SymbolView(msgspec.Struct, frozen=True, kw_only=True):
    """One price symbol as the workers saved it; a moment old."""

    symbol: str
    price: Decimal | None
    """In force; None where no mark was ever believed."""
    mark: Mark | None
    """The last believed one, with the price in force."""
    age_seconds: Decimal | None
    stale: bool
    doubt: Doubt | None
    """By age and by the second source together."""
    second_source: Standing | None
    """What was quoted, what the second source says, and since when they agree or do not."""
    refusal: LastRefusal | None
    """The newest refused mark."""
    notice: Notice | None
    """What happened last to the belief in it."""


async def read_symbols(shelf: Shelf, policy: Policy, now_ns: int) -> list[SymbolView]:
    """Every symbol at `now_ns`. Raises `Problem`."""
    marks = [mark for shard in range(await shelf.shard_count()) for mark in await shelf.marks(shard)]
    return symbol_views(marks, await shelf.beliefs(), policy, now_ns)


def symbol_views(
    marks: Iterable[Mark], beliefs: Mapping[str, bytes], policy: Policy, now_ns: int
) -> list[SymbolView]:
    """Every listed symbol, and one entry for all that are not where any was refused. Raises `Problem` for what cannot be read."""
    newest: dict[str, Mark] = {}
    for mark in sorted(marks, key=lambda it: (it.time_ns, it.epoch, it.sequence)):
        newest[mark.symbol] = mark
    symbols = [*policy.price_symbols, *([UNLISTED] if UNLISTED in beliefs else [])]
    return [_view(it, newest.get(it), _belief(it, beliefs.get(it)), policy, now_ns) for it in symbols]


def _view(symbol: str, mark: Mark | None, belief: SymbolBelief, policy: Policy, now_ns: int) -> SymbolView:
    check = policy.price_symbols.get(symbol)
    aged = None if mark is None or check is None else doubt_of_age(check, now_ns - mark.time_ns)
    source = belief.second_source
    return SymbolView(
        symbol=symbol,
        price=None if mark is None else mark.price,
        mark=mark,
        age_seconds=None if mark is None else Decimal(now_ns - mark.time_ns) / NANOSECONDS,
        stale=check is not None and (mark is None or aged is not None),
        doubt=stronger(aged, None if source is None else source.doubt),
        second_source=source,
        refusal=belief.refusal,
        notice=belief.notice,
    )


def _belief(symbol: str, data: bytes | None) -> SymbolBelief:
    if data is None:
        return SymbolBelief()
    try:
        return msgspec.json.decode(data, type=SymbolBelief)
    except UNREADABLE as error:
        raise Problem(f"what is known of {symbol!r} in Redis cannot be read: {error}") from None
