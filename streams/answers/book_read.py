"""Every account in Redis as the books that the workers use, shard by shard, at the newest saved prices. Nobody is judged."""

from collections.abc import AsyncIterator, Collection, Mapping
from typing import NamedTuple

from msgspec.structs import replace

from engine.book.columnar_book import ColumnarBook
from engine.events.effects import AccountRisk
from engine.marks.mark_book import Prices
from engine.policy import Policy
from engine.strict_decoding import UNREADABLE
from streams.answers.account_report import believed
from streams.answers.shelf import Shelf, newest_marks
from streams.config.problem import Problem


class ShardBook(NamedTuple):
    """The accounts of one shard."""

    accounts: tuple[str, ...]
    """Names, in the order in which they came into the book."""
    book: ColumnarBook


class BookReader:
    """Redis at the newest prices."""

    def __init__(
        self,
        shelf: Shelf,
        policy: Policy,
        prices: Prices,
        shards: int,
        *,
        trusting: bool,
    ) -> None:
        """`book_reader` makes one; `trusting` leaves out what the workers doubted."""
        self.prices, self.shards = prices, shards
        self.stale: tuple[str, ...] = ()
        """Symbols whose newest mark is too old, or that have none, whether or not that counts here."""
        self._shelf, self._policy, self._trusting = shelf, policy, trusting

    async def books(self) -> AsyncIterator[ShardBook]:
        """One shard after the other. Raises `Problem`."""
        for shard in range(self.shards):
            told = await self._shelf.risks(shard)
            if self._trusting:
                told = {account: _trusted(risk) for account, risk in told.items()}
            stored = {account: state async for account, state in self._shelf.accounts(shard)}
            yield ShardBook(tuple(stored), _book(stored.values(), told, self._policy))


async def book_reader(shelf: Shelf, policy: Policy, now_ns: int, *, last_prices: bool) -> BookReader:
    """Take the newest marks. `last_prices`: the newest saved mark of each symbol counts as fresh. Raises `Problem`."""
    marks = await newest_marks(shelf)
    prices = believed(list(marks.values()), policy, now_ns)
    reader = BookReader(shelf, policy, prices, await shelf.shard_count(), trusting=last_prices)
    reader.stale = tuple(sorted(prices.stale))
    if last_prices:
        reader.prices = replace(prices, stale=frozenset(prices.stale - marks.keys()), aged={})
    return reader


def _trusted(risk: AccountRisk) -> AccountRisk:
    """The record without what the worker that judged it doubted; a stopped account stays as it is."""
    pools = {
        pool: it if it.degraded_until_ns is None else replace(it, degraded=False, degraded_until_ns=None)
        for pool, it in risk.pools.items()
    }
    return replace(risk, pools=pools)


def _book(stored: Collection[bytes], told: Mapping[str, AccountRisk], policy: Policy) -> ColumnarBook:
    """A book of one shard's accounts."""
    book = ColumnarBook(policy)
    try:
        book.load(stored, told)
    except UNREADABLE as error:
        raise Problem(f"the state of an account in Redis cannot be read: {error}") from None
    return book
