"""A portfolio that nobody holds, judged as if somebody did. Pure."""

import msgspec

from engine.analytics.concentration import Concentration, concentration, open_interest_said
from engine.analytics.hypothetical import (
    Hypothetical,
)
from engine.analytics.line_move import LineMove
from engine.analytics.model_requirements import PolicyFigures, policy_figures
from engine.analytics.risk_matrix import RiskMatrix, risk_matrix
from engine.analytics.weighting import Weighting
from engine.events.dependencies import price_symbols_of
from engine.events.pools import CROSS
from engine.ladder import Band
from engine.ledger.accounts import AccountState
from engine.margin.figures import Line
from engine.margin.margin_model import explain_shared, model_of
from engine.marks.mark_book import Prices
from engine.policy import Policy
from engine.policy.rules.policy_switches import MarginModel
from streams.answers.ladder_lines import market_moves


class PortfolioReport(msgspec.Struct, frozen=True, kw_only=True):
    """Everything the command shows; amounts in account currency."""

    name: str
    margin_model: MarginModel
    prices: dict[str, str]
    """Where each price comes from: "file" or "saved"."""
    missing_prices: tuple[str, ...]
    figures: PolicyFigures
    matrix: RiskMatrix | None
    """None where the policy has no portfolio margin."""
    concentration: Concentration
    market_moves: dict[Band, LineMove]
    beta_moves: dict[Band, LineMove]
    lines: tuple[Line, ...] | msgspec.UnsetType = msgspec.UNSET
    """The summands of the figures, where they were asked for."""


def is_priced(asked: Hypothetical) -> bool:
    """Whether every position has an entry price or a price of its own."""
    return all(it.entry_price is not None or key in asked.prices for key, it in asked.positions.items())


def needed_symbols(state: AccountState, policy: Policy) -> set[str]:
    """Price symbols that its figures depend on."""
    return set(price_symbols_of(state, CROSS, policy))


def portfolio_report(
    asked: Hypothetical, state: AccountState, prices: Prices, policy: Policy, *, explain: bool
) -> PortfolioReport:
    """Judge the portfolio at `prices`; with `explain` also the lines that sum to its figures."""
    needed = sorted(needed_symbols(state, policy))
    return PortfolioReport(
        name=asked.name,
        margin_model=model_of(state, policy),
        prices={
            symbol: "file" if symbol in asked.prices else "saved"
            for symbol in needed
            if symbol in prices.marks
        },
        missing_prices=tuple(symbol for symbol in needed if symbol not in prices.marks),
        figures=policy_figures(state, prices, policy),
        matrix=risk_matrix(state, prices, policy),
        concentration=concentration(state, prices, policy, open_interest_said(prices)),
        market_moves=market_moves(state, prices, policy, Weighting.UNIFORM),
        beta_moves=market_moves(state, prices, policy, Weighting.BETA),
        lines=explain_shared(state, prices, policy).lines if explain else msgspec.UNSET,
    )
