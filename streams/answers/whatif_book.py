"""What `unimargin whatif --all` says: which of all accounts come into another band when the market moves.

Bands are what the figures alone say, before and after, as for one account: nobody's liquidation moves the market further.
Cost: every account is read and valued exactly twice at each call, some 0.2 ms on one core: half a minute for 100,000. Held at once: the
risk records of a shard, all names, and `CHUNK_ACCOUNTS` rows.
"""

from collections import Counter
from decimal import Decimal
from heapq import nsmallest
from typing import NamedTuple

import msgspec

from engine.analytics.what_if import Market
from engine.events.effects import AccountRisk
from engine.events.pools import CROSS, pool_figures
from engine.ladder import SEVERITY, Band, LadderState, band_at
from engine.ledger.accounts import AccountState
from engine.margin.figures import Figures
from engine.margin.isolated_pool import judged_isolated
from engine.margin.listed_part import listed_part
from engine.marks.mark_book import Prices
from engine.numbers import ONE, canonical
from engine.policy import Policy
from streams.answers.account_report import believed
from streams.answers.account_rows import comparable
from streams.answers.asked_changes import AskedShock
from streams.answers.shelf import Shelf
from streams.config.problem import Problem
from streams.store.redis_access import read_state

CHUNK_ACCOUNTS = 10_000
UNREADABLE_NAMED_MAX = 5


class MovedAccount(msgspec.Struct, frozen=True, kw_only=True):
    """An account that comes into another band; figures of the pool that ends worst, in account currency."""

    account: str
    shard: int
    position: str | None
    """Of the isolated position whose pool that is; None for the shared pool."""
    band: Band
    """Where the engine has put it, with hysteresis."""
    band_before: Band
    band_after: Band
    ratio_before: Decimal | None
    ratio_after: Decimal | None
    equity_before: Decimal
    equity_after: Decimal
    maintenance_margin_after: Decimal
    shortfall_to_call: Decimal
    """After the move."""
    shortfall_to_liquidation: Decimal
    degraded: bool


class BandChange(msgspec.Struct, frozen=True, kw_only=True):
    """How many accounts go from one band to another, each by the pool in its row."""

    before: Band
    after: Band
    accounts: int


class WhatIfBook(msgspec.Struct, frozen=True, kw_only=True):
    """The answer."""

    currency: str
    policy: str
    policy_digest: str
    read_at_ns: int
    shocks: tuple[AskedShock, ...]
    read: int
    """Accounts that were looked at."""
    total: int
    """Those of them that change band."""
    changes: tuple[BandChange, ...]
    """Into the worst band first."""
    accounts: tuple[MovedAccount, ...]
    """The riskiest after the move first."""
    not_repriced: tuple[str, ...]
    """Options on a shocked underlying that keep their mark, because volatility or forward are not known."""
    unreadable: tuple[str, ...]
    """Accounts that this version cannot read, the first of them."""


class _Pool(NamedTuple):
    rank: tuple[int, float, str]
    before: Figures
    after: Figures
    was: Band
    now: Band
    ladder: LadderState


async def what_if_all(
    shelf: Shelf,
    policy: Policy,
    shocks: tuple[AskedShock, ...],
    limit: int,
    now_ns: int,
) -> WhatIfBook:
    """Move every account's prices. Raises `Problem`."""
    factors = {shock.target: canonical(ONE + shock.move) for shock in shocks}
    names, counted, kept = set[str](), Counter[tuple[Band, Band]](), set[str]()
    held: list[MovedAccount] = []
    unreadable: list[str] = []
    for shard in range(await shelf.shard_count()):
        known = await shelf.risks(shard)
        prices = believed(await shelf.marks(shard), policy, now_ns)
        market = Market(factors, prices, policy)
        moved = market.at(factors)
        kept.update(market.not_repriced)
        async for account, data in shelf.accounts(shard):
            if account in names:  # a scan may give an account twice
                continue
            try:
                state = read_state(account, data)
            except Problem as problem:
                unreadable.append(str(problem))
                del unreadable[UNREADABLE_NAMED_MAX:]
                continue
            names.add(account)
            row = _moved(state, known.get(account) or AccountRisk(account), shard, prices, moved, policy)
            if row is None:
                continue
            counted[row.band_before, row.band_after] += 1
            held.append(row)
            if len(held) >= CHUNK_ACCOUNTS + limit:
                held = nsmallest(limit, held, key=_rank)
    changes = sorted(counted.items(), key=lambda it: (-SEVERITY[it[0][1]], -SEVERITY[it[0][0]]))
    return WhatIfBook(
        currency=policy.account_currency,
        policy=policy.name,
        policy_digest=policy.digest,
        read_at_ns=now_ns,
        shocks=shocks,
        read=len(names),
        total=counted.total(),
        changes=tuple(BandChange(before=was, after=now, accounts=n) for (was, now), n in changes),
        accounts=tuple(nsmallest(limit, held, key=_rank)),
        not_repriced=tuple(sorted(kept)),
        unreadable=tuple(unreadable),
    )


def _rank(row: MovedAccount) -> tuple[int, float, str]:
    return -SEVERITY[row.band_after], comparable(row.ratio_after), row.account


def _moved(
    state: AccountState, risk: AccountRisk, shard: int, prices: Prices, moved: Prices, policy: Policy
) -> MovedAccount | None:
    """The account's row; None for one whose pools all stay in their bands."""
    state = listed_part(state, policy)
    found: list[_Pool] = []
    for pool in [CROSS, *sorted({*judged_isolated(state), *risk.pools} - {CROSS})]:
        ladder = risk.pools.get(pool, LadderState())
        before = pool_figures(state, pool, prices, policy, ladder)
        after = pool_figures(state, pool, moved, policy, ladder)
        was, now = band_at(before, policy.ladder), band_at(after, policy.ladder)
        if was is not now:
            rank = (-SEVERITY[now], comparable(after.ratio), pool)
            found.append(_Pool(rank, before, after, was, now, ladder))
    if not found:
        return None
    worst = min(found, key=lambda it: it.rank)
    before, after = worst.before, worst.after
    return MovedAccount(
        account=state.account,
        shard=shard,
        position=worst.rank[2] or None,
        band=worst.ladder.band,
        band_before=worst.was,
        band_after=worst.now,
        ratio_before=before.ratio,
        ratio_after=after.ratio,
        equity_before=canonical(before.equity),
        equity_after=canonical(after.equity),
        maintenance_margin_after=canonical(after.maintenance_margin),
        shortfall_to_call=canonical(after.shortfall(policy.ladder.margin_call)),
        shortfall_to_liquidation=canonical(after.shortfall(policy.ladder.liquidation)),
        degraded=after.degraded,
    )
