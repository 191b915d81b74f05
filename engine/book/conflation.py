"""Conflation: of the marks of a batch only those that a crossing of a line could show in.

Kept of each symbol, in the order in which they came: the lowest and the highest price, the lowest and the highest of every
other fact (volatility, funding rate, average price, confidence), and the last mark.

What that keeps and what it loses
---------------------------------
* A figure that depends on one symbol alone is monotone in its price between the legs of a position, so whoever crosses a
  line within the batch crosses it at the lowest or the highest price: no such crossing is lost.
* An account of several symbols is judged at the kept marks only. A combination of two prices that stood for a moment
  between them, less extreme in each, is passed over; the batch's last prices are always judged.
* The book of marks has seen every mark before: checks of sequence, date and jump are not conflated.
"""

from collections.abc import Iterable, Sequence
from decimal import Decimal

from engine.inputs import Mark


class _Extremes:
    """Which marks of one symbol to keep, by their place in the batch."""

    __slots__ = ("facts", "high", "highest", "last", "low", "lowest")

    def __init__(self, place: int, price: Decimal) -> None:
        self.lowest = self.highest = price
        self.low = self.high = self.last = place
        self.facts: dict[tuple[str, bool], tuple[Decimal, int]] = {}
        """By fact and whether the highest is meant: its value and place."""

    def add(self, place: int, price: Decimal) -> None:
        if price < self.lowest:
            self.lowest, self.low = price, place
        elif price > self.highest:
            self.highest, self.high = price, place
        self.last = place

    def add_facts(self, place: int, mark: Mark) -> None:
        for name in ("volatility", "funding_rate", "average_price", "confidence"):
            value = getattr(mark, name)
            if value is None:
                continue
            lowest, highest = self.facts.get((name, False)), self.facts.get((name, True))
            if lowest is None or value < lowest[0]:
                self.facts[name, False] = value, place
            if highest is None or value > highest[0]:
                self.facts[name, True] = value, place

    def places(self) -> Iterable[int]:
        return (self.low, self.high, self.last, *(place for _, place in self.facts.values()))


def conflate(marks: Sequence[Mark]) -> list[Mark]:
    """The marks of a batch that are to be judged, in order."""
    by_symbol: dict[str, _Extremes] = {}
    for place, mark in enumerate(marks):
        extremes = by_symbol.get(mark.symbol)
        if extremes is None:
            extremes = by_symbol[mark.symbol] = _Extremes(place, mark.price)
        else:
            extremes.add(place, mark.price)
        if not (mark.volatility is mark.funding_rate is mark.average_price is mark.confidence is None):
            extremes.add_facts(place, mark)
    kept = {place for extremes in by_symbol.values() for place in extremes.places()}
    return [marks[place] for place in sorted(kept)]
