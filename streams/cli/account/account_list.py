"""Finding the accounts that `unimargin account list` shows, without holding all of them."""

from collections.abc import AsyncIterator, Iterable
from heapq import nsmallest
from typing import NamedTuple

from engine.events.effects import AccountRisk
from engine.ladder import SEVERITY, Band
from engine.marks.mark_book import Prices
from engine.policy import Policy
from streams.answers.account_report import believed, worst_band
from streams.answers.account_rows import AccountRow, account_row
from streams.answers.shelf import Shelf, open_shelf
from streams.config.settings import Settings
from streams.store.redis_access import read_state

CHUNK_ACCOUNTS = 10_000
"""Held while looking for the worst: about 10 MB of states."""


class _Candidate(NamedTuple):
    rank: tuple[int, str]
    shard: int
    state: bytes
    band: Band


async def list_accounts(
    settings: Settings, policy: Policy, band: Band | None, limit: int, now_ns: int
) -> list[AccountRow]:
    """Up to `limit` accounts, the worst band first, then by name; with `band` only those in it."""
    async with open_shelf(settings) as shelf:
        worst: list[_Candidate] = []
        chunk: list[_Candidate] = []
        async for candidate in _candidates(shelf):
            if band is None or candidate.band is band:
                chunk.append(candidate)
            if len(chunk) >= CHUNK_ACCOUNTS:
                worst, chunk = _worst(limit, [*worst, *chunk]), []
        worst = _worst(limit, [*worst, *chunk])
        prices = {
            shard: believed(await shelf.marks(shard), policy, now_ns)
            for shard in {candidate.shard for candidate in worst}
        }
    return [_row(it, prices[it.shard], policy) for it in worst]


async def _candidates(shelf: Shelf) -> AsyncIterator[_Candidate]:
    for shard in range(await shelf.shard_count()):
        known = await shelf.risks(shard)
        async for account, state in shelf.accounts(shard):
            band = worst_band(known.get(account) or AccountRisk(account))
            yield _Candidate((-SEVERITY[band], account), shard, state, band)


def _worst(limit: int, candidates: Iterable[_Candidate]) -> list[_Candidate]:
    # by name: a scan may give an account twice
    once = {candidate.rank[1]: candidate for candidate in candidates}
    return nsmallest(limit, once.values())


def _row(it: _Candidate, prices: Prices, policy: Policy) -> AccountRow:
    return account_row(read_state(it.rank[1], it.state), it.shard, it.band, prices, policy)
