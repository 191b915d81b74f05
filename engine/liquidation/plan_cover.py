"""Who would bear what a takeover is expected to leave unpaid: the fund of each contract's group, then the winners of the other side.

    deficit of a group = expected shortfall * sum of expected losses of its legs / sum of those of all legs     legs that lose

Closing winners costs no fee and no slippage, so a leg asks them for its part of the shortfall at most at what closing it gives.

Where no contract loses, as in a pool of debts alone, there is no other side to ask: the fund that pays for the contracts that no other
names (of an isolated position whose contracts are gone, that of its contract) bears the shortfall as far as it goes.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from decimal import Decimal

import msgspec

from engine.liquidation.adl import AdlCandidate
from engine.liquidation.adl_holders import Side
from engine.liquidation.deficit_cover import DeficitCover, cover_deficit
from engine.liquidation.deleveraging import AdlCut, Closing
from engine.liquidation.fund_groups import NO_CONTRACT, FundBalance, fund_of, fund_value
from engine.liquidation.plan import LiquidationPlan, TakeOverStep
from engine.margin.quotes import index_price
from engine.marks.mark_book import Prices
from engine.numbers import ZERO, canonical, divide, exact
from engine.policy import Policy

Holders = Callable[[str, Side], Sequence[AdlCandidate]]
"""Positions of one side in a contract, over all accounts."""


def losing_legs(plan: LiquidationPlan) -> list[TakeOverStep]:
    """Takeovers that are expected to lose something, of a plan that leaves something unpaid."""
    steps = [step for step in plan.steps if isinstance(step, TakeOverStep)]
    return [step for step in steps if step.expected_loss > 0] if plan.expected_shortfall else []


def other_side(step: TakeOverStep) -> Side:
    """Who is deleveraged: a long that is sold is closed against shorts."""
    return "short" if step.side == "sell" else "long"


def fund_values(funds: Sequence[FundBalance], prices: Prices, policy: Policy) -> dict[str, Decimal]:
    """By group, what its fund is worth in account currency."""
    return {fund.group: fund_value(fund, prices, policy) for fund in funds}


def with_cover(
    plan: LiquidationPlan,
    funds: Sequence[FundBalance],
    values: Mapping[str, Decimal],
    holders: Holders,
    prices: Prices,
    policy: Policy,
    contract: str = NO_CONTRACT,
) -> tuple[LiquidationPlan, dict[str, Decimal]]:
    """The plan of a takeover with who bears its shortfall, any other plan as it is; and what the funds are worth after it.

    `values`: by group what its fund still has (`fund_values` at first), so that no two plans are paid out of the same money.
    `contract`: of an isolated position its symbol.
    """
    legs, after = losing_legs(plan), dict(values)
    if not plan.expected_shortfall:
        return plan, after
    with exact():
        by_group: dict[str, list[TakeOverStep]] = {}
        for leg in legs:
            by_group.setdefault(_group_of(leg.symbol, funds), []).append(leg)
        if not legs:
            by_group[_group_of(contract, funds)] = []
        covers = []
        for (group, of_it), deficit in zip(by_group.items(), _deficits(plan, by_group.values()), strict=True):
            closings = _closings(of_it, holders, prices, policy)
            covers.append(cover_deficit(deficit, after.get(group, ZERO), closings, policy.deleveraging))
            if group:
                after[group] = covers[-1].fund_after
        return msgspec.structs.replace(plan, cover=_summed(covers)), after


def unpaid_by_contract(plan: LiquidationPlan, contract: str = NO_CONTRACT) -> dict[str, Decimal]:
    """What the plan is expected to leave unpaid, by the contracts whose takeover loses it; all of it under `contract` where none does.

    `contract`: as of `with_cover`.
    """
    by_contract: dict[str, list[TakeOverStep]] = {}
    for leg in losing_legs(plan):
        by_contract.setdefault(leg.symbol, []).append(leg)
    if plan.expected_shortfall and not by_contract:
        by_contract[contract] = []
    with exact():
        return dict(zip(by_contract, _deficits(plan, by_contract.values()), strict=True))


def _group_of(contract: str, funds: Sequence[FundBalance]) -> str:
    """The group whose fund pays for the contract; empty where none does."""
    fund = fund_of(contract, funds)
    return fund.group if fund else ""


def _deficits(plan: LiquidationPlan, parts: Collection[Sequence[TakeOverStep]]) -> list[Decimal]:
    """The deficit of each of these groups of legs, which together are all that lose; of one without legs all. Inside `exact()`."""
    lost = sum((leg.expected_loss for legs in parts for leg in legs), ZERO)
    deficits, left = [], plan.expected_shortfall
    for place, legs in enumerate(parts, 1):
        part = sum((leg.expected_loss for leg in legs), ZERO)
        # the last one has what rounding leaves
        deficit = left if place == len(parts) else divide(plan.expected_shortfall * part, lost)
        deficits.append(deficit)
        left -= deficit
    return deficits


def _closings(
    legs: Sequence[TakeOverStep], holders: Holders, prices: Prices, policy: Policy
) -> list[tuple[Closing, Sequence[AdlCandidate]]]:
    closings: list[tuple[Closing, Sequence[AdlCandidate]]] = []
    for leg in legs:
        instrument = policy.instruments[leg.symbol]
        closing = Closing(
            instrument=instrument,
            quantity=leg.quantity if leg.side == "sell" else -leg.quantity,
            price=leg.price,
            mark=leg.mark,
            index=index_price(policy, instrument.settle, prices)[0],
        )
        closings.append((closing, holders(leg.symbol, other_side(leg))))
    return closings


def _summed(covers: Sequence[DeficitCover]) -> DeficitCover:
    def total(name: str) -> Decimal:
        return canonical(sum((getattr(cover, name) for cover in covers), ZERO))

    cuts: list[AdlCut] = [cut for cover in covers for cut in cover.cuts]
    return DeficitCover(
        total("deficit"),
        total("from_fund"),
        total("fund_after"),
        tuple(cuts),
        total("overshoot"),
        total("uncovered"),
    )
