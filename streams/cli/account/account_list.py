"""Finding the accounts that `unimargin account list` shows, without holding all of them."""

from collections.abc import AsyncIterator, Iterable
from decimal import Decimal
from heapq import nsmallest
from typing import NamedTuple

import msgspec
from redis.asyncio import Redis

from engine.events.effects import AccountRisk
from engine.events.pools import CROSS, pool_figures
from engine.ladder import SEVERITY, Band
from engine.margin.listed_part import listed_part
from engine.marks.mark_book import Prices
from engine.policy import Policy
from streams.cli.account.account_report import believed, worst_band
from streams.config.settings import Settings
from streams.store.redis_access import open_redis, read_state, risks, saved_marks, shard_count
from streams.store.store_reader import StoreReader

CHUNK_ACCOUNTS = 10_000
"""Held while looking for the worst: about 10 MB of states."""


class AccountRow(msgspec.Struct, frozen=True, kw_only=True):
    """One account in the list; figures of its cross pool, in account currency."""

    account: str
    shard: int
    band: Band
    """The worst among its pools."""
    ratio: Decimal | None
    equity: Decimal
    maintenance_margin: Decimal
    degraded: bool
    stopped: bool


class _Candidate(NamedTuple):
    rank: tuple[int, str]
    shard: int
    state: bytes
    band: Band


async def list_accounts(
    settings: Settings, policy: Policy, band: Band | None, limit: int, now_ns: int
) -> list[AccountRow]:
    """Up to `limit` accounts, the worst band first, then by name; with `band` only those in it."""
    async with open_redis(settings) as client:
        store = StoreReader(client, settings.redis_prefix)
        worst: list[_Candidate] = []
        chunk: list[_Candidate] = []
        async for candidate in _candidates(client, settings.redis_prefix, store):
            if band is None or candidate.band is band:
                chunk.append(candidate)
            if len(chunk) >= CHUNK_ACCOUNTS:
                worst, chunk = _worst(limit, [*worst, *chunk]), []
        worst = _worst(limit, [*worst, *chunk])
        prices = {
            shard: believed(await saved_marks(store, shard), policy, now_ns)
            for shard in {candidate.shard for candidate in worst}
        }
    return [_row(candidate, prices[candidate.shard], policy) for candidate in worst]


async def _candidates(client: Redis, prefix: str, store: StoreReader) -> AsyncIterator[_Candidate]:
    for shard in range(await shard_count(client, prefix)):
        known = await risks(client, prefix, shard)
        async for account, state in store.accounts(shard):
            band = worst_band(known.get(account) or AccountRisk(account))
            yield _Candidate((-SEVERITY[band], account), shard, state, band)


def _worst(limit: int, candidates: Iterable[_Candidate]) -> list[_Candidate]:
    # by name: a scan may give an account twice
    once = {candidate.rank[1]: candidate for candidate in candidates}
    return nsmallest(limit, once.values())


def _row(candidate: _Candidate, prices: Prices, policy: Policy) -> AccountRow:
    account = candidate.rank[1]
    state = read_state(account, candidate.state)
    figures = pool_figures(listed_part(state, policy), CROSS, prices, policy)
    return AccountRow(
        account=account,
        shard=candidate.shard,
        band=candidate.band,
        ratio=figures.ratio,
        equity=figures.equity,
        maintenance_margin=figures.maintenance_margin,
        degraded=figures.degraded,
        stopped=state.stopped,
    )
