"""What a book knows of prices: exactly, for the judge, and which symbols are known and fresh, for the columns."""

from collections.abc import Sequence

from engine.book.encode import Encoder
from engine.book.mark_batch import EncodedMarks, MarkEncoder
from engine.book.ragged import Array
from engine.inputs import Mark
from engine.marks import Prices
from engine.policy import Policy


class PriceView:
    """Marks, event time and stale symbols; the prices in the columns are set by compiled code."""

    def __init__(self, policy: Policy, encoder: Encoder) -> None:
        """No prices: every price symbol is stale."""
        self._policy, self._encoder = policy, encoder
        self._marks: dict[str, Mark] = {}
        self._mark_encoder = MarkEncoder(policy)
        """For marks that nobody has encoded yet."""
        self._state: object = None
        """What the last batch of marks led to (`EncodedMarks.leads_to`); None when prices came otherwise."""
        self._stale_after_least_ns = min(encoder.stale_after_ns.values(), default=0)
        self._stale = frozenset(policy.price_symbols)
        self.time_ns = 0
        """Event time."""

    @property
    def prices(self) -> Prices:
        """For the exact judge; outdated by the next change."""
        return Prices(self._marks, self._stale, self.time_ns)

    def begin(self, marks: Sequence[Mark]) -> tuple[EncodedMarks, Array]:
        """A batch, which will be believed whole, and its records. Marks encoded for all books are not encoded again."""
        batch = marks if isinstance(marks, EncodedMarks) else self._mark_encoder.encode(marks)
        records = batch.records_after(self._state, self._marks)
        self._state = batch.leads_to
        return batch, records

    def believe(self, batch: EncodedMarks, begin: int, end: int) -> None:
        """Take marks `begin` to `end`; the columns have them already."""
        newest_ns = max(self.time_ns, batch.newest_ns)
        if newest_ns - batch.oldest_ns <= self._stale_after_least_ns and self._stale.isdisjoint(batch.last):
            # no symbol becomes stale or fresh
            self._marks |= batch.last_between(begin, end)
            self.time_ns = max(self.time_ns, batch.newest_between_ns(begin, end))
            return
        for mark in batch[begin:end]:
            symbol = mark.symbol
            self._marks[symbol] = mark
            self.time_ns = max(self.time_ns, mark.time_ns)
            too_old = self.time_ns - mark.time_ns > self._encoder.stale_after_ns[symbol]
            if too_old != (symbol in self._stale):
                self._stale = self._stale | {symbol} if too_old else self._stale - {symbol}

    def prime(self, marks: Sequence[Mark], now_ns: int, stale: frozenset[str]) -> None:
        """Take these marks, in the columns too."""
        for mark in marks:
            self._marks[mark.symbol] = mark
            number = self._encoder.symbol_ids.get(mark.symbol)
            if number is not None:
                self._encoder.symbols[number]["price"] = float(mark.price)
                self._encoder.symbols[number]["known"] = 1
        self._state = None
        self._mark_encoder = MarkEncoder(self._policy)  # the old one goes on from other marks
        self.pass_time(now_ns, stale)
        for symbol in self._encoder.symbol_ids:
            self._refresh(symbol)

    def pass_time(self, now_ns: int, stale: frozenset[str]) -> list[int]:
        """Move event time and take the stale symbols; returns the numbers of those that became stale or fresh."""
        self.time_ns = max(self.time_ns, now_ns)
        changed = [symbol for symbol in stale ^ self._stale if symbol in self._encoder.symbol_ids]
        self._stale = stale
        return [self._refresh(symbol) for symbol in changed]

    def _refresh(self, symbol: str) -> int:
        """Write to the columns whether the symbol is fresh; returns its number."""
        number = self._encoder.symbol_ids[symbol]
        record = self._encoder.symbols[number]
        record["fresh"] = record["known"] and symbol not in self._stale
        return number
