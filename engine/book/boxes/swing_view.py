"""Prices as they may move.

Twin: `engine.margin.quotes`, which the exact figures ask several times a position and which knows prices alone: here facts
have bands, and time goes on.
"""

import msgspec

from engine.book.boxes import swing
from engine.book.boxes.mark_facts import Facts
from engine.book.boxes.swing import ONE, Swing
from engine.ledger.accounts import Position
from engine.margin.quotes import average_entry_price
from engine.marks.mark_book import NANOSECONDS, Prices
from engine.numbers import exact
from engine.policy import Instrument, Policy
from engine.policy.rules.policy_switches import RequirementRate

_AT_LIABILITY = RequirementRate.LIABILITY


class View(msgspec.Struct, frozen=True):
    """The box: prices within `reach` of `prices`, time from theirs up to `until_ns`, facts in their bands."""

    policy: Policy
    prices: Prices
    facts: Facts
    reach: float
    until_ns: int

    def mark(self, symbol: str, position: Position) -> Swing:
        """Mark of a position."""
        mark = self.prices.marks.get(symbol)
        if mark is not None:
            return swing.price(float(mark.price), self.reach)
        with exact():
            return swing.fixed(float(average_entry_price(position, self.policy.instruments[symbol])))

    def index(self, asset: str) -> tuple[Swing, bool]:
        """Index price of an asset, and whether it is fresh."""
        symbol = self.policy.assets[asset].index
        return self.symbol(symbol) if symbol else (ONE, True)

    def symbol(self, symbol: str) -> tuple[Swing, bool]:
        """Price of a symbol, 1 where it never had one, and whether it is fresh."""
        mark = self.prices.marks.get(symbol)
        if mark is None:
            return ONE, False
        return swing.price(float(mark.price), self.reach), symbol not in self.prices.stale

    def known(self, symbol: str) -> bool:
        """Whether the symbol ever had a mark."""
        return symbol in self.prices.marks

    def underlying(self, instrument: Instrument) -> Swing:
        """Price of the underlying in account currency."""
        if instrument.base in self.policy.assets:
            return self.index(instrument.base)[0]
        return self.symbol(instrument.forward)[0]

    def realisable_share(self, symbol: str) -> Swing | None:
        """Share of the profits in the symbol that its losing side can pay; None where none is stated, or the policy does not ask."""
        band = self.facts.band(symbol).realisable_share
        return None if band is None else swing.within(*band)

    def asset_value_price(self, asset: str) -> Swing:
        """Price at which a positive amount counts."""
        index, average = self._index_and_average(asset)
        return index if average is None else swing.smaller(index, average)

    def liability_price(self, asset: str) -> Swing:
        """Price at which a negative amount counts, before its liability factor."""
        index, average = self._index_and_average(asset)
        return index if average is None else swing.larger(index, average)

    def requirement_price(self, asset: str) -> Swing:
        """Price of a requirement in this settle asset."""
        price = self.liability_price(asset)
        if self.policy.pool.requirement_rate is _AT_LIABILITY:
            return price.times(float(self.policy.assets[asset].liability_factor))
        return price

    def seconds_to(self, instrument: Instrument) -> tuple[float, float]:
        """Least and most seconds to the expiry; 0 once it is over, and for what never expires."""
        if instrument.expiry is None:
            return 0.0, 0.0
        first, last = (
            max(0.0, (instrument.expiry_ns - at_ns) / NANOSECONDS)
            for at_ns in (self.until_ns, self.prices.time_ns)
        )
        return first, last

    def _index_and_average(self, asset: str) -> tuple[Swing, Swing | None]:
        index, _ = self.index(asset)
        band = self.facts.band(self.policy.assets[asset].index)
        if not self.policy.pool.conservative_price or band.average_price is None:
            return index, None
        return index, swing.within(*band.average_price)
