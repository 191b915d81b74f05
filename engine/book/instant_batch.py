"""A batch of instants in the columns' numbers: encoded once per worker, read by the book of every shard.

Which mark repeats the one before (`MARK.same`) is a statement about a book's own view of prices. It holds in a book
that has taken every batch of the encoder up to this one, so a batch says which state it follows and which it leads to. In any
other book, one that was primed since or is fed from elsewhere, the first mark of each symbol is compared with the
book's own last one.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate
from typing import overload

import numpy as np

from engine.book.columns import MARK
from engine.book.ragged import Array
from engine.inputs import Mark
from engine.marks.instants import Instant
from engine.policy import Policy


class EncodedInstants(Sequence[Instant]):
    """Instants in order, with what every book needs of them. Shared: nobody may change it."""

    __slots__ = (
        "_follows",
        "_instants",
        "_records",
        "doubts",
        "ends",
        "last",
        "leads_to",
        "marks",
        "newest_ns",
        "oldest_ns",
    )

    def __init__(self, instants: Sequence[Instant], records: Array, follows: object) -> None:
        self._instants, self._records, self._follows = instants, records, follows
        self.leads_to = object()
        """Names the state of prices after this batch; only its identity counts."""
        self.marks = [mark for instant in instants for mark in instant.marks]
        self.ends: Array = np.array(list(accumulate(len(it.marks) for it in instants)), np.int64)
        """By instant: where its marks end among all of the batch."""
        self.doubts = [
            place for place, it in enumerate(instants) if not (it.doubts is None and it.waiting is None)
        ]
        """Instants with which the second sources change what they doubt, or other quotes wait."""
        self.last = {mark.symbol: mark for mark in self.marks}
        """The last mark of each symbol."""
        times = [mark.time_ns for mark in self.marks]
        self.oldest_ns, self.newest_ns = min(times, default=0), max(times, default=0)

    @overload
    def __getitem__(self, index: int) -> Instant: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[Instant]: ...

    def __getitem__(self, index: int | slice) -> Instant | Sequence[Instant]:
        return self._instants[index]

    def __len__(self) -> int:
        return len(self._instants)

    def __iter__(self) -> Iterator[Instant]:
        return iter(self._instants)

    def last_between(self, begin: int, end: int) -> dict[str, Mark]:
        """The last mark of each symbol in instants `begin` to `end`."""
        if end - begin == len(self):
            return self.last
        return {mark.symbol: mark for instant in self._instants[begin:end] for mark in instant.marks}

    def newest_between_ns(self, begin: int, end: int) -> int:
        """Greatest event time in instants `begin` to `end`, 0 if there are none."""
        if end - begin == len(self):
            return self.newest_ns
        return max((it.name.time_ns for it in self._instants[begin:end]), default=0)

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


class InstantEncoder:
    """Encodes one worker's instants; every one must pass through it, in order."""

    def __init__(self, policy: Policy) -> None:
        """Number the price symbols as the books of `policy` do."""
        self._numbers = {symbol: number for number, symbol in enumerate(policy.price_symbols)}
        self._last: dict[str, Mark] = {}
        self._state = object()

    def encode(self, instants: Sequence[Instant]) -> EncodedInstants:
        """Encode the next batch."""
        numbers, lasts = self._numbers, self._last
        records = []
        for instant in instants:
            for mark in instant.marks:
                symbol = mark.symbol
                same = _repeats(mark, lasts.get(symbol))
                records.append((float(mark.price), mark.time_ns, numbers[symbol], same))
                lasts[symbol] = mark
        batch = EncodedInstants(instants, np.array(records, MARK), self._state)
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
        and mark.open_interest == last.open_interest
        and mark.deposits == last.deposits
        and mark.borrows == last.borrows
        and mark.potential_deposits == last.potential_deposits
        and mark.realisable_share == last.realisable_share
    )
