"""How near the winners of a contract are to being deleveraged: none, soon, active.

    taken     = expected shortfall of all pools in liquidation, by the contracts of a group, at the newest marks; that of debts
                  alone counts in the group that names no contract
    spent       taken >= active share * worth of the group's fund
    active      spent, and liquidations in the contract itself leave something unpaid: its winners have to give
    soon        spent, or taken >= soon share * worth of the fund
    none        else

    entered     at once
    left        when all of it has not been so at both shares less the exit band, for the hold time in event time

An empty fund is spent though nothing is taken: what the next liquidation leaves unpaid winners have to give.

Sources: OKX' channel `adl-warning` has the states "will be triggered soon" and "is triggered"; OKX and Bybit deleverage when a fund has lost
30 % within 8 hours or is empty, and Bybit ends that at 25 % (`adlAlert`: `insurancePnlRatio`, `adlStopRatio`). They look at what a fund has
lost; here the same shares are held against what it is about to lose.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from decimal import Decimal
from enum import StrEnum

import msgspec

from engine.liquidation.fund_groups import NO_CONTRACT, FundBalance, fund_of, fund_value
from engine.marks.mark_book import NANOSECONDS, Prices
from engine.numbers import ZERO, canonical, exact
from engine.policy import Policy
from engine.policy.rules.deleveraging_rules import DeleveragingRules
from engine.policy.rules.policy_switches import InstrumentKind


class AdlLevel(StrEnum):
    """From best to worst."""

    NONE = "none"
    """The fund bears what is being liquidated."""
    SOON = "soon"
    """Much of the fund is about to be taken, or nothing is left of it: winners may have to give."""
    ACTIVE = "active"
    """What liquidations in this contract leave unpaid is more than the fund has: winners of the other side have to give."""


class AdlReason(StrEnum):
    """Why a level changed."""

    SHORTFALL = "expected_shortfall"
    """What liquidations are expected to leave unpaid takes the level's share of the fund."""
    FUND_EMPTY = "fund_empty"
    """The fund has nothing left, and nothing is taken of it."""
    RELIEVED = "relieved"
    """Neither has been so for the hold time."""


class FundExposure(msgspec.Struct, frozen=True, kw_only=True):
    """A contract, and what is expected to be taken of the fund that pays for it. Amounts in account currency."""

    group: str
    """Of contracts that the fund pays for."""
    fund: Decimal
    """Its worth."""
    stated_ns: int
    """When the exchange stated what it has."""
    expected_shortfall: Decimal
    """Of all contracts of the group together, and of debts alone where the group pays for them."""
    expected_shortfall_of_symbol: Decimal
    """Of these what takeovers in this contract leave unpaid."""


class AdlState(msgspec.Struct, frozen=True):
    """Where a contract stands. Times are event time."""

    level: AdlLevel = AdlLevel.NONE
    since_ns: int | None = None
    """When it came to the level; None where nothing was ever said."""
    exit_since_ns: int | None = None
    """Since when it could leave the level; None while it could not."""
    sequence: int = 0
    """Number of changes so far."""


def fund_exposures(
    unpaid: Sequence[Mapping[str, Decimal]], funds: Sequence[FundBalance], prices: Prices, policy: Policy
) -> dict[str, FundExposure]:
    """By contract that a fund pays for. `unpaid`: of each shard the expected shortfall by contract.

    What no contract loses is taken of the fund that names none: it brings its contracts nearer, and is that of none of them.
    """
    paying = {
        symbol: fund
        for symbol, instrument in policy.instruments.items()
        if instrument.kind is not InstrumentKind.SPOT and (fund := fund_of(symbol, funds)) is not None
    }
    of_symbol, of_group = defaultdict[str, Decimal](Decimal), defaultdict[str, Decimal](Decimal)
    worth = {fund.group: fund_value(fund, prices, policy) for fund in funds}
    of_the_rest = fund_of(NO_CONTRACT, funds)
    with exact():
        for part in unpaid:
            if of_the_rest is not None:
                of_group[of_the_rest.group] += part.get(NO_CONTRACT, ZERO)
            for symbol in paying.keys() & part.keys():
                of_symbol[symbol] += part[symbol]
                of_group[paying[symbol].group] += part[symbol]
    return {
        symbol: FundExposure(
            group=fund.group,
            fund=worth[fund.group],
            stated_ns=fund.time_ns,
            expected_shortfall=canonical(of_group[fund.group]),
            expected_shortfall_of_symbol=canonical(of_symbol[symbol]),
        )
        for symbol, fund in paying.items()
    }


def advance_adl(before: AdlState, exposure: FundExposure, now_ns: int, rules: DeleveragingRules) -> AdlState:
    """The contract's state at event time `now_ns`."""
    entered = _level(exposure, rules, ZERO)
    kept = _level(exposure, rules, rules.risk_exit_band)
    if _RANK[entered] > _RANK[before.level]:
        return AdlState(entered, now_ns, None, before.sequence + 1)
    if _RANK[kept] >= _RANK[before.level]:
        return msgspec.structs.replace(before, exit_since_ns=None)
    since_ns = now_ns if before.exit_since_ns is None else before.exit_since_ns
    if now_ns - since_ns < int(rules.risk_hold_seconds * NANOSECONDS):
        return msgspec.structs.replace(before, exit_since_ns=since_ns)
    return AdlState(kept, now_ns, None, before.sequence + 1)


def reason_of(before: AdlState, after: AdlState, exposure: FundExposure) -> AdlReason:
    """Why the level changed from one to the other."""
    if _RANK[after.level] < _RANK[before.level]:
        return AdlReason.RELIEVED
    return AdlReason.SHORTFALL if exposure.expected_shortfall else AdlReason.FUND_EMPTY


def _level(exposure: FundExposure, rules: DeleveragingRules, band: Decimal) -> AdlLevel:
    """The level by figures, each share less `band`."""
    with exact():
        # taken >= (share - band) * fund
        taken, fund = exposure.expected_shortfall, exposure.fund
        spent = taken >= (rules.active_fund_share - band) * fund
        soon = spent or taken >= (rules.soon_fund_share - band) * fund
    if spent and exposure.expected_shortfall_of_symbol:
        return AdlLevel.ACTIVE
    return AdlLevel.SOON if soon else AdlLevel.NONE


_RANK = {level: rank for rank, level in enumerate(AdlLevel)}
