"""The mark book: which prices are believed.

Rules, in the order in which they are checked
---------------------------------------------
 1. `unknown_symbol`        nothing in the policy is priced by this symbol
 2. `not_finite`, `not_positive` (but for what may be quoted at 0 and below: `Instrument.negative_prices`)
 3. `time_implausible`      dated before 2010 while the present is known to be later: most often in another unit (`plausible_times`)
 4. `old_sequence`, `sequence_unconfirmed`    neither the next of its feed nor recognised as that (`sequence_watch`)
 5. `future_dated`          dated further ahead of its receipt than the tolerance
 6. `fact_out_of_range`     a fact outside of the policy's range (`fact_checks`)
 7. `jump_unconfirmed`      too far from the price of a moment ago, and not confirmed by enough marks apart in time (`trail`);
    `reference_unconfirmed` a first mark as far from its symbol's reference; `fact_jump_unconfirmed` the same of a fact

A refused mark changes no price; what it may tell of the market waits beside them (`waiting_quotes`). One that is believed keeps the amounts of the whole exchange that it leaves out (`fact_checks`). Time
comes in with each mark; the book reads no clock.

When all marks of an instant are in, indices are held against their second sources (`second_sources`): a price in force may then be
another than what was quoted. Every check above is against what was quoted.
"""

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal

import msgspec

from engine.inputs import Mark
from engine.marks.doubts import NANOSECONDS, Doubt, aged_with, doubt_of_age, stronger
from engine.marks.fact_checks import by_value_of
from engine.marks.instants import Instant, InstantName, MarksRecord, in_sequence
from engine.marks.notices import MarkRefusal, Notice, NoticeKind, refusal_of
from engine.marks.plausible_times import NOT_RECEIVED_NS, floor_of, latest_of
from engine.marks.scale_starts import NOTHING_SCALES, ScaleStarts, scale_starts
from engine.marks.second_sources import SecondSources, Standing
from engine.marks.symbol_quote import Anchor, Quote
from engine.marks.waiting_quotes import WaitingQuotes
from engine.policy import Policy
from engine.rejections import RejectionCode

__all__ = ["NANOSECONDS", "MarkBook", "Prices"]


class Prices(msgspec.Struct, frozen=True):
    """What the margin formulas see: the last believed mark of every symbol, and which of them are stale."""

    marks: Mapping[str, Mark]
    stale: frozenset[str]
    """Price symbols by which collateral counts 0: stale beyond the grace, or never seen and so absent from `marks`."""
    time_ns: int = 0
    """Event time, for what accrues or expires."""
    instant: InstantName | None = None
    """What made the marks what they are; None where they came one by one."""
    aged: Mapping[str, Doubt] = {}
    """By symbol: doubt in its mark for its age."""
    sourced: Mapping[str, Doubt] = {}
    """By symbol: doubt in its mark by a second source."""
    waiting: Mapping[str, Decimal] = {}
    """By symbol: the price of a quote that was refused and may still be where the market is."""

    def doubt(self, symbol: str) -> Doubt | None:
        """All that is known of how far the symbol may be from its mark; None where it is certain, or nothing is known."""
        return stronger(self.aged.get(symbol), self.sourced.get(symbol))


