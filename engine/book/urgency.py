"""Whom one cause concerns is heard by the band that it is heading for, the worst first; among equals by name.

The key is exact, so that every book finds the same order: the worst band that the figures of the account's pools say at the prices of
the cause, whatever is held, withheld or not yet confirmed. An account with a call whose deadline has passed heads for the band
that this keeps it in, if that is worse. So whomever a judgement can condemn is among those who head for liquidation: the ladder
enters it by figures, or by such a call.
"""

from engine.events.effects import AccountRisk
from engine.events.pools import CROSS, WELL
from engine.ladder import SEVERITY, Band, band_at
from engine.ladder.bands import kept_in
from engine.ladder.table import LIQUIDATING
from engine.ledger.accounts import AccountState
from engine.margin.dust import without_dust
from engine.margin.isolated_pool import isolated_figures, judged_isolated
from engine.margin.margin_model import shared_figures
from engine.marks.mark_book import Prices
from engine.policy import Ladder, Policy

DOOMED = SEVERITY[Band.LIQUIDATION]
UNCERTAIN = -1
"""In the place of a severity that only exact figures tell."""
_CALLED = SEVERITY[Band.MARGIN_CALL]


def worst_by_figures(state: AccountState, prices: Prices, policy: Policy) -> int:
    """Severity of the worst band that the figures of the account's pools say."""
    state = without_dust(state, policy)
    pools = [shared_figures(state, prices, policy)]
    pools += [isolated_figures(state, key, prices, policy) for key in judged_isolated(state)]
    return max(SEVERITY[band_at(figures, policy.ladder)] for figures in pools)


def heading_for(worst: int, risk: AccountRisk, now_ns: int, ladder: Ladder) -> int:
    """Severity of the band that the account is heading for at event time `now_ns`; `worst` is that of its figures."""
    kept = SEVERITY[kept_in(ladder)]
    if not _CALLED <= worst < kept:
        return worst
    pools = risk.pools.values()
    over = ladder.call_deadline_seconds == 0 or any(
        it.expired or (it.deadline_ns is not None and it.deadline_ns <= now_ns) for it in pools
    )
    return kept if over else worst


def condemnable(state: AccountState, risk: AccountRisk) -> list[str]:
    """Its pools that no liquidation runs for."""
    pools = (CROSS, *judged_isolated(state))
    return [pool for pool in pools if risk.pools.get(pool, WELL).band not in LIQUIDATING]
