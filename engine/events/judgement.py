"""Judging one account: figures -> ladder -> events, for the cross pool and each isolated position.

`engine.ladder` says which transition a pool makes and what is said of it (`engine.ladder.table`); `saying` makes numbered
events of that. This is the verdict; plans and details come behind it (`reasons`).
"""

import msgspec

from engine.events.effects import AccountRisk, RiskEvent
from engine.events.pools import CROSS, NOTHING, WELL, pool_figures
from engine.events.saying import Situation, Transition, say
from engine.ladder import Band, LadderState, advance, exit_line
from engine.ladder.controls import told
from engine.ladder.episode import Facts, remembered, triggers
from engine.ledger.accounts import AccountState
from engine.ledger.executions import execution_of
from engine.margin.dust import without_dust
from engine.margin.figures import Figures
from engine.margin.isolated_pool import judged_isolated
from engine.margin.listed_part import is_judged
from engine.marks.mark_book import NANOSECONDS, Prices
from engine.numbers import canonical, exact
from engine.policy import Policy

EXPLAINED_MAX = 10
"""Accounts that come into a worse band in one instant (or one call to judge) and are explained, the most urgent: a detail costs half a
millisecond, and an instant may move thousands. `unimargin explain` has it for every event."""


class Judgement(msgspec.Struct, frozen=True):
    """The account's new risk record and the events that say so; no event, nothing durable changed."""

    risk: AccountRisk
    events: tuple[RiskEvent, ...] = ()
    cross: Figures = NOTHING
    """Figures of the cross pool that it came from, for those who count them."""
    waits: bool = False
    """Whether a pool was left as it stands for the sake of quotes that wait."""


def judge(
    state: AccountState,
    risk: AccountRisk,
    prices: Prices,
    now_ns: int,
    policy: Policy,
    cause_ns: int | None = None,
    *,
    detailed: bool = True,
    hold: int | None = None,
) -> Judgement:
    """Judge every pool of the account at `prices` and event time `now_ns`; `detailed` verdicts are to be explained.

    Dust in its wallet counts as none. `cause_ns` is the event time of the instant of marks that caused it.
    `hold` is the number of the opening of the breaker while
    it is open: nobody enters liquidation or bankruptcy, and who waits for a plan waits for it.
    """
    events: list[RiskEvent] = []
    cross, waits = NOTHING, False
    state = without_dust(state, policy)
    doubt_hold_ns = 0 if state.stopped else int(policy.ladder.degraded_hold_seconds * NANOSECONDS)
    pools = sorted({CROSS, *judged_isolated(state), *(it for it in risk.pools if is_judged(it, policy))})
    for pool in pools:
        before = risk.pools.get(pool, WELL)
        figures = pool_figures(state, pool, prices, policy, before)
        if figures.waits:
            cross, waits = figures if pool == CROSS else cross, True
            continue
        after = advance(before, figures, now_ns, policy.ladder, hold, doubt_hold_ns=doubt_hold_ns)
        if figures.doubted and after.band is not before.band:
            # whether a verdict hangs on doubt is asked of where it stands: judging again must say nothing else
            figures = pool_figures(state, pool, prices, policy, after)
            after = advance(after, figures, now_ns, policy.ladder, hold, doubt_hold_ns=doubt_hold_ns)
        after = told(before, after, figures, now_ns, policy.ladder, stopped=state.stopped)
        if pool == CROSS:
            cross = figures
        if after == before and before.band is Band.HEALTHY:
            continue
        facts = facts_of(state, pool, figures, after, now_ns, policy)._replace(hold=hold)
        found = triggers(before, after, facts, policy)
        after = remembered(before, after, facts, found, policy)
        if after != before:
            situation = Situation(state, pool, prices, policy, figures, facts, cause_ns, detailed)
            risk, said = say(situation, Transition(before, after, found), risk)
            events += said
    return Judgement(risk, tuple(events), cross, waits)


def facts_of(
    state: AccountState, pool: str, figures: Figures, after: LadderState, now_ns: int, policy: Policy
) -> Facts:
    """What is known of the pool besides its band, `after` being where it stands."""
    with exact():
        shortfall = figures.shortfall(exit_line(after, policy.ladder))
    execution = execution_of(state, pool)
    return Facts(now_ns, canonical(shortfall), state.fills.offset, state.ledger.offset, execution)