class MarkBook:
    """Accepts or refuses marks and knows which symbols are stale. One per worker."""

    def __init__(self, policy: Policy) -> None:
        """Start empty: every price symbol of `policy` is stale until its first mark."""
        self._policy = policy
        self._quotes = _quotes_of(policy)
        self._sources = SecondSources(policy.second_sources, self._quotes)
        self._referred = _references(policy)
        """Reference of each symbol that has one for its first mark."""
        self.ahead_ns = max((quote.ahead_ns for quote in self._quotes.values()), default=0)
        """How far ahead of its receipt a mark may be dated, of any symbol."""
        self._marks: dict[str, Mark] = {}
        """In force."""
        self._instant: InstantName | None = None
        self._stale: frozenset[str] = frozenset(self._quotes)
        self._aged: Mapping[str, Doubt] = {}
        self._notices: list[Notice] = []
        self._doubts_told: Mapping[str, Doubt] = self._sources.doubts
        self._waiting = WaitingQuotes()
        self._waiting_told = self._waiting.prices
        self.time_ns = 0
        """The newest event time the book knows of, from accepted marks and `advance`."""

    def rule_by(self, policy: Policy) -> None:
        """Believe by another policy from now on.

        Of a symbol whose rules stay everything stays. Any other goes on as after a restart: with its last mark, as fresh as that is.
        """
        quotes, before, old = _quotes_of(policy), self._quotes, self._policy
        known = [it.mark for it in before.values() if it.mark is not None]
        starts = scale_starts(old), scale_starts(policy)
        for symbol in quotes.keys() & before.keys():
            if _rules(old, symbol, starts[0]) == _rules(policy, symbol, starts[1]):
                quotes[symbol] = before[symbol]
        self._policy, self._quotes, self._referred = policy, quotes, _references(policy)
        self._waiting = WaitingQuotes()
        self.ahead_ns = max((quote.ahead_ns for quote in quotes.values()), default=0)
        for symbol in self._marks.keys() - quotes.keys():
            del self._marks[symbol]
        if old.second_sources != policy.second_sources or any(
            quotes.get(symbol) is not quote for symbol, quote in before.items()
        ):
            self._sources = SecondSources(policy.second_sources, quotes)
            # what the old sources put in force goes with them
            self._marks |= {symbol: it.mark for symbol, it in quotes.items() if it.mark is not None}
        for mark in known:
            self.prime(mark)
        self._hold_against_sources(())
        self.advance(self.time_ns)

    def accept(self, record: MarksRecord, received_ns: int) -> tuple[Instant | None, Sequence[MarkRefusal]]:
        """Offer the marks of a record, received at `received_ns` (Unix ns): those believed, and why each other was refused.

        The order in which the marks stand in the record changes nothing. None where none was believed.
        """
        if self.time_ns - received_ns > self.ahead_ns:
            self._step_back(received_ns)
        if received_ns == NOT_RECEIVED_NS:
            received_ns = latest_of(self.time_ns) or NOT_RECEIVED_NS
        floor_ns = floor_of(self.time_ns if received_ns == NOT_RECEIVED_NS else received_ns)
        refused: list[MarkRefusal] = []
        believed = self._accept_in_order(in_sequence(record.marks), received_ns, floor_ns, refused)
        if not believed:
            return None, refused
        newest = {mark.symbol: mark for mark in believed} if len(believed) > 1 else None
        marks = tuple(believed if newest is None else newest.values())
        name = InstantName(max(mark.time_ns for mark in marks), record.partition, record.offset)
        self._pass_time(marks, name)
        if self._sources.watches:
            marks = self._hold_against_sources(marks)
        self._waiting.pass_time(self.time_ns)
        doubts, waiting = self._sources.doubts, self._waiting.prices
        told = None if doubts is self._doubts_told else doubts
        told_waiting = None if waiting is self._waiting_told else waiting
        self._doubts_told, self._waiting_told = doubts, waiting
        return Instant(marks, name, told, told_waiting), refused

    def advance(self, now_ns: int) -> Prices:
        """Move event time forward and return the prices, with what has become stale."""
        self.time_ns = max(self.time_ns, now_ns)
        aged = {
            symbol: doubt
            for symbol, quote in self._quotes.items()
            if quote.mark is not None
            if (doubt := doubt_of_age(quote.check, self.time_ns - quote.seen_ns)) is not None
        }
        worthless = frozenset(symbol for symbol, doubt in aged.items() if doubt.worthless)
        self._stale = worthless | {symbol for symbol, quote in self._quotes.items() if quote.mark is None}
        self._aged = aged
        self._waiting.pass_time(self.time_ns)
        return self.prices

    def prime(self, mark: Mark) -> None:
        """Take a mark that was accepted before a restart; an older one than the book's changes nothing.

        It is as fresh as its own time says, at the newest time that the book knows of.
        """
        quote = self._quotes.get(mark.symbol)
        if quote is None or (quote.mark is not None and _age(mark) <= _age(quote.mark)):
            return
        quote.prime(mark)
        self._marks[mark.symbol] = quote.mark or mark
        now_ns = max(self.time_ns, mark.time_ns)
        doubt = doubt_of_age(quote.check, now_ns - quote.seen_ns)
        self._stale, self._aged = aged_with(self._stale, self._aged, mark.symbol, doubt)
        self._hold_against_sources((), now_ns)

    @property
    def prices(self) -> Prices:
        """The current view; `marks` is live, so read it before the next `accept`."""
        return Prices(
            self._marks,
            self._stale,
            self.time_ns,
            self._instant,
            self._aged,
            self._sources.doubts,
            self._waiting.prices,
        )

    @property
    def standings(self) -> Mapping[str, Standing]:
        """How each index that has a second source stands to it, what was quoted included."""
        return self._sources.standings

    def take_notices(self) -> list[Notice]:
        """What has happened to the belief in symbols since the last call."""
        notices, self._notices = self._notices, []
        return notices

    def _accept_in_order(
        self, marks: Iterable[Mark], received_ns: int, floor_ns: int, refused: list[MarkRefusal]
    ) -> list[Mark]:
        believed: list[Mark] = []
        waiting: list[Mark] = []
        quotes, in_force, referred = self._quotes, self._marks, self._referred
        for mark in marks:
            symbol = mark.symbol
            quote = quotes.get(symbol)
            if quote is None:
                said = f"no instrument or asset is priced by {symbol!r}"
                refused.append(refusal_of(mark, RejectionCode.UNKNOWN_SYMBOL, said, received_ns))
                continue
            if quote.mark is None and symbol in referred:
                waiting.append(mark)
            elif quote.takes(mark, received_ns, floor_ns) or self._takes_exactly(
                quote, mark, received_ns, floor_ns, refused
            ):
                in_force[symbol] = taken = quote.mark or mark
                believed.append(taken)
                self._waiting.believe(symbol)
        for mark in self._by_reference(waiting):
            if self._takes_exactly(quotes[mark.symbol], mark, received_ns, floor_ns, refused):
                in_force[mark.symbol] = taken = quotes[mark.symbol].mark or mark
                believed.append(taken)
        return believed

    def _takes_exactly(
        self, quote: Quote, mark: Mark, received_ns: int, floor_ns: int, refused: list[MarkRefusal]
    ) -> bool:
        mark = by_value_of(mark)
        anchor = self._anchor(quote) if quote.mark is None else None
        refusal = quote.refusal(mark, received_ns, floor_ns, anchor)
        if refusal is not None:
            refused.append(refusal)
            if quote.mark is not None:
                self._waiting.refuse(mark, refusal.code, self.time_ns)
            return False
        if quote.told:
            self._notices += quote.told
            quote.told.clear()
        return True

    def _anchor(self, quote: Quote) -> Anchor | None:
        reference = self._quotes.get(quote.check.reference)
        if reference is not None and reference.mark is not None:
            return reference.mark.price, quote.check.reference_fraction, reference.symbol
        return self._sources.anchor(quote.symbol)

    def _by_reference(self, waiting: list[Mark]) -> Iterable[Mark]:
        """First marks of symbols that have a reference, in an order in which a reference comes before what it is held against.

        Where references go in a circle they come by name.
        """
        waiting.sort(key=lambda mark: (mark.symbol, mark.epoch, mark.sequence))
        while waiting:
            symbols = {mark.symbol for mark in waiting}
            free = {symbol for symbol in symbols if self._referred[symbol] not in symbols} or {min(symbols)}
            yield from (mark for mark in waiting if mark.symbol in free)
            waiting = [mark for mark in waiting if mark.symbol not in free]

    def _hold_against_sources(self, marks: Sequence[Mark], time_ns: int | None = None) -> tuple[Mark, ...]:
        """Put the prices in force that second sources lead to; the marks of the instant as they are then."""
        looked, notices = self._sources.look(self.time_ns if time_ns is None else time_ns)
        self._notices += notices
        if not looked:
            return tuple(marks)
        changed = {mark.symbol: mark for mark in marks}
        for quoted, standing in looked:
            before = self._marks[quoted.symbol]
            if standing.in_force != before.price or quoted.symbol in changed:
                mark = quoted
                if standing.in_force != quoted.price:
                    mark = msgspec.structs.replace(quoted, price=standing.in_force)
                self._marks[quoted.symbol] = changed[quoted.symbol] = mark
        return tuple(changed.values())

    def _pass_time(self, marks: Iterable[Mark], name: InstantName) -> None:
        """Event time moves on to the instant's; a mark dated long ago is believed, and stale at once."""
        self._instant = name
        self.time_ns = max(self.time_ns, name.time_ns)
        for mark in marks:
            symbol, age_ns = mark.symbol, self.time_ns - mark.time_ns
            quote = self._quotes[symbol]
            if age_ns > quote.stale_after_ns or symbol in self._aged or symbol in self._stale:
                doubt = doubt_of_age(quote.check, age_ns)
                self._stale, self._aged = aged_with(self._stale, self._aged, symbol, doubt)

    def _step_back(self, received_ns: int) -> None:
        """The book's time lies ahead of any present time: the clock of receipt was ahead, and has been set right."""
        said = f"event time {self.time_ns} lies ahead of receipt {received_ns}, and is set back to it"
        self._notices.append(Notice(NoticeKind.CLOCK_STEPPED_BACK, "", received_ns, said))
        self.time_ns = received_ns
        for quote in self._quotes.values():
            quote.seen_ns = min(quote.seen_ns, received_ns)
        self.advance(received_ns)


def _quotes_of(policy: Policy) -> dict[str, Quote]:
    starts = scale_starts(policy)
    scales = {symbol: policy.instruments[symbol].scale for symbol in policy.price_scales}
    return {
        symbol: Quote(symbol, check, scales.get(symbol), starts.get(symbol, NOTHING_SCALES))
        for symbol, check in policy.price_symbols.items()
    }


def _rules(policy: Policy, symbol: str, starts: Mapping[str, ScaleStarts]) -> tuple[object, ...]:
    """All that a quote is made of."""
    signed = policy.instruments[symbol] if symbol in policy.price_scales else None
    return policy.price_symbols[symbol], signed, starts.get(symbol, NOTHING_SCALES)


def _references(policy: Policy) -> dict[str, str]:
    referred = {symbol: it.reference for symbol, it in policy.price_symbols.items() if it.reference}
    return referred | {index: rule.symbol for index, rule in policy.second_sources.items()}


def _age(mark: Mark) -> tuple[int, int, int]:
    return mark.time_ns, mark.epoch, mark.sequence
