"""Accounts that the columns cannot express: why, and the figures of their shared pools when last judged."""

from collections import Counter
from collections.abc import Collection, Iterable
from itertools import islice
from typing import NamedTuple

import numpy as np

from engine.book.expressible import Reason
from engine.book.ragged import NOTHING, Array, grow
from engine.margin.figures import Figures

_LOOK = np.dtype([("equity", "f8"), ("collateral", "f8"), ("requirement", "f8"), ("maintenance", "f8")])
"""Figures of a shared pool, in account currency; a free place has zeros."""
_LOOKS_MIN = 64


class RoutedSums(NamedTuple):
    """What the routed accounts add to `port.Totals`."""

    below: Array
    """By edge: accounts with a requirement whose ratio is below it."""
    equity: float
    maintenance_margin: float


class Routed:
    """Routed accounts by number."""

    def __init__(self) -> None:
        """Nobody is routed."""
        self._reasons: dict[int, Reason] = {}
        self._counts: Counter[Reason] = Counter()
        self._looks: Array = np.zeros(_LOOKS_MIN, _LOOK)
        self._places: dict[int, int] = {}
        """Of each routed account that was ever looked at, among the looks."""
        self._free: list[int] = []
        """Places that nobody has any more."""
        self._unseen: set[int] = set()
        self._seen: dict[int, None] = {}
        """The others, those whose figures are oldest first."""

    def __contains__(self, number: int) -> bool:
        """Whether the account is routed."""
        return number in self._reasons

    @property
    def numbers(self) -> Collection[int]:
        """Every routed account."""
        return self._reasons.keys()

    @property
    def counts(self) -> dict[str, int]:
        """How many accounts are routed, by reason."""
        return {str(reason): count for reason, count in self._counts.items() if count}

    @property
    def unseen(self) -> list[int]:
        """Accounts whose figures are not those of a judgement since they, or all prices, changed."""
        return sorted(self._unseen)

    def oldest(self, count: int) -> list[int]:
        """Up to `count` accounts whose figures were computed longest ago."""
        return list(islice(self._seen, count))

    def classify(self, number: int, reason: Reason | None) -> None:
        """Take an account that changed: routed for this reason, or not."""
        before = self._reasons.pop(number, None)
        if before is not None:
            self._counts[before] -= 1
            self._unseen.discard(number)
            self._seen.pop(number, None)
            place = self._places.pop(number, None)
            if place is not None:
                self._looks[place] = 0
                self._free.append(place)
        if reason is not None:
            self._reasons[number] = reason
            self._counts[reason] += 1
            self._unseen.add(number)

    def forget(self) -> None:
        """Prices changed without judgements: no figures count any more."""
        self._unseen.update(self._reasons)
        self._seen.clear()

    def look(self, number: int, figures: Figures) -> None:
        """Keep the figures of a routed account's shared pool."""
        place = self._places.get(number)
        if place is None:
            place = self._places[number] = self._free.pop() if self._free else len(self._places)
            grow(self._looks, place + 1, NOTHING)
        self._unseen.discard(number)
        self._seen.pop(number, None)
        self._seen[number] = None
        self._looks[place] = (
            float(figures.equity),
            float(figures.collateral_value),
            float(figures.requirement),
            float(figures.maintenance_margin),
        )

    def equity(self, numbers: Iterable[int]) -> float:
        """Equity of these accounts' shared pools, of those that were ever looked at."""
        places = [self._places[number] for number in numbers if number in self._places]
        return float(self._looks["equity"][places].sum())

    def sums(self, edges: Array) -> RoutedSums:
        """What these accounts add to the totals."""
        looks = self._looks
        required = looks[looks["requirement"] > 0]
        counts = [np.count_nonzero(required["collateral"] < edge * required["requirement"]) for edge in edges]
        equity, maintenance = float(looks["equity"].sum()), float(looks["maintenance"].sum())
        return RoutedSums(np.array(counts, np.int64), equity, maintenance)
