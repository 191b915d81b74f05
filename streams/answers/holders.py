"""Holders of contracts over all accounts of all shards, as candidates for deleveraging."""

from collections.abc import Collection
from typing import NamedTuple

import msgspec

from engine.liquidation.adl import AdlCandidate
from engine.liquidation.adl_holders import Side, adl_candidates
from engine.margin.listed_part import listed_part
from engine.marks.mark_book import Prices
from engine.policy import Policy
from streams.answers.account_report import believed
from streams.answers.shelf import Shelf
from streams.store.redis_access import read_state


class Held(NamedTuple):
    """What was found."""

    by_side: dict[tuple[str, Side], list[AdlCandidate]]
    """By contract and side, by account: equal ranks keep that order."""
    prices: Prices | None
    """Those of the last shard that was read; None without a shard."""


async def holders_of(shelf: Shelf, policy: Policy, sides: Collection[tuple[str, Side]], now_ns: int) -> Held:
    """Everybody who holds one of these sides."""
    found: dict[tuple[str, Side], dict[str, list[AdlCandidate]]] = {side: {} for side in sides}
    named = {symbol: msgspec.json.encode(symbol)[1:-1] for symbol, _ in sides}
    prices = None
    for shard in range(await shelf.shard_count()):
        prices = believed(await shelf.marks(shard), policy, now_ns)
        async for account, data in shelf.accounts(shard):
            # most accounts hold nothing of it, and need not be read
            asked = [(symbol, side) for symbol, side in sides if named[symbol] in data]
            if not asked:
                continue
            state = listed_part(read_state(account, data), policy)
            for symbol, side in asked:
                found[symbol, side][account] = adl_candidates(state, symbol, side, prices, policy)
    by_side = {
        side: [it for _, candidates in sorted(of.items()) for it in candidates] for side, of in found.items()
    }
    return Held(by_side, prices)
