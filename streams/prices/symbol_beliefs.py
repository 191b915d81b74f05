"""What is known of each price symbol beside its price, for people: the newest refusal, the newest notice, its second source.

Bounded: one entry a listed symbol, and one for all that are not listed. What changed is kept in Redis once a second
(`streams.store.belief_store`), from where `unimargin symbols show` and `doctor` read it.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping

import msgspec
import structlog

from engine.marks.mark_book import MarkBook
from engine.marks.notices import MarkRefusal, Notice
from engine.marks.second_sources import Standing
from engine.policy import Policy
from engine.rejections import RejectionCode
from streams.store.redis_client import StoreUnavailable

UNLISTED = "unlisted"
"""Stands for every symbol that the policy does not list: a label and a key must not grow with what producers send."""
SAVE_SECONDS = 1.0
DETAIL_CHARACTERS_MAX = 300
NUMBER_CHARACTERS_MAX = 64
"""A refused price may have any number of digits."""

_log = structlog.get_logger()


class LastRefusal(msgspec.Struct, frozen=True):
    """The newest refused mark of a symbol."""

    reason: RejectionCode
    detail: str
    symbol: str
    price: str
    epoch: int
    sequence: int
    time_ns: int
    """Event time, as the mark states it."""
    received_ns: int
    refused: int
    """How many marks of the symbol the worker has refused since its start."""


class SymbolBelief(msgspec.Struct, frozen=True, omit_defaults=True):
    """What is known of a symbol beside its price."""

    refusal: LastRefusal | None = None
    notice: Notice | None = None
    second_source: Standing | None = None


class SymbolBeliefs:
    """The beliefs of one worker."""

    def __init__(self, symbols: Collection[str], marks: MarkBook) -> None:
        """`symbols` are the listed ones; `marks` is asked for second sources."""
        self._symbols, self._marks = frozenset(symbols), marks
        self._beliefs: dict[str, SymbolBelief] = {}
        self._unsaved: set[str] = set()

    def rule_by(self, policy: Policy) -> None:
        """Another policy is in force, which lists other symbols."""
        self._symbols = frozenset(policy.price_symbols)

    def label(self, symbol: str) -> str:
        """The symbol, or what stands for one that is not listed."""
        return symbol if symbol in self._symbols else UNLISTED

    def refuse(self, refusals: Iterable[MarkRefusal]) -> None:
        """Keep the newest refusal of each symbol."""
        for it in refusals:
            name = self.label(it.symbol)
            belief = self._beliefs.get(name, SymbolBelief())
            refusal = LastRefusal(
                it.code,
                it.detail[:DETAIL_CHARACTERS_MAX],
                it.symbol,
                str(it.price)[:NUMBER_CHARACTERS_MAX],
                it.epoch,
                it.sequence,
                it.time_ns,
                it.received_ns,
                1 if belief.refusal is None else belief.refusal.refused + 1,
            )
            self._beliefs[name] = msgspec.structs.replace(belief, refusal=refusal)
            self._unsaved.add(name)

    def tell(self, notice: Notice) -> None:
        """Keep the newest notice of its symbol; one of no symbol is for the log alone."""
        if notice.symbol:
            belief = self._beliefs.get(notice.symbol, SymbolBelief())
            self._beliefs[notice.symbol] = msgspec.structs.replace(belief, notice=notice)
            self._unsaved.add(notice.symbol)

    async def keep(self, save: Callable[[Mapping[str, bytes]], Awaitable[None]]) -> None:
        """Save what changed, again and again. While Redis is away it is kept here: nothing but a view depends on it."""
        while True:
            await asyncio.sleep(SAVE_SECONDS)
            changed = self.changed()
            if not changed:
                continue
            try:
                await save(changed)
            except StoreUnavailable as error:
                self._unsaved |= set(changed)
                _log.warning("symbol_beliefs_unsaved", error=str(error))

    def changed(self) -> dict[str, bytes]:
        """What changed since the last call, by symbol, encoded."""
        for symbol, standing in self._marks.standings.items():
            belief = self._beliefs.get(symbol, SymbolBelief())
            if belief.second_source != standing:
                self._beliefs[symbol] = msgspec.structs.replace(belief, second_source=standing)
                self._unsaved.add(symbol)
        unsaved, self._unsaved = self._unsaved, set()
        return {symbol: msgspec.json.encode(self._beliefs[symbol]) for symbol in sorted(unsaved)}
