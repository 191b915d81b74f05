"""An isolated position: its own ring-fenced margin against its own requirement.

equity   = (margin + uPnL) * index(settle)
C        = equity: the ring-fenced margin is held in the settle asset, no haircut
MM, IM   as for one cross position
"""

from engine.accounts import AccountState
from engine.margin.cross import index_price, mark_price, position_lines
from engine.margin.figures import Figures, Line, MarginBreakdown
from engine.margin.position import PositionMargin, position_margin
from engine.marks import Prices
from engine.numbers import ZERO, exact
from engine.policy import Policy


def isolated_figures(state: AccountState, symbol: str, prices: Prices, policy: Policy) -> Figures:
    """The figures of the isolated position in `symbol` (KeyError if there is none)."""
    held = state.isolated[symbol]
    with exact():
        if not held.position.quantity:
            index, fresh = index_price(policy, policy.instruments[symbol].settle, prices)
            return Figures(held.margin * index, held.margin * index, ZERO, ZERO, not fresh)
        margin, fresh = _margin(state, symbol, prices, policy)
        index, index_fresh = index_price(policy, margin.settle, prices)
        # equity = (margin + uPnL) * index(settle)
        equity = (held.margin + margin.unrealised_pnl) * index
        return Figures(
            equity,
            equity,
            margin.initial_margin * index,
            margin.maintenance_margin * index,
            not (fresh and index_fresh),
        )


def explain_isolated(state: AccountState, symbol: str, prices: Prices, policy: Policy) -> MarginBreakdown:
    """The same figures as lines that sum to them."""
    figures = isolated_figures(state, symbol, prices, policy)
    with exact():
        margin, _ = _margin(state, symbol, prices, policy)
        index, _ = index_price(policy, margin.settle, prices)
        own, pnl = state.isolated[symbol].margin, margin.unrealised_pnl
        lines = [
            Line(figure, symbol, formula, {name: amount, "index": index}, amount * index)
            for figure in ("equity", "collateral_value")
            for formula, name, amount in (
                ("isolated margin * index", "isolated_margin", own),
                ("(quantity * multiplier * mark - entry value) * index", "unrealised_pnl", pnl),
            )
        ]
        lines += position_lines(margin, index)
    return MarginBreakdown(state.account, symbol, figures, tuple(lines), policy.digest)


def open_isolated(state: AccountState) -> list[str]:
    """Symbols of isolated positions that hold contracts."""
    return [symbol for symbol, held in state.isolated.items() if held.position.quantity]


def judged_isolated(state: AccountState) -> list[str]:
    """Symbols of isolated positions that are judged: open, or closed with a debt that the exchange has to settle."""
    return [symbol for symbol, held in state.isolated.items() if held.position.quantity or held.margin < 0]


def _margin(state: AccountState, symbol: str, prices: Prices, policy: Policy) -> tuple[PositionMargin, bool]:
    position = state.isolated[symbol].position
    mark, fresh = mark_price(symbol, position, prices, policy)
    leverage = state.leverage.get(symbol, policy.leverage_default)
    return position_margin(symbol, position, mark, leverage, policy), fresh
