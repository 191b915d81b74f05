"""Quotes that were refused and may still be where the market is.

A refused mark changes no price. But where a market has moved, and one symbol so far that its mark has to be confirmed, the prices in
force are a part of the move, and no hedged account may be judged on that. So the quote *waits*: while the verdict on a pool is
another at the quotes that wait than at the prices in force, the pool is left as it stands (`engine.events.pools`).

A quote waits until a mark of its symbol is believed, which confirms it or tells that the market is elsewhere. It waits for `WAITS_NS`
of event time at most since the first one was refused, however many follow: a feed that is never believed must not keep anybody from being
judged. Of a symbol without a price nothing waits: who hangs on it is degraded.
"""

from collections.abc import Mapping
from decimal import Decimal

from engine.inputs import Mark
from engine.marks.doubts import NANOSECONDS
from engine.rejections import RejectionCode

WAITS_NS = 10 * NANOSECONDS
"""As long as prices stay fresh by default; a jump is confirmed by three marks, which takes a slow feed some seconds."""

MAY_BE_NEWS = frozenset(
    {
        RejectionCode.JUMP_UNCONFIRMED,
        RejectionCode.FACT_JUMP_UNCONFIRMED,
        RejectionCode.FACT_OUT_OF_RANGE,
        RejectionCode.SEQUENCE_UNCONFIRMED,
        RejectionCode.FUTURE_DATED,
    }
)
"""Why a mark is refused whose price may be right. One with an old number is no news, and a price that is none says nothing."""


class WaitingQuotes:
    """Those of one mark book."""

    __slots__ = ("_since_ns", "prices")

    def __init__(self) -> None:
        """Nothing waits."""
        self._since_ns: dict[str, int] = {}
        """By symbol: when the first one was refused since a mark was believed."""
        self.prices: Mapping[str, Decimal] = {}
        """By symbol: the newest quote that waits. A new mapping whenever it changes."""

    def refuse(self, mark: Mark, code: RejectionCode, now_ns: int) -> None:
        """A mark of a symbol that has a price was refused at this event time."""
        if code not in MAY_BE_NEWS:
            return
        if now_ns - self._since_ns.setdefault(mark.symbol, now_ns) <= WAITS_NS:
            self.prices = {**self.prices, mark.symbol: mark.price}

    def believe(self, symbol: str) -> None:
        """A mark of this symbol was believed."""
        if self._since_ns.pop(symbol, None) is not None:
            self._end({symbol})

    def pass_time(self, now_ns: int) -> None:
        """Event time has come to `now_ns`."""
        if self.prices:
            self._end({it for it in self.prices if now_ns - self._since_ns[it] > WAITS_NS})

    def _end(self, symbols: set[str]) -> None:
        if not symbols.isdisjoint(self.prices):
            self.prices = {symbol: price for symbol, price in self.prices.items() if symbol not in symbols}
