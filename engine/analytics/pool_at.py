"""The pools of an account at any prices, as every question about a moved market asks for them."""

from engine.ledger.accounts import AccountState
from engine.margin.figures import Figures
from engine.margin.isolated_pool import isolated_figures, judged_isolated
from engine.margin.margin_model import shared_figures
from engine.marks.mark_book import Prices
from engine.policy import Policy

SHARED = ""
"""Key of an account's shared pool among its pools."""


def pools_of(state: AccountState) -> tuple[str, ...]:
    """The shared pool, and each isolated position that is judged."""
    return (SHARED, *judged_isolated(state))


def pool_at(state: AccountState, pool: str, prices: Prices, policy: Policy) -> Figures:
    """The figures of one pool."""
    if pool == SHARED:
        return shared_figures(state, prices, policy)
    return isolated_figures(state, pool, prices, policy)
