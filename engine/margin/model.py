"""The margin model of an account's shared pool: cross, portfolio, or health."""

from collections.abc import Callable
from typing import Literal

from engine.accounts import AccountState
from engine.margin.cross import cross_figures
from engine.margin.cross_lines import explain_cross
from engine.margin.figures import Figures, MarginBreakdown
from engine.margin.health_pool import explain_health, health_figures
from engine.margin.portfolio_pool import explain_portfolio, portfolio_figures
from engine.marks import Prices
from engine.policy import Policy

_Figures = Callable[[AccountState, Prices, Policy], Figures]
_Explanation = Callable[[AccountState, Prices, Policy], MarginBreakdown]

_MODELS: dict[str, tuple[_Figures, _Explanation]] = {
    "cross": (cross_figures, explain_cross),
    "portfolio": (portfolio_figures, explain_portfolio),
    "health": (health_figures, explain_health),
}


def uses_portfolio(state: AccountState, policy: Policy) -> bool:
    """Whether the account is under portfolio margin: it chose so, or the policy's default, and the policy has rules."""
    return policy.portfolio is not None and (state.margin_model or policy.pool.model) == "portfolio"


def model_of(state: AccountState, policy: Policy) -> Literal["cross", "portfolio", "health"]:
    """The margin model of the account; under health nothing else can be chosen."""
    if policy.pool.model == "health":
        return "health"
    return "portfolio" if uses_portfolio(state, policy) else "cross"


def shared_figures(state: AccountState, prices: Prices, policy: Policy) -> Figures:
    """The figures of the account's shared pool by its margin model."""
    return _MODELS[model_of(state, policy)][0](state, prices, policy)


def explain_shared(state: AccountState, prices: Prices, policy: Policy) -> MarginBreakdown:
    """The same figures as lines that sum to them."""
    return _MODELS[model_of(state, policy)][1](state, prices, policy)
