"""An isolated position: its own ring-fenced margin against its own requirement.

equity   = (margin + uPnL + accrued funding, where the policy counts it) * index(settle)
C        = equity: the ring-fenced margin is held in the settle asset, no haircut
MM, IM   as for one cross position

Twin: `engine.book.boxes.pool_swings`, for the sums.
"""

from engine.ledger.accounts import AccountState
from engine.margin.figure_lines import ACCRUED, position_lines
from engine.margin.figures import Figures, Line, MarginBreakdown
from engine.margin.funding_accrual import funding_accrued
from engine.margin.position_margin import PositionMargin, position_margin
from engine.margin.quotes import index_price, mark_price, open_interest
from engine.marks.mark_book import Prices
from engine.numbers import ZERO, exact
from engine.policy import Policy
from engine.position_keys import symbol_of


def isolated_figures(state: AccountState, key: str, prices: Prices, policy: Policy) -> Figures:
    """The figures of the isolated position `key` (KeyError if there is none)."""
    held = state.isolated[key]
    with exact():
        if not held.position.quantity:
            index, fresh = index_price(policy, policy.instruments[symbol_of(key)].settle, prices)
            return Figures(held.margin * index, held.margin * index, ZERO, ZERO, not fresh)
        margin, fresh = isolated_margin(state, key, prices, policy)
        index, index_fresh = index_price(policy, margin.settle, prices)
        accrued = funding_accrued(margin, state, prices, policy, isolated=True)
        # equity = (margin + uPnL + accrued) * index(settle)
        equity = (held.margin + margin.unrealised_pnl + accrued) * index
        return Figures(
            equity,
            equity,
            margin.initial_margin * index,
            margin.maintenance_margin * index,
            not (fresh and index_fresh),
            policy.pool.liquidation_fee_rate * margin.notional * index,
        )


def explain_isolated(state: AccountState, key: str, prices: Prices, policy: Policy) -> MarginBreakdown:
    """The same figures as lines that sum to them."""
    figures = isolated_figures(state, key, prices, policy)
    held, instrument = state.isolated[key], policy.instruments[symbol_of(key)]
    with exact():
        index, _ = index_price(policy, instrument.settle, prices)
        parts = [("isolated margin * index", "isolated_margin", held.margin)]
        required: list[Line] = []
        if held.position.quantity:
            margin, _ = isolated_margin(state, key, prices, policy)
            profit = (
                "(entry value - value) * index" if instrument.inverse else "(value - entry value) * index"
            )
            parts.append((profit, "unrealised_pnl", margin.unrealised_pnl))
            if accrued := funding_accrued(margin, state, prices, policy, isolated=True):
                parts.append((ACCRUED, "accrued", accrued))
            required = position_lines(margin, index, policy)
            if figures.liquidation_fee:
                inputs = {
                    "notional": margin.notional,
                    "rate": policy.pool.liquidation_fee_rate,
                    "price": index,
                }
                fee = Line("liquidation_fee", key, "rate * N * price", inputs, figures.liquidation_fee)
                required.append(fee)
        lines = [
            Line(figure, key, formula, {name: amount, "index": index}, amount * index)
            for figure in ("equity", "collateral_value")
            for formula, name, amount in parts
        ]
    return MarginBreakdown(state.account, key, figures, (*lines, *required), policy.digest)


def open_isolated(state: AccountState) -> list[str]:
    """Keys of isolated positions that hold contracts."""
    return [key for key, held in state.isolated.items() if held.position.quantity]


def judged_isolated(state: AccountState) -> list[str]:
    """Keys of isolated positions that are judged: open, or closed with a debt that the exchange has to settle."""
    return [key for key, held in state.isolated.items() if held.position.quantity or held.margin < 0]


def isolated_margin(
    state: AccountState, key: str, prices: Prices, policy: Policy
) -> tuple[PositionMargin, bool]:
    """Margin of the isolated position `key`, and whether its mark is fresh. Call it inside `numbers.exact()`."""
    position, symbol = state.isolated[key].position, symbol_of(key)
    mark, fresh = mark_price(symbol, position, prices, policy)
    leverage = state.leverage.get(symbol, policy.leverage_default)
    return position_margin(key, position, mark, leverage, policy, open_interest(symbol, prices)), fresh
