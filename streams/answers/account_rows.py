"""One account in a list: figures are those of the pool that puts it there. Pure."""

from decimal import Decimal

import msgspec

from engine.events.effects import AccountRisk
from engine.events.pools import CROSS, pool_figures
from engine.ladder import SEVERITY, Band, LadderState
from engine.ladder.controls import account_controls
from engine.ladder.states import CallKind, Controls
from engine.ledger.accounts import AccountState
from engine.margin.figures import Figures
from engine.margin.isolated_pool import judged_isolated
from engine.margin.listed_part import listed_part
from engine.marks.mark_book import Prices
from engine.numbers import canonical
from engine.policy import Policy

_CALLS = {call: place for place, call in enumerate(CallKind)}


class RiskRow(msgspec.Struct, frozen=True, kw_only=True):
    """One account in the list; figures are those of the pool whose band it shows, in account currency."""

    account: str
    shard: int
    band: Band
    """The worst among its pools."""
    position: str | None
    """Of the isolated position whose pool that is; None for the shared pool."""
    controls: Controls
    """The strictest of its pools'."""
    call: CallKind
    """The most urgent of its pools'."""
    deadline_ns: int | None
    episode_id: str | None
    ratio: Decimal | None
    equity: Decimal
    collateral_value: Decimal
    maintenance_margin: Decimal
    shortfall_to_call: Decimal
    shortfall_to_liquidation: Decimal
    degraded: bool
    stopped: bool


def risk_row(state: AccountState, risk: AccountRisk, shard: int, prices: Prices, policy: Policy) -> RiskRow:
    """The row of an account at `prices`."""
    pool, ladder, figures = worst_pool(state, risk, prices, policy)
    return RiskRow(
        account=state.account,
        shard=shard,
        band=ladder.band,
        position=pool or None,
        controls=strictest_controls(risk, stopped=state.stopped),
        call=most_urgent_call(risk),
        deadline_ns=ladder.deadline_ns,
        episode_id=ladder.episode_id,
        ratio=figures.ratio,
        equity=canonical(figures.equity),
        collateral_value=canonical(figures.collateral_value),
        maintenance_margin=canonical(figures.maintenance_margin),
        shortfall_to_call=canonical(figures.shortfall(policy.ladder.margin_call)),
        shortfall_to_liquidation=canonical(figures.shortfall(policy.ladder.liquidation)),
        degraded=figures.degraded,
        stopped=state.stopped,
    )


def worst_pool(
    state: AccountState, risk: AccountRisk, prices: Prices, policy: Policy
) -> tuple[str, LadderState, Figures]:
    """The pool in the worst band, of several in it the one with the lowest ratio. What the policy does not list is left out, as it is judged."""
    state = listed_part(state, policy)
    pools = [CROSS, *sorted({*judged_isolated(state), *risk.pools} - {CROSS})]
    found = []
    for pool in pools:
        ladder = risk.pools.get(pool, LadderState())
        figures = pool_figures(state, pool, prices, policy, ladder)
        found.append(((-SEVERITY[ladder.band], comparable(figures.ratio), pool), ladder, figures))
    (_, _, pool), ladder, figures = min(found, key=lambda it: it[0])
    return pool, ladder, figures


def strictest_controls(risk: AccountRisk, *, stopped: bool) -> Controls:
    """Of all pools of an account; a stopped one may do nothing."""
    return Controls.LOCKED if stopped else account_controls(risk.pools, risk.pools)


def most_urgent_call(risk: AccountRisk) -> CallKind:
    """Of all pools of an account."""
    return max((it.call for it in risk.pools.values()), key=_CALLS.__getitem__, default=CallKind.NONE)


def comparable(ratio: Decimal | None) -> float:
    """A ratio to sort by: infinite where nothing is required."""
    return float("inf") if ratio is None else float(ratio)
