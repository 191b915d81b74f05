"""The insurance fund as the exchange states it: one balance for each group of contracts, the newest statement counts.

fund of a contract = the group that names it, else the group that names none
fund of no contract = the group that names none: what debts leave unpaid, with no contract to have lost it
value              = sum of amount * index over its assets; an asset that the policy does not list counts 0
"""

from collections.abc import Iterable
from decimal import Decimal

import msgspec

from engine.inputs import Name, TimeNs
from engine.margin.quotes import index_price
from engine.marks.mark_book import Prices
from engine.numbers import ZERO, canonical, exact
from engine.policy import Policy

NO_CONTRACT = ""
"""Stands for a contract where none loses what stays unpaid."""


class FundBalance(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, tag="fund_balance"):
    """What the insurance fund of a group of contracts has. Its key is the group; an empty record ends the group."""

    group: Name
    """Its name; also the key of the record."""
    symbols: tuple[Name, ...] = ()
    """Contracts that it pays for; none: every contract that no other group names."""
    balances: dict[Name, Decimal]
    """By asset, in coins."""
    time_ns: TimeNs
    """Event time of the statement, in nanoseconds since the Unix epoch."""


def fund_of(symbol: str, funds: Iterable[FundBalance]) -> FundBalance | None:
    """The fund that pays for a contract, or for `NO_CONTRACT`; None where there is none."""
    by_group = sorted(funds, key=lambda fund: fund.group)
    naming = [fund for fund in by_group if symbol in fund.symbols]
    of_the_rest = [fund for fund in by_group if not fund.symbols]
    return next(iter(naming + of_the_rest), None)


def fund_value(fund: FundBalance, prices: Prices, policy: Policy) -> Decimal:
    """Its worth in account currency."""
    with exact():
        # sum of amount * index
        worth = (
            amount * index_price(policy, asset, prices)[0]
            for asset, amount in fund.balances.items()
            if asset in policy.assets
        )
        return canonical(sum(worth, ZERO))
