"""What marks tell besides the price, as far as it moves figures: bands within which boxes hold.

Each symbol has a band around the facts of one of its marks. Boxes (`engine.book.boxes`) are computed for facts anywhere
in the bands; a mark that leaves its band gets a new one, and every box that counted on the old one ends.

    volatility      of an option: within `_VOLATILITY_WIDTH` of that of the mark
    funding rate    where it accrues: not larger than twice that of the mark, and a little
    average price   where assets are valued conservatively: within `_AVERAGE_WIDTH` of that of the mark
    confidence      where it costs margin: that of the mark
    realisable share
                    where no more of a profit counts: within `_SHARE_WIDTH` of that of the mark, and at most 1
A fact that appears or disappears leaves the band. Open interest has none, because it moves initial margin alone, which decides no band of
the ladder; nor have the totals of an asset, because who hangs on them has no box (`pool_swings`).
"""

from collections.abc import Iterable, Iterator, Sequence
from decimal import Decimal
from typing import Any

import msgspec

from engine.inputs import Mark
from engine.marks.instants import Instant
from engine.policy import Policy
from engine.policy.rules.policy_switches import InstrumentKind

_OPTION, _PERPETUAL = InstrumentKind.OPTION, InstrumentKind.PERPETUAL

_VOLATILITY_WIDTH = 0.02
_AVERAGE_WIDTH = 0.005
_SHARE_WIDTH = 0.01
_RATE_LEAST = 1e-5
"""A funding rate up to this changes no band: a tenth of what is usual for eight hours."""

Range = tuple[float, float]


class Band(msgspec.Struct, frozen=True):
    """Where the facts of one symbol's marks may be; None where the fact is missing or moves nothing."""

    volatility: Range | None = None
    funding_rate: Range | None = None
    average_price: Range | None = None
    confidence: Decimal | None = None
    realisable_share: Range | None = None


NO_FACTS = Band()


class Facts:
    """The bands of all symbols of one book, as of the marks it has walked."""

    def __init__(self, policy: Policy) -> None:
        """No mark was seen."""
        self._relevant = _relevant(policy)
        self._bands: dict[str, Band] = {}

    def band(self, symbol: str) -> Band:
        """The band of the symbol."""
        return self._bands.get(symbol, NO_FACTS)

    def take(self, marks: Iterable[Mark]) -> None:
        """Have the bands around these marks, whatever they were."""
        for mark in marks:
            if mark.symbol in self._relevant:
                self._bands[mark.symbol] = self._around(mark)

    def leaving(self, instants: Sequence[Instant], begin: int) -> int:
        """The first of `instants` from `begin` with a mark that leaves its band; their number when none has."""
        if self._relevant:
            for place in range(begin, len(instants)):
                if any(map(self.leaves, instants[place].marks)):
                    return place
        return len(instants)

    def leaves(self, mark: Mark) -> bool:
        """Whether the facts of the mark are outside the band of its symbol."""
        names = self._relevant.get(mark.symbol)
        if names is None:
            return False
        band = self._bands.get(mark.symbol, NO_FACTS)
        for name in names:
            fact, allowed = getattr(mark, name), getattr(band, name)
            if name == "confidence":
                if fact != allowed:
                    return True
            elif fact is None or allowed is None:
                if fact is not allowed:
                    return True
            elif not allowed[0] <= fact <= allowed[1]:
                return True
        return False

    def _around(self, mark: Mark) -> Band:
        ranges: dict[str, Any] = {}
        for name in self._relevant[mark.symbol]:
            fact = getattr(mark, name)
            ranges[name] = fact if fact is None or name == "confidence" else _range(name, float(fact))
        return Band(**ranges)


def _range(name: str, fact: float) -> Range:
    if name == "funding_rate":
        most = 2 * abs(fact) + _RATE_LEAST
        return -most, most
    if name == "realisable_share":
        return fact * (1 - _SHARE_WIDTH), min(1.0, fact * (1 + _SHARE_WIDTH))
    width = _VOLATILITY_WIDTH if name == "volatility" else _AVERAGE_WIDTH
    return fact * (1 - width), fact * (1 + width)


def _relevant(policy: Policy) -> dict[str, tuple[str, ...]]:
    return {symbol: names for symbol in policy.price_symbols if (names := tuple(_names_of(symbol, policy)))}


def _names_of(symbol: str, policy: Policy) -> Iterator[str]:
    instrument = policy.instruments.get(symbol)
    if instrument is not None and instrument.kind is _OPTION:
        yield "volatility"
    if policy.pool.funding_accrual and instrument is not None and instrument.kind is _PERPETUAL:
        yield "funding_rate"
    if symbol in policy.profit_capped:
        yield "realisable_share"
    if policy.pool.conservative_price and symbol in {asset.index for asset in policy.assets.values()}:
        yield "average_price"
    units = () if policy.portfolio is None else policy.portfolio.units.values()
    if any(unit.confidence is not None for unit in units):
        yield "confidence"
