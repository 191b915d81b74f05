"""What comes behind a verdict: the plan of a liquidation, and what a desk asks first of an event.

Both are computed from what the account and the prices are *now*, which may be later than the verdict; the event says of which inputs
and marks, and names the verdict. What is due is durable with the verdict (`LadderState.plan_due`, `detail_due`), so that whoever takes
over after a crash says it, once. A pool that got out of liquidation meanwhile gets no plan; its `liquidation.completed` ends the verdict.
"""

from collections.abc import Iterable

import msgspec

from engine.events.contents import detail_of
from engine.events.effects import AccountRisk, Detail, RiskEvent, Stream
from engine.events.judgement import Judgement, facts_of
from engine.events.pools import pool_figures
from engine.events.saying import Situation, numbered, recorded
from engine.ladder import LadderState, exit_line
from engine.ladder.episode import plan_asked, requested
from engine.ladder.table import TRANSITIONS, EventType, Trigger
from engine.ledger.accounts import AccountState
from engine.liquidation.planner import liquidation_plan
from engine.margin.dust import without_dust
from engine.margin.listed_part import is_judged
from engine.marks.mark_book import Prices
from engine.numbers import exact
from engine.policy import Policy

BEHIND = frozenset({EventType.LIQUIDATION_REQUESTED, EventType.EXPLAINED})
"""What is said here, and by no judgement."""

_replace = msgspec.structs.replace


def reasons_due(state: LadderState, policy: Policy, hold: int | None = None) -> list[Trigger]:
    """What is due of a pool and can be said now: no plan while the breaker is open (`hold`)."""
    planned = hold is None and plan_asked(state, policy)
    return [Trigger.PLANNED] * planned + [Trigger.EXPLAINED] * state.detail_due


def reasons(
    state: AccountState,
    risk: AccountRisk,
    prices: Prices,
    now_ns: int,
    policy: Policy,
    *,
    hold: int | None = None,
) -> Judgement:
    """Say the plans and details that are due of the account's verdicts."""
    events: list[RiskEvent] = []
    for pool in sorted(risk.pools):
        due = reasons_due(risk.pools[pool], policy, hold) if is_judged(pool, policy) else []
        if not due:
            continue
        before = risk.pools[pool]
        figures = pool_figures(state, pool, prices, policy, before)
        facts = facts_of(state, pool, figures, before, now_ns, policy)._replace(hold=hold)
        counted = without_dust(state, policy)
        situation = Situation(counted, pool, prices, policy, figures, facts, None, detailed=False)
        for trigger in due:
            planned = trigger is Trigger.PLANNED
            risk, event = _planned(situation, state, risk) if planned else _explained(situation, risk)
            events.append(event)
    return Judgement(risk, tuple(events))


def _planned(situation: Situation, state: AccountState, risk: AccountRisk) -> tuple[AccountRisk, RiskEvent]:
    """`state` is the account with its dust, which a takeover takes too."""
    before = risk.pools[situation.pool]
    types = TRANSITIONS[before.band, Trigger.PLANNED, before.band]
    # the number that the request is going to have
    number = risk.sequences.get(Stream.LIQUIDATIONS, 0) + 1
    liquidation_id = f"{risk.account}/{situation.pool or 'cross'}/{number}"
    with exact():
        line = exit_line(before, situation.policy.ladder)
    plan = liquidation_plan(state, situation.pool, situation.prices, situation.policy, exit_line=line)
    risk, event = _said(situation, risk, types, requested(before, liquidation_id, situation.facts))
    return risk, _replace(event, liquidation_id=liquidation_id, replaces=event.liquidation_id, plan=plan)


def _explained(situation: Situation, risk: AccountRisk) -> tuple[AccountRisk, RiskEvent]:
    before = risk.pools[situation.pool]
    types = TRANSITIONS[before.band, Trigger.EXPLAINED, before.band]
    risk, event = _said(situation, risk, types, _replace(before, detail_due=False))
    return risk, _replace(event, detail=_detail(situation, event.marks))


def _said(
    situation: Situation, risk: AccountRisk, types: tuple[EventType, ...], after: LadderState
) -> tuple[AccountRisk, RiskEvent]:
    sequences: dict[Stream, int] = dict(risk.sequences)
    before = risk.pools[situation.pool]
    (event,) = numbered(situation, types, sequences, before, after)
    return recorded(risk, situation.pool, after, sequences), _replace(event, verdict=before.verdict_id)


def _detail(situation: Situation, marks: Iterable[str]) -> Detail:
    state, pool, prices, policy, figures = situation[:5]
    own = {symbol: prices.marks[symbol] for symbol in marks}
    return detail_of(
        state,
        pool,
        _replace(prices, marks=own),
        policy,
        figures,
        lambda at: pool_figures(state, pool, at, policy),
    )
