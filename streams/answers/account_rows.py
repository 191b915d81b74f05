"""One account in a list. Pure."""

from decimal import Decimal

import msgspec

from engine.events.pools import CROSS, pool_figures
from engine.ladder import Band
from engine.ledger.accounts import AccountState
from engine.margin.listed_part import listed_part
from engine.marks.mark_book import Prices
from engine.policy import Policy


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


def account_row(state: AccountState, shard: int, band: Band, prices: Prices, policy: Policy) -> AccountRow:
    """The row of an account whose worst pool is in `band`; its figures at `prices`."""
    figures = pool_figures(listed_part(state, policy), CROSS, prices, policy)
    return AccountRow(
        account=state.account,
        shard=shard,
        band=band,
        ratio=figures.ratio,
        equity=figures.equity,
        maintenance_margin=figures.maintenance_margin,
        degraded=figures.degraded,
        stopped=state.stopped,
    )
