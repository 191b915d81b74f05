"""The pools that are being liquidated, the worst first, each with the plan that would end it now. Pure."""

from decimal import Decimal
from typing import NamedTuple

import msgspec

from engine.events.effects import AccountRisk
from engine.events.pools import pool_figures
from engine.ladder import SEVERITY, Band, LadderState, exit_line
from engine.ledger.accounts import AccountState
from engine.liquidation.plan import LiquidationPlan
from engine.liquidation.planner import liquidation_plan
from engine.liquidation.priority import PoolRisk
from engine.margin.figures import Figures
from engine.margin.listed_part import listed_part
from engine.marks.mark_book import Prices
from engine.numbers import ZERO, exact
from engine.policy import Policy


class WorkItem(msgspec.Struct, frozen=True, kw_only=True):
    """One pool in liquidation; amounts in account currency, at the prices saved last."""

    rank: int
    account: str
    position: str | None
    """Of an isolated position; None for the cross pool."""
    band: Band
    episode_id: str | None
    liquidation_id: str | None
    """Of the request that runs."""
    degraded: bool
    ratio: Decimal | None
    equity: Decimal
    collateral_value: Decimal
    requirement: Decimal
    plan: LiquidationPlan | None
    """As it would be made now; None while a price is stale or missing. Where the fund's topic is read, a takeover says who would
    bear its shortfall: the fund pays the worst pools first; winners are asked by each pool as if it were the only one."""


class LiquidatedPool(NamedTuple):
    """A pool in liquidation and where it stands."""

    state: AccountState
    position: str
    ladder: LadderState
    prices: Prices
    figures: Figures

    @property
    def risk(self) -> PoolRisk:
        """What it has against what it needs."""
        return PoolRisk(self.figures.collateral_value, self.figures.requirement)


class WorkReport(msgspec.Struct, frozen=True, kw_only=True):
    """The list, and what it sums to."""

    currency: str
    policy: str
    policy_digest: str
    read_at_ns: int
    pools: int
    bankrupt: int
    expected_shortfall: Decimal
    """Of the plans shown."""
    items: tuple[WorkItem, ...]


def liquidated_of(risk: AccountRisk) -> dict[str, LadderState]:
    """The pools that are in liquidation or bankrupt."""
    lowest = SEVERITY[Band.LIQUIDATION]
    return {pool: ladder for pool, ladder in risk.pools.items() if SEVERITY[ladder.band] >= lowest}


def liquidated_pool(
    state: AccountState, pool: str, ladder: LadderState, prices: Prices, policy: Policy
) -> LiquidatedPool:
    """The pool at `prices`. What the policy does not list is left out."""
    state = listed_part(state, policy)
    return LiquidatedPool(state, pool, ladder, prices, pool_figures(state, pool, prices, policy))


def plan_of(pool: LiquidatedPool, policy: Policy) -> LiquidationPlan | None:
    """The plan that would end it now; None while a price is stale or missing."""
    if pool.figures.degraded:
        return None
    with exact():
        line = exit_line(pool.ladder, policy.ladder)
    return liquidation_plan(pool.state, pool.position, pool.prices, policy, exit_line=line)


Planned = tuple[LiquidatedPool, LiquidationPlan | None]
"""A pool and the plan that would end it."""


def work_report(
    pools: list[LiquidatedPool], planned: list[Planned], policy: Policy, now_ns: int
) -> WorkReport:
    """The list of `planned`, worst first, and what all `pools` sum to."""
    items = tuple(_item(rank, pool, plan) for rank, (pool, plan) in enumerate(planned, 1))
    with exact():
        shortfall = sum((item.plan.expected_shortfall for item in items if item.plan), ZERO)
    return WorkReport(
        currency=policy.account_currency,
        policy=policy.name,
        policy_digest=policy.digest,
        read_at_ns=now_ns,
        pools=len(pools),
        bankrupt=sum(pool.ladder.band is Band.BANKRUPT for pool in pools),
        expected_shortfall=shortfall,
        items=items,
    )


def _item(rank: int, pool: LiquidatedPool, plan: LiquidationPlan | None) -> WorkItem:
    figures = pool.figures
    return WorkItem(
        rank=rank,
        account=pool.state.account,
        position=pool.position or None,
        band=pool.ladder.band,
        episode_id=pool.ladder.episode_id,
        liquidation_id=pool.ladder.request.liquidation_id if pool.ladder.request else None,
        degraded=figures.degraded,
        ratio=figures.ratio,
        equity=figures.equity,
        collateral_value=figures.collateral_value,
        requirement=figures.requirement,
        plan=plan,
    )
