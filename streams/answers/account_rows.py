"""One account in a list. Pure."""

from decimal import Decimal

import msgspec

from engine.events.effects import AccountRisk
from engine.events.pools import CROSS, pool_figures
from engine.ladder import Band
from engine.ledger.accounts import AccountState
from engine.marks.mark_book import Prices
from engine.policy import Policy
from streams.answers.account_report import check_listed


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
    """The row of an account whose worst pool is in `band`; its figures at `prices`. Raises `Problem` for what the policy does not list."""
    check_listed(state, AccountRisk(state.account), policy)
    figures = pool_figures(state, CROSS, prices, policy)
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
