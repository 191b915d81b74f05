"""Conflation: of the instants of a batch, judge only at those that a crossing of a line could show in.

Judged are, in order, the instants at which any symbol has its lowest or highest price of the batch, or the lowest or
highest of any other fact (`engine.marks.fact_checks.FACTS`), and the last. The others are joined to the next
that is judged (`engine.marks.instants.joined`), so what is judged always stood together.

What that keeps and what it loses
---------------------------------
* A figure that depends on one symbol alone is monotone in its price between the legs of a position, so whoever crosses a
  line within the batch crosses it at the lowest or the highest price: no such crossing is lost.
* An account of several symbols that crossed a line only at an instant at which none of them was at an extreme is not seen
  there; it is judged at the instants before and after, the batch's last always among them.
* The book of marks has seen every mark before: checks of sequence, date and jump are not conflated.
"""

from collections.abc import Iterable, Sequence
from decimal import Decimal

from engine.inputs import Mark
from engine.marks.fact_checks import facts_of, is_plain
from engine.marks.instants import Instant, joined


class _Extremes:
    """At which instants one symbol is to be judged, by their place in the batch."""

    __slots__ = ("facts", "high", "highest", "low", "lowest")

    def __init__(self, place: int, price: Decimal) -> None:
        self.lowest = self.highest = price
        self.low = self.high = place
        self.facts: dict[tuple[str, bool], tuple[Decimal, int]] = {}
        """By fact and whether the highest is meant: its value and place."""

    def add(self, place: int, price: Decimal) -> None:
        if price < self.lowest:
            self.lowest, self.low = price, place
        elif price > self.highest:
            self.highest, self.high = price, place

    def add_facts(self, place: int, mark: Mark) -> None:
        for name, value in facts_of(mark):
            lowest, highest = self.facts.get((name, False)), self.facts.get((name, True))
            if lowest is None or value < lowest[0]:
                self.facts[name, False] = value, place
            if highest is None or value > highest[0]:
                self.facts[name, True] = value, place

    def places(self) -> Iterable[int]:
        return (self.low, self.high, *(place for _, place in self.facts.values()))


def conflate(instants: Sequence[Instant]) -> list[Instant]:
    """The instants of a batch at which accounts are to be judged, in order, each with all that came up to it."""
    by_symbol: dict[str, _Extremes] = {}
    for place, instant in enumerate(instants):
        for mark in instant.marks:
            extremes = by_symbol.get(mark.symbol)
            if extremes is None:
                extremes = by_symbol[mark.symbol] = _Extremes(place, mark.price)
            else:
                extremes.add(place, mark.price)
            if not is_plain(mark):
                extremes.add_facts(place, mark)
    judged = {place for extremes in by_symbol.values() for place in extremes.places()}
    judged |= {len(instants) - 1} if instants else set()
    kept, begin = [], 0
    for place in sorted(judged):
        kept.append(joined(instants[begin : place + 1]))
        begin = place + 1
    return kept
