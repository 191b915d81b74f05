"""The margin model of an account's shared pool: cross, portfolio, or health."""

from collections.abc import Callable

import msgspec

from engine.ledger.accounts import AccountState
from engine.margin.cross.cross_lines import explain_cross
from engine.margin.cross.cross_pool import cross_figures
from engine.margin.figures import Figures, Line, MarginBreakdown
from engine.margin.health.health_pool import explain_health, health_figures
from engine.margin.isolated_orders import reserved_lines
from engine.margin.portfolio.portfolio_pool import explain_portfolio, portfolio_figures
from engine.marks.mark_book import Prices
from engine.numbers import ZERO, exact
from engine.policy import Policy
from engine.policy.rules.policy_switches import MarginModel

_CROSS, _HEALTH, _PORTFOLIO = MarginModel.CROSS, MarginModel.HEALTH, MarginModel.PORTFOLIO

_replace = msgspec.structs.replace

_Figures = Callable[[AccountState, Prices, Policy], Figures]
_Explanation = Callable[[AccountState, Prices, Policy], MarginBreakdown]

_MODELS: dict[MarginModel, tuple[_Figures, _Explanation]] = {
    MarginModel.CROSS: (cross_figures, explain_cross),
    MarginModel.PORTFOLIO: (portfolio_figures, explain_portfolio),
    MarginModel.HEALTH: (health_figures, explain_health),
}


def uses_portfolio(state: AccountState, policy: Policy) -> bool:
    """Whether the account is under portfolio margin: it chose so, or the policy's default, and the policy has rules."""
    return policy.portfolio is not None and (state.margin_model or policy.pool.model) == _PORTFOLIO


def model_of(state: AccountState, policy: Policy) -> MarginModel:
    """The margin model of the account; under health nothing else can be chosen."""
    if policy.pool.model is _HEALTH:
        return _HEALTH
    return _PORTFOLIO if uses_portfolio(state, policy) else _CROSS


def shared_figures(state: AccountState, prices: Prices, policy: Policy) -> Figures:
    """The figures of the account's shared pool by its margin model, with what isolated orders reserve of it."""
    figures = _MODELS[model_of(state, policy)][0](state, prices, policy)
    if not state.orders:
        return figures
    with exact():
        return _reserving(figures, reserved_lines(state, prices, policy))


def explain_shared(state: AccountState, prices: Prices, policy: Policy) -> MarginBreakdown:
    """The same figures as lines that sum to them."""
    explained = _MODELS[model_of(state, policy)][1](state, prices, policy)
    with exact():
        lines = reserved_lines(state, prices, policy)
        figures = _reserving(explained.figures, lines)
    return _replace(explained, figures=figures, lines=(*explained.lines, *lines))


def _reserving(figures: Figures, lines: list[Line]) -> Figures:
    """The figures with these lines of initial margin."""
    if not lines:
        return figures
    return _replace(figures, initial_margin=figures.initial_margin + sum((it.value for it in lines), ZERO))
