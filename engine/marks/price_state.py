"""What a book of accounts knows of prices, instant by instant: the marks, which are stale or doubted, and event time."""

from collections.abc import Iterable, Mapping
from decimal import Decimal

from engine.inputs import Mark
from engine.marks.doubts import Doubt, aged_with, doubt_of_age
from engine.marks.instants import Instant, InstantName
from engine.marks.mark_book import Prices
from engine.policy import Policy


class PriceState:
    """One view of prices; a batch of instants is taken step by step."""

    def __init__(self, policy: Policy) -> None:
        """No prices: every price symbol is stale."""
        self._checks = policy.price_symbols
        self.marks: dict[str, Mark] = {}
        self.stale = frozenset(policy.price_symbols)
        """Symbols by which collateral counts 0: never seen, or stale beyond the grace."""
        self.aged: Mapping[str, Doubt] = {}
        """Doubt in stale marks."""
        self.sourced: Mapping[str, Doubt] = {}
        """Doubt by second sources."""
        self.waiting: Mapping[str, Decimal] = {}
        """Quotes that wait beside the marks."""
        self.time_ns = 0
        """Event time."""
        self.instant: InstantName | None = None
        """What made the prices what they are; None before the first."""

    @property
    def prices(self) -> Prices:
        """For the exact judge; outdated by the next change."""
        return Prices(
            self.marks, self.stale, self.time_ns, self.instant, self.aged, self.sourced, self.waiting
        )

    def take(self, instant: Instant) -> set[str]:
        """Set all prices of an instant; the symbols in which the doubt has changed."""
        self.instant = instant.name
        self.time_ns = max(self.time_ns, instant.name.time_ns)
        changed = set()
        for mark in instant.marks:
            symbol = mark.symbol
            self.marks[symbol] = mark
            # a mark dated long ago is believed, and stale at once
            doubt = doubt_of_age(self._checks[symbol], self.time_ns - mark.time_ns)
            if self._age(symbol, doubt):
                changed.add(symbol)
        changed |= self.different(instant)
        if instant.doubts is not None:
            self.sourced = instant.doubts
        if instant.waiting is not None:
            self.waiting = instant.waiting
        return changed

    def take_certain(self, newest: Mapping[str, Mark], time_ns: int) -> None:
        """Set the newest marks of instants that change no doubt."""
        self.marks |= newest
        self.time_ns = max(self.time_ns, time_ns)

    def different(self, instant: Instant) -> set[str]:
        """The symbols in which the second sources change their doubt with this instant, or of which other quotes wait."""
        changed = set() if instant.doubts is None else _different(self.sourced, instant.doubts)
        return changed if instant.waiting is None else changed | _different(self.waiting, instant.waiting)

    def pass_time(self, prices: Prices) -> set[str]:
        """Move event time, and take what has become stale and what waits; the symbols in which the doubt has changed."""
        stale, aged, waiting = prices.stale, prices.aged, prices.waiting
        self.time_ns = max(self.time_ns, prices.time_ns)
        changed = {symbol for symbol in stale ^ self.stale if symbol in self._checks}
        changed |= _different(self.aged, aged) | _different(self.waiting, waiting)
        self.stale, self.aged, self.waiting = stale, aged, waiting
        return changed

    def prime(self, marks: Iterable[Mark], prices: Prices) -> None:
        """Take these marks, and of `prices` all else."""
        self.marks |= {mark.symbol: mark for mark in marks}
        self.time_ns = max(self.time_ns, prices.time_ns)
        self.stale, self.aged, self.sourced = prices.stale, prices.aged, prices.sourced
        self.waiting = prices.waiting
        self.instant = prices.instant

    def _age(self, symbol: str, doubt: Doubt | None) -> bool:
        """Whether this doubt in the age of the symbol's new mark is another than before."""
        stale, aged = self.stale, self.aged
        self.stale, self.aged = aged_with(stale, aged, symbol, doubt)
        return self.stale is not stale or self.aged is not aged


def _different(before: Mapping[str, object], after: Mapping[str, object]) -> set[str]:
    return {symbol for symbol in before.keys() | after.keys() if before.get(symbol) != after.get(symbol)}
