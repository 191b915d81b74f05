"""How far the whole market may move until a pool stands on a line: every underlying by one factor or by its beta, currencies held.

solve for f    C(f) = line * requirement(f)        f on a grid of 0.0001 %, prices by `what_if.Market` of a move of f - 1 (`weighting`)
move           f - 1
"""

from collections.abc import Callable, Sequence
from decimal import Decimal

import msgspec

from engine.analytics.crossing import crossing
from engine.analytics.weighting import Weighting, factors_of, targets_of
from engine.analytics.what_if import Market
from engine.ledger.accounts import AccountState
from engine.margin.figures import Figures
from engine.margin.isolated_pool import isolated_figures
from engine.margin.margin_model import shared_figures
from engine.marks.mark_book import Prices
from engine.numbers import ONE, ZERO, canonical, exact, to_step
from engine.policy import Policy
from engine.position_keys import symbol_of

MOVE_STEP = Decimal("0.000001")
"""Answers are multiples of this: the first one at which the pool is on its line or beyond."""


class LineMove(msgspec.Struct, frozen=True):
    """A line and the moves of the whole market that reach it, as fractions; None where none does."""

    line: Decimal
    """As a portfolio margin ratio."""
    crossed: bool
    """Below it already: the moves are those that bring the pool back."""
    down: Decimal | None
    """< 0, down to losing all but a millionth; 0 where the pool stands on the line. A pool that requires nothing stands on one only if
    the least move takes it below."""
    up: Decimal | None
    """> 0, up to a million times the price; 0 likewise."""


def line_moves(
    state: AccountState,
    prices: Prices,
    policy: Policy,
    lines: Sequence[Decimal],
    position: str | None = None,
    weighting: Weighting = Weighting.UNIFORM,
) -> tuple[LineMove, ...]:
    """The moves of the shared pool, or of the isolated `position`, to each of `lines`.

    Raises `KeyError` where there is no such position.
    """
    market = Market(targets_of(weighting, policy), needed(state, prices, policy), policy)
    seen: dict[Decimal, Figures] = {}

    def figures_at(factor: Decimal) -> Figures:
        known = seen.get(factor)
        if known is None:
            moved = market.at(factors_of(weighting, factor - ONE, policy))
            known = seen[factor] = (
                shared_figures(state, moved, policy)
                if position is None
                else isolated_figures(state, position, moved, policy)
            )
        return known

    with exact():
        return tuple(_line_move(figures_at, line) for line in lines)


def needed(state: AccountState, prices: Prices, policy: Policy) -> Prices:
    """Only the marks that the account's figures may depend on: a search or a grid moves all of them, again and again."""
    held = {symbol_of(key) for key in (*state.positions, *state.isolated)}
    held |= {order.symbol for order in state.orders.values()}
    symbols = held | {policy.instruments[symbol].forward for symbol in held}
    symbols |= {asset.index for asset in policy.assets.values()}
    return msgspec.structs.replace(
        prices, marks={symbol: mark for symbol, mark in prices.marks.items() if symbol in symbols}
    )


def _line_move(figures_at: Callable[[Decimal], Figures], line: Decimal) -> LineMove:
    def gap(factor: Decimal) -> Decimal:
        return figures_at(factor).standing.gap(line)

    if not gap(ONE) and not figures_at(ONE).requirement:
        # an emptied pool is above no line by 0, and below none by any move
        down, up = (ZERO if gap(ONE + way * MOVE_STEP) < 0 else None for way in (-1, 1))
        return LineMove(line, crossed=False, down=down, up=up)
    return LineMove(line, gap(ONE) < 0, reached(gap, -1), reached(gap, 1))


def reached(gap: Callable[[Decimal], Decimal], way: int, *, through_zero: bool = False) -> Decimal | None:
    """The first move down (`way` -1) or up (1) at which `gap`, of a factor, changes its sign, on the grid; None for none.

    `through_zero`: it may fall by more than all of its scale. Inside `numbers.exact()`.
    """
    # held where it is above (below) the price now, the gap has no crossing there to be found
    bound = min if way < 0 else max

    def on_grid(factor: Decimal) -> Decimal:
        found = to_step(factor, MOVE_STEP, "half_even")
        return found if through_zero else max(MOVE_STEP, found)

    factor = crossing(lambda at: gap(on_grid(bound(ONE, at))), ONE, ONE if through_zero else None)
    return None if factor is None else canonical(on_grid(factor) - ONE)
