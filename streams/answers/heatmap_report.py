"""What `unimargin heatmap` says: read from Redis shard by shard, computed by the book that the workers use."""

from collections.abc import Collection
from decimal import Decimal
from typing import NamedTuple

import msgspec

from engine.analytics.heat_map import MarketPoint, market_points
from engine.book.heat_map_parts import Heat, added, nothing
from engine.numbers import canonical
from engine.policy import Policy
from streams.answers.book_read import book_reader
from streams.answers.shelf import Shelf

_SIGNIFICANT_DIGITS = 12
"""Of a notional: fewer than its floats carry, more than anybody reads."""


class HeatReading(NamedTuple):
    """The heat map of everything in Redis."""

    points: list[MarketPoint]
    heat: Heat
    accounts: int
    shards: int
    stale: tuple[str, ...]
    read_at_ns: int


class HeatReport(msgspec.Struct, frozen=True, kw_only=True):
    """Everything the command shows. Amounts in account currency, one a move."""

    currency: str
    policy: str
    policy_digest: str
    read_at_ns: int
    accounts: int
    shards: int
    symbols: tuple[str, ...]
    """Those that were asked for; empty for all."""
    moves: tuple[Decimal, ...]
    """Of the whole market, as fractions, ascending; 0 is what is in liquidation now."""
    pools: tuple[int, ...]
    """Pools that fall at each move, whatever they hold."""
    total: tuple[Decimal, ...]
    by_symbol: dict[str, tuple[Decimal, ...]]
    """The largest first; symbols of which nothing falls are left out."""
    withheld_pools: int
    """Left out: their verdict hangs on a doubted price, or their account is stopped."""
    stale_symbols: tuple[str, ...]


async def read_heat_map(
    shelf: Shelf, policy: Policy, moves: Collection[Decimal], *, last_prices: bool
) -> HeatReading:
    """Read every account. `last_prices`: the newest saved mark of each symbol counts as fresh. Raises `Problem`."""
    now_ns = shelf.now_ns()
    reader = await book_reader(shelf, policy, now_ns, last_prices=last_prices)
    points = list(market_points(moves, reader.prices, policy))
    heat, accounts = nothing(len(points), policy), 0
    async for shard in reader.books():
        heat = added([heat, *shard.book.heat_map_in_parts(points)], len(points), policy)
        accounts += len(shard.accounts)
    return HeatReading(points, heat, accounts, reader.shards, reader.stale, now_ns)


def heat_report(read: HeatReading, policy: Policy, symbols: Collection[str]) -> HeatReport:
    """The heat map in words and numbers, of these symbols or of all."""
    by_symbol = {
        symbol: read.heat.notional[:, number]
        for number, symbol in enumerate(policy.price_symbols)
        if (not symbols or symbol in symbols) and read.heat.notional[:, number].any()
    }
    largest = sorted(by_symbol, key=lambda symbol: (-by_symbol[symbol].sum(), symbol))
    total = sum(by_symbol.values(), start=nothing(len(read.points), policy).notional[:, 0])
    return HeatReport(
        currency=policy.account_currency,
        policy=policy.name,
        policy_digest=policy.digest,
        read_at_ns=read.read_at_ns,
        accounts=read.accounts,
        shards=read.shards,
        symbols=tuple(symbols),
        moves=tuple(point.move for point in read.points),
        pools=tuple(read.heat.pools.tolist()),
        total=tuple(map(_amount, total.tolist())),
        by_symbol={symbol: tuple(map(_amount, by_symbol[symbol].tolist())) for symbol in largest},
        withheld_pools=read.heat.withheld,
        stale_symbols=read.stale,
    )


def _amount(value: float) -> Decimal:
    return canonical(Decimal(f"{value:.{_SIGNIFICANT_DIGITS}g}"))
