"""Reading the pools that are being liquidated, and who would bear what their takeovers leave unpaid."""

from collections.abc import Awaitable, Callable, Sequence

from engine.liquidation.fund_groups import NO_CONTRACT, FundBalance
from engine.liquidation.plan_cover import fund_values, losing_legs, other_side, with_cover
from engine.liquidation.priority import worst_first
from engine.policy import Policy
from engine.position_keys import symbol_of
from streams.answers.account_report import believed
from streams.answers.holders import holders_of
from streams.answers.liquidations_report import (
    LiquidatedPool,
    Planned,
    WorkReport,
    liquidated_of,
    liquidated_pool,
    plan_of,
    work_report,
)
from streams.answers.shelf import Shelf
from streams.store.redis_access import read_state

ReadFunds = Callable[[], Awaitable[Sequence[FundBalance]]]
"""Says what each group's fund has; asked only where a plan leaves something unpaid."""


async def read_liquidations(
    shelf: Shelf, policy: Policy, limit: int, now_ns: int, funds: ReadFunds | None
) -> WorkReport:
    """The `limit` worst with their plans. `funds` is None where no fund is stated.

    Raises `Problem`.
    """
    pools = await _pools(shelf, policy, now_ns)
    planned = [(pool, plan_of(pool, policy)) for pool in worst_first(pools, lambda pool: pool.risk)[:limit]]
    if funds is not None:
        planned = await _covered(shelf, planned, policy, now_ns, funds)
    return work_report(pools, planned, policy, now_ns)


async def _pools(shelf: Shelf, policy: Policy, now_ns: int) -> list[LiquidatedPool]:
    found: dict[tuple[str, str], LiquidatedPool] = {}
    for shard in range(await shelf.shard_count()):
        known = await shelf.risks(shard)
        liquidated = {account: pools for account, risk in known.items() if (pools := liquidated_of(risk))}
        if not liquidated:
            continue
        prices = believed(await shelf.marks(shard), policy, now_ns)
        async for account, data in shelf.accounts(shard):
            for pool, ladder in liquidated.get(account, {}).items():
                state = read_state(account, data)
                found[account, pool] = liquidated_pool(state, pool, ladder, prices, policy)
    # by name, which is how equal ones stay
    return [pool for _, pool in sorted(found.items(), key=lambda it: it[0])]


async def _covered(
    shelf: Shelf, planned: list[Planned], policy: Policy, now_ns: int, read_funds: ReadFunds
) -> list[Planned]:
    """The same with who would bear what takeovers leave unpaid."""
    if not any(plan.expected_shortfall for _, plan in planned if plan):
        return planned
    legs = [leg for _, plan in planned if plan for leg in losing_legs(plan)]
    funds = await read_funds()
    sides = sorted({(leg.symbol, other_side(leg)) for leg in legs})
    held = (await holders_of(shelf, policy, sides, now_ns)).by_side if sides else {}
    # one value for the whole list: the worst pools draw on it first
    values = fund_values(funds, planned[0][0].prices, policy)
    covered: list[Planned] = []
    for pool, plan in planned:
        told = plan
        if plan is not None:
            contract = symbol_of(pool.position) if pool.position else NO_CONTRACT
            told, values = with_cover(
                plan, funds, values, lambda *side: held[side], pool.prices, policy, contract
            )
        covered.append((pool, told))
    return covered
