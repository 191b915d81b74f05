"""`unimargin liquidations`: the pools that are being liquidated, the worst first: what a liquidation desk works through."""

import time
from decimal import Decimal
from typing import Annotated, NamedTuple

import msgspec
import typer
from rich.table import Table
from rich.text import Text

from engine.events.effects import AccountRisk
from engine.events.pools import pool_figures
from engine.ladder import SEVERITY, Band, LadderState, exit_line
from engine.ledger.accounts import AccountState
from engine.liquidation.fund_groups import NO_CONTRACT
from engine.liquidation.plan import LiquidationPlan
from engine.liquidation.plan_cover import fund_values, losing_legs, other_side, with_cover
from engine.liquidation.planner import liquidation_plan
from engine.liquidation.priority import PoolRisk, worst_first
from engine.margin.figures import Figures
from engine.margin.listed_part import listed_part
from engine.marks.mark_book import Prices
from engine.numbers import ZERO, exact
from engine.policy import Policy
from engine.position_keys import symbol_of
from streams.cli.account.account_report import believed
from streams.cli.account.account_tables import RATIO_PLACES
from streams.cli.liquidations.holders import holders_of
from streams.cli.liquidations.plan_words import plan_in_short
from streams.config.invocation import ConfigOption, JsonOption, run, tell_mistakes
from streams.config.settings import Settings, load_policy, load_settings
from streams.config.terminal import amount, band_text, console, json_out, printable, table
from streams.kafka.fund_reader import read_funds
from streams.store.redis_access import open_redis, read_state, risks, saved_marks, shard_count
from streams.store.store_reader import StoreReader

_PLACES = 2


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


class _Pool(NamedTuple):
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


@tell_mistakes
def liquidations(
    limit: Annotated[int, typer.Option(min=1, help="Show at most so many, the worst first.")] = 20,
    as_json: JsonOption = False,  # noqa: FBT002 - an option of the command line
    config: ConfigOption = None,
) -> None:
    """List the pools in liquidation, the least covered first, each with the plan that would end it now."""
    settings = load_settings(config)
    policy = load_policy(settings.policy_file)
    now_ns = time.time_ns()
    pools = run(_pools(settings, policy, now_ns))
    planned = [(pool, _plan(pool, policy)) for pool in worst_first(pools, lambda pool: pool.risk)[:limit]]
    if settings.fund_topic_enabled:
        planned = run(_covered(settings, planned, policy, now_ns))
    report = _report(pools, planned, policy, now_ns)
    if as_json:
        json_out(report)
        return
    out = console()
    out.print(_table(report))
    rest = f", {len(report.items)} shown" if len(report.items) < report.pools else ""
    out.print(
        Text(
            f"{report.pools} pools in liquidation{rest}, {report.bankrupt} of them bankrupt; "
            f"expected shortfall {amount(report.expected_shortfall, _PLACES)} {report.currency}"
        )
    )


async def _pools(settings: Settings, policy: Policy, now_ns: int) -> list[_Pool]:
    found: dict[tuple[str, str], _Pool] = {}
    async with open_redis(settings) as client:
        store = StoreReader(client, settings.redis_prefix)
        for shard in range(await shard_count(client, settings.redis_prefix)):
            known = await risks(client, settings.redis_prefix, shard)
            liquidated = {account: pools for account, risk in known.items() if (pools := _liquidated(risk))}
            if not liquidated:
                continue
            prices = believed(await saved_marks(store, shard), policy, now_ns)
            async for account, data in store.accounts(shard):
                for pool, ladder in liquidated.get(account, {}).items():
                    found[account, pool] = _pool(read_state(account, data), pool, ladder, prices, policy)
    # by name, which is how equal ones stay
    return [pool for _, pool in sorted(found.items(), key=lambda it: it[0])]


def _liquidated(risk: AccountRisk) -> dict[str, LadderState]:
    lowest = SEVERITY[Band.LIQUIDATION]
    return {pool: ladder for pool, ladder in risk.pools.items() if SEVERITY[ladder.band] >= lowest}


def _pool(state: AccountState, pool: str, ladder: LadderState, prices: Prices, policy: Policy) -> _Pool:
    state = listed_part(state, policy)
    return _Pool(state, pool, ladder, prices, pool_figures(state, pool, prices, policy))


def _plan(pool: _Pool, policy: Policy) -> LiquidationPlan | None:
    if pool.figures.degraded:
        return None
    with exact():
        line = exit_line(pool.ladder, policy.ladder)
    return liquidation_plan(pool.state, pool.position, pool.prices, policy, exit_line=line)


_Planned = tuple[_Pool, LiquidationPlan | None]


async def _covered(
    settings: Settings, planned: list[_Planned], policy: Policy, now_ns: int
) -> list[_Planned]:
    """The same with who would bear what takeovers leave unpaid."""
    if not any(plan.expected_shortfall for _, plan in planned if plan):
        return planned
    legs = [leg for _, plan in planned if plan for leg in losing_legs(plan)]
    funds = await read_funds(settings)
    sides = sorted({(leg.symbol, other_side(leg)) for leg in legs})
    held = (await holders_of(settings, policy, sides, now_ns)).by_side if sides else {}
    # one value for the whole list: the worst pools draw on it first
    values = fund_values(funds, planned[0][0].prices, policy)
    covered: list[_Planned] = []
    for pool, plan in planned:
        told = plan
        if plan is not None:
            contract = symbol_of(pool.position) if pool.position else NO_CONTRACT
            told, values = with_cover(
                plan, funds, values, lambda *side: held[side], pool.prices, policy, contract
            )
        covered.append((pool, told))
    return covered


def _report(pools: list[_Pool], planned: list[_Planned], policy: Policy, now_ns: int) -> WorkReport:
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


def _item(rank: int, pool: _Pool, plan: LiquidationPlan | None) -> WorkItem:
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


def _table(report: WorkReport) -> Table:
    numbers = ["#", "ratio", f"equity {report.currency}", f"requirement {report.currency}"]
    shown = table(
        "Liquidations, the worst first", ["#", "account", "pool", "band", *numbers[1:], "plan"], numbers
    )
    for item in report.items:
        shown.add_row(
            str(item.rank),
            printable(item.account),
            printable(item.position or "cross"),
            band_text(item.band),
            amount(item.ratio, RATIO_PLACES),
            amount(item.equity, _PLACES),
            amount(item.requirement, _PLACES),
            "a price is stale or missing" if item.plan is None else plan_in_short(item.plan),
        )
    return shown
