"""A judgement with all that comes behind it, at the same moment."""

from engine.events.effects import AccountRisk
from engine.events.judgement import Judgement, judge
from engine.events.reasons import reasons
from engine.ledger.accounts import AccountState
from engine.marks.mark_book import Prices
from engine.policy import Policy


def judge_with_reasons(
    state: AccountState,
    risk: AccountRisk,
    prices: Prices,
    now_ns: int,
    policy: Policy,
    cause_ns: int | None = None,
    *,
    detailed: bool = False,
    hold: int | None = None,
) -> Judgement:
    """The verdict, and the plans and details that it makes due."""
    verdict = judge(state, risk, prices, now_ns, policy, cause_ns, detailed=detailed, hold=hold)
    behind = reasons(state, verdict.risk, prices, now_ns, policy, hold=hold)
    return Judgement(behind.risk, verdict.events + behind.events, verdict.cross)
