"""Outages: which symbols are out, told once each, and whether the whole feed is silent.

Rules
-----
* A symbol is out while its price is doubted (stale, or by a second source). It is told when that has lasted for
  `prices.outage_hold_seconds`, and told again when it has been certain for as long: a feed that stutters says nothing.
* The feed is silent when at least `prices.feed_stale_share` of the symbols that ever had a mark are stale. That is one fact and not
  one for each symbol, nor for each account: until it is over nobody is judged, and then everybody at once.
* Prices come again symbol by symbol, and half of a market judges nobody: a silence is over when at most 1 - `prices.feed_stale_share`
  of the symbols are still stale, and in any case `prices.feed_resume_seconds` after it was first not all of them.
Time is event time; symbols that never had a mark are not out.
"""

from enum import StrEnum

import msgspec

from engine.marks.doubts import NANOSECONDS, Doubt
from engine.marks.mark_book import Prices
from engine.policy import Policy


class OutageKind(StrEnum):
    """CloudEvents types."""

    FEED_STALE = "engine.feed_stale"
    """The feed is silent: nobody is judged."""
    FEED_RECOVERED = "engine.feed_recovered"
    """Prices come again: everybody has been judged at them."""
    SYMBOL_DEGRADED = "symbol.degraded"
    """A price symbol is out."""
    SYMBOL_RECOVERED = "symbol.recovered"
    """... and has fresh prices again."""


class OutageTurn(msgspec.Struct, frozen=True):
    """An outage begins or ends."""

    kind: OutageKind
    symbol: str
    """Empty for the feed."""
    since_ns: int
    """When it began: of a stale symbol, the time of its last mark."""
    time_ns: int
    symbols_stale: int
    symbols: int
    """That ever had a mark."""
    doubt: Doubt | None = None
    by_second_source: bool = False


class _Out(msgspec.Struct):
    since_ns: int
    turned_ns: int
    """When it was first seen as it is now: out, or certain again."""
    out: bool = True
    told: bool = False


class Outages:
    """Follows all symbols of one worker."""

    def __init__(self, policy: Policy) -> None:
        """Nothing is out."""
        self._symbols: dict[str, _Out] = {}
        self.rule_by(policy)
        self.silent_since_ns: int | None = None
        """Since when the feed is silent; None while it is not."""
        self._resuming_since_ns: int | None = None
        """Since when prices come again in a silence."""

    def rule_by(self, policy: Policy) -> None:
        """Go on by the rules of a policy; of what it does not list nothing more is told."""
        self._hold_ns = int(policy.prices.outage_hold_seconds * NANOSECONDS)
        self._resume_ns = int(policy.prices.feed_resume_seconds * NANOSECONDS)
        self._share = policy.prices.feed_stale_share
        self._symbols = {symbol: it for symbol, it in self._symbols.items() if symbol in policy.price_symbols}

    def is_silent(self, prices: Prices) -> bool:
        """Whether the feed is silent at these prices, which are not older than those of the last question."""
        stale, symbols = len(prices.aged), len(prices.marks)
        # stale symbols >= share * symbols
        gone = symbols > 0 and stale >= self._share * symbols
        if self.silent_since_ns is None or gone:
            self._resuming_since_ns = None
            return gone
        if self._resuming_since_ns is None:
            self._resuming_since_ns = prices.time_ns
        waited_ns = prices.time_ns - self._resuming_since_ns
        # stale symbols > (1 - share) * symbols
        return stale > (1 - self._share) * symbols and waited_ns < self._resume_ns

    def look(self, prices: Prices) -> list[OutageTurn]:
        """What has turned at these prices, which time has been passed to."""
        silent = self.is_silent(prices)
        turns = self._look_at_feed(prices, silent=silent)
        if not silent:
            for symbol in sorted({*prices.aged, *prices.sourced, *self._symbols}):
                turns += self._look_at(symbol, prices)
        return turns

    def _look_at_feed(self, prices: Prices, *, silent: bool) -> list[OutageTurn]:
        since_ns = self.silent_since_ns
        if silent is (since_ns is not None):
            return []
        if since_ns is None:
            self.silent_since_ns = max(mark.time_ns for mark in prices.marks.values())
            return [self._turn(OutageKind.FEED_STALE, "", self.silent_since_ns, prices)]
        self.silent_since_ns = None
        return [self._turn(OutageKind.FEED_RECOVERED, "", since_ns, prices)]

    def _look_at(self, symbol: str, prices: Prices) -> list[OutageTurn]:
        doubt, now_ns = prices.doubt(symbol), prices.time_ns
        known = self._symbols.get(symbol)
        if known is None:
            stale = symbol in prices.aged and symbol in prices.marks
            since_ns = prices.marks[symbol].time_ns if stale else now_ns
            self._symbols[symbol] = known = _Out(since_ns, now_ns)
        elif known.out is (doubt is None):
            known.out, known.turned_ns = doubt is not None, now_ns
        held = now_ns - known.turned_ns >= self._hold_ns
        if not known.out and (held or not known.told):
            del self._symbols[symbol]
            return (
                [self._turn(OutageKind.SYMBOL_RECOVERED, symbol, known.since_ns, prices)]
                if known.told
                else []
            )
        if known.out and held and not known.told:
            known.told = True
            return [self._turn(OutageKind.SYMBOL_DEGRADED, symbol, known.since_ns, prices)]
        return []

    @staticmethod
    def _turn(kind: OutageKind, symbol: str, since_ns: int, prices: Prices) -> OutageTurn:
        doubt, sourced = prices.doubt(symbol), symbol in prices.sourced
        return OutageTurn(
            kind, symbol, since_ns, prices.time_ns, len(prices.aged), len(prices.marks), doubt, sourced
        )
