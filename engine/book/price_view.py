"""What a book knows of prices: exactly, for the judge, and in the numbers that the columns are screened with."""

from collections.abc import Iterable, Sequence

from engine.book.encode import Encoder
from engine.book.instant_batch import EncodedInstants, InstantEncoder
from engine.book.ragged import Array
from engine.inputs import Mark
from engine.marks.instants import Instant
from engine.marks.mark_book import Prices
from engine.marks.price_state import PriceState
from engine.policy import Policy

UNKNOWN = float("inf")
"""The haircut of a price that nothing bounds."""


class PriceView:
    """The state of prices; those in the columns are set by compiled code, which takes fresh marks as certain."""

    def __init__(self, policy: Policy, encoder: Encoder) -> None:
        """No prices: every price symbol is stale."""
        self._policy, self._encoder = policy, encoder
        self._exact = PriceState(policy)
        self._instant_encoder = InstantEncoder(policy)
        """For instants that nobody has encoded yet."""
        self._state: object = None
        """What the last batch led to (`EncodedInstants.leads_to`); None when prices came otherwise."""
        self._stale_after_least_ns = min(encoder.stale_after_ns.values(), default=0)

    @property
    def time_ns(self) -> int:
        """Event time."""
        return self._exact.time_ns

    @property
    def prices(self) -> Prices:
        """For the exact judge; outdated by the next change."""
        return self._exact.prices

    def begin(self, instants: Sequence[Instant]) -> tuple[EncodedInstants, Array]:
        """A batch, which will be believed whole, and its records. What was encoded for all books is not encoded again."""
        encode = self._instant_encoder.encode
        batch = instants if isinstance(instants, EncodedInstants) else encode(instants)
        records = batch.records_after(self._state, self._exact.marks)
        self._state = batch.leads_to
        return batch, records

    def believe(self, batch: EncodedInstants, begin: int, end: int) -> list[int]:
        """Take instants `begin` to `end`; the columns have their prices already.

        Returns the numbers of the symbols of which the last of them changes the doubt, or is late and yet doubted only in part: how much,
        the columns could not know.
        """
        exact = self._exact
        newest_ns = max(exact.time_ns, batch.newest_ns)
        certain = newest_ns - batch.oldest_ns <= self._stale_after_least_ns and not batch.doubts
        if certain and exact.stale.isdisjoint(batch.last) and exact.aged.keys().isdisjoint(batch.last):
            # nothing becomes stale, fresh, doubted or certain
            exact.take_certain(batch.last_between(begin, end), batch.newest_between_ns(begin, end))
            exact.instant = batch[end - 1].name if end > begin else exact.instant
            return []
        changed: set[str] = set()
        symbols, late = self._encoder.symbols, list[int]()
        for instant in batch[begin:end]:
            changed = exact.take(instant)
            # of a late mark the columns know nothing, also where it changes no doubt
            marked = self._known(mark.symbol for mark in instant.marks)
            late = [it for it in marked if not symbols[it]["fresh"]]
            self._refresh(changed.union(mark.symbol for mark in instant.marks))
        return [*{*self._known(changed), *(it for it in late if symbols[it]["haircut"] != UNKNOWN)}]

    def prime(self, marks: Sequence[Mark], prices: Prices) -> None:
        """Take these marks, in the columns too, and of `prices` all else."""
        self._exact.prime(marks, prices)
        for mark in marks:
            number = self._encoder.symbol_ids.get(mark.symbol)
            if number is not None:
                self._encoder.symbols[number]["price"] = float(mark.price)
                self._encoder.symbols[number]["known"] = 1
        self._state = None
        self._instant_encoder = InstantEncoder(self._policy)  # the old one goes on from other marks
        self._refresh(self._encoder.symbol_ids)

    def pass_time(self, prices: Prices) -> list[int]:
        """See `PriceState.pass_time`; the symbols by their numbers."""
        changed = self._exact.pass_time(prices)
        self._refresh(changed)
        return self._known(changed)

    def _known(self, symbols: Iterable[str]) -> list[int]:
        numbers = self._encoder.symbol_ids
        return [numbers[symbol] for symbol in symbols if symbol in numbers]

    def _refresh(self, symbols: Iterable[str]) -> None:
        """Write to the columns what is doubted of these symbols."""
        prices = self._exact.prices
        for symbol in symbols:
            number = self._encoder.symbol_ids.get(symbol)
            if number is None:
                continue
            record, sourced = self._encoder.symbols[number], prices.sourced.get(symbol)
            record["fresh"] = record["known"] and symbol not in prices.stale
            record["sourced"] = 0.0 if sourced is None else float(sourced.haircut)
            doubt = prices.doubt(symbol)
            if doubt is not None:
                record["haircut"] = float(doubt.haircut)
            else:
                record["haircut"] = 0.0 if record["fresh"] else UNKNOWN
