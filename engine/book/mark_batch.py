"""A batch of believed marks in the columns' numbers: encoded once per worker, read by the book of every shard.

Which mark repeats the one before (`MARK.same`) is a statement about a book's own view of prices. It holds in a book
that has taken every batch of the encoder up to this one, so a batch says which state it follows and which it leads to. In any
other book, one that was primed since or is fed from elsewhere, the first mark of each symbol is compared with the
book's own last one.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import overload

import numpy as np

from engine.book.columns import MARK
from engine.book.ragged import Array
from engine.inputs import Mark
from engine.policy import Policy


class EncodedMarks(Sequence[Mark]):
    """Believed marks in order, with what every book needs of them. Shared: nobody may change it."""

    __slots__ = ("_follows", "_records", "last", "leads_to", "marks", "newest_ns", "oldest_ns")

    def __init__(self, marks: Sequence[Mark], records: Array, follows: object) -> None:
        self.marks = marks
        self._records, self._follows = records, follows
        self.leads_to = object()
        """Names the state of prices after this batch; only its identity counts."""
        self.last = {mark.symbol: mark for mark in marks}
        """The last mark of each symbol."""
        times = [mark.time_ns for mark in marks]
        self.oldest_ns, self.newest_ns = min(times, default=0), max(times, default=0)

    @overload
    def __getitem__(self, index: int) -> Mark: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[Mark]: ...

    def __getitem__(self, index: int | slice) -> Mark | Sequence[Mark]:
        return self.marks[index]

    def __len__(self) -> int:
        return len(self.marks)

    def __iter__(self) -> Iterator[Mark]:
        return iter(self.marks)

    def last_between(self, begin: int, end: int) -> dict[str, Mark]:
        """The last mark of each symbol among marks `begin` to `end`."""
        if end - begin == len(self):
            return self.last
        return {mark.symbol: mark for mark in self.marks[begin:end]}

    def newest_between_ns(self, begin: int, end: int) -> int:
        """Greatest event time among marks `begin` to `end`, 0 if there are none."""
        if end - begin == len(self):
            return self.newest_ns
        return max((mark.time_ns for mark in self.marks[begin:end]), default=0)

    def records_after(self, state: object, held: Mapping[str, Mark]) -> Array:
        """The marks as `columns.MARK` records, for a book whose last batch led to `state` and which holds these marks."""
        if state is self._follows:
            return self._records
        records = self._records.copy()
        met: set[str] = set()
        for place, mark in enumerate(self.marks):
            if mark.symbol not in met:
                met.add(mark.symbol)
                records[place]["same"] = _repeats(mark, held.get(mark.symbol))
        return records


class MarkEncoder:
    """Encodes one worker's believed marks; every mark must pass through it, in order."""

    def __init__(self, policy: Policy) -> None:
        """Number the price symbols as the books of `policy` do."""
        self._numbers = {symbol: number for number, symbol in enumerate(policy.price_symbols)}
        self._last: dict[str, Mark] = {}
        self._state = object()

    def encode(self, marks: Sequence[Mark]) -> EncodedMarks:
        """Encode the next batch."""
        numbers, lasts = self._numbers, self._last
        records = []
        for mark in marks:
            symbol = mark.symbol
            same = _repeats(mark, lasts.get(symbol))
            records.append((float(mark.price), mark.time_ns, numbers[symbol], same))
            lasts[symbol] = mark
        batch = EncodedMarks(marks, np.array(records, MARK), self._state)
        self._state = batch.leads_to
        return batch


def _repeats(mark: Mark, last: Mark | None) -> bool:
    """Whether it says nothing of the symbol but what `last` said."""
    return (
        last is not None
        and mark.price == last.price
        and mark.volatility == last.volatility
        and mark.funding_rate == last.funding_rate
        and mark.average_price == last.average_price
        and mark.confidence == last.confidence
    )
