"""What an account would be after a shock: a grid of market moves, any other prices, and its most leveraged contract alone.

profit             equity then - equity now
leverage           notional * index(settle) / equity of the pool that carries the position; the largest is the most leveraged
shock to a line    first adverse move m of that contract and its index, the others held, with C(m) < line * requirement(m)
equity lost        equity now - equity at that move
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from decimal import Decimal

import msgspec

from engine.analytics.line_move import needed, reached
from engine.analytics.liquidation_price import at_price
from engine.analytics.pool_at import SHARED, pool_at, pools_of
from engine.analytics.weighting import Weighting, factors_of, targets_of, volatilities_of
from engine.analytics.what_if import Market
from engine.ladder import Band, band_at
from engine.ledger.accounts import AccountState, Position
from engine.margin.figures import Figures
from engine.margin.isolated_pool import explain_isolated
from engine.margin.margin_model import explain_shared
from engine.margin.quotes import index_price, mark_price
from engine.marks.mark_book import Prices
from engine.numbers import ONE, ZERO, canonical, divide, exact
from engine.policy import Policy
from engine.policy.rules.policy_switches import InstrumentKind
from engine.position_keys import symbol_of


class StressedPool(msgspec.Struct, frozen=True, kw_only=True):
    """One pool after a shock; amounts in account currency."""

    pool: str
    """Empty for the shared pool, else the key of the isolated position."""
    band: Band
    """What the figures say."""
    equity: Decimal
    profit: Decimal
    """Change of equity; < 0 is a loss."""
    collateral_value: Decimal
    initial_margin: Decimal
    requirement: Decimal
    """Maintenance margin and liquidation fee."""
    ratio: Decimal | None


class GridCell(msgspec.Struct, frozen=True, kw_only=True):
    """The pools after a move of the market and of volatility."""

    move: Decimal
    """Of the market, as a fraction."""
    volatility: Decimal
    """Relative change of all implied volatilities."""
    pools: tuple[StressedPool, ...]


class LineShock(msgspec.Struct, frozen=True, kw_only=True):
    """What it takes of one contract to bring its pool below a line."""

    line: Decimal
    """As a portfolio margin ratio."""
    crossed: bool
    """Below it already: nothing is to happen."""
    move: Decimal | None
    """Of the contract's mark, as a fraction; None where no adverse move does it."""
    equity_lost: Decimal | None
    """Account currency."""


class WorstCase(msgspec.Struct, frozen=True, kw_only=True):
    """The most leveraged contract, moving against the account alone."""

    key: str
    pool: str
    notional: Decimal
    """Account currency."""
    leverage: Decimal | None
    """None where the pool has no equity left to carry it."""
    lines: tuple[LineShock, ...]


def figures_now(state: AccountState, prices: Prices, policy: Policy) -> dict[str, Figures]:
    """The figures of every pool, for `stressed` to compare with."""
    return {pool: pool_at(state, pool, prices, policy) for pool in pools_of(state)}


def stressed(
    state: AccountState, now: dict[str, Figures], then: Prices, policy: Policy
) -> tuple[StressedPool, ...]:
    """The pools that stand at `now`, at the prices after a shock."""
    return tuple(
        _stressed(pool, before, pool_at(state, pool, then, policy), policy) for pool, before in now.items()
    )


def stress_grid(
    state: AccountState,
    prices: Prices,
    policy: Policy,
    moves: Sequence[Decimal],
    volatilities: Sequence[Decimal] = (ZERO,),
    weighting: Weighting = Weighting.UNIFORM,
) -> tuple[GridCell, ...]:
    """Every move of the market with every change of volatility, row by row."""
    asked = needed(state, prices, policy)
    market, now = Market(targets_of(weighting, policy), asked, policy), figures_now(state, asked, policy)
    shaken = {change: volatilities_of(weighting, change, policy) for change in volatilities}
    return tuple(
        GridCell(
            move=move,
            volatility=change,
            pools=stressed(state, now, market.at(factors, shaken[change]), policy),
        )
        for move, factors in ((move, factors_of(weighting, move, policy)) for move in moves)
        for change in volatilities
    )


def worst_case(
    state: AccountState, prices: Prices, policy: Policy, lines: Iterable[Decimal]
) -> WorstCase | None:
    """The most leveraged contract of all pools and what its adverse move does; None without contracts.

    An option is no such contract: what moves it is its underlying, and the grid says what that does.
    """
    asked = needed(state, prices, policy)
    now = figures_now(state, asked, policy)
    with exact():
        carried = [
            (pool, key, position, _notional(key, position, asked, policy))
            for pool, key, position in _contracts(state, policy)
        ]
        if not carried:
            return None

        def riskier(it: tuple[str, str, Position, Decimal]) -> tuple[bool, Decimal]:
            equity = now[it[0]].equity
            return (equity <= 0, it[3] if equity <= 0 else divide(it[3], equity))

        pool, key, position, notional = max(carried, key=riskier)
        equity = now[pool].equity
        return WorstCase(
            key=key,
            pool=pool,
            notional=canonical(notional),
            leverage=divide(notional, equity) if equity > 0 else None,
            lines=tuple(_shocks(state, pool, key, position, lines, asked, policy)),
        )


def profit_by_item(
    state: AccountState, pool: str, prices: Prices, then: Prices, policy: Policy
) -> dict[str, Decimal]:
    """The profit of a pool between two views of prices, by asset and position: they sum to it. Zeros are left out."""
    change: defaultdict[str, Decimal] = defaultdict(lambda: ZERO)
    with exact():
        for sign, at in ((1, then), (-1, prices)):
            if pool == SHARED:
                lines = explain_shared(state, at, policy).lines
            else:
                lines = explain_isolated(state, pool, at, policy).lines
            for line in lines:
                if line.figure == "equity":
                    change[line.item] += sign * line.value
        return {item: canonical(profit) for item, profit in sorted(change.items()) if profit}


def _stressed(pool: str, before: Figures, after: Figures, policy: Policy) -> StressedPool:
    with exact():
        profit = after.equity - before.equity
    return StressedPool(
        pool=pool,
        band=band_at(after, policy.ladder),
        equity=canonical(after.equity),
        profit=canonical(profit),
        collateral_value=canonical(after.collateral_value),
        initial_margin=canonical(after.initial_margin),
        requirement=canonical(after.requirement),
        ratio=after.ratio,
    )


def _contracts(state: AccountState, policy: Policy) -> Iterator[tuple[str, str, Position]]:
    """Pool, key and position of every contract that is no option."""
    held = [(SHARED, key, position) for key, position in state.positions.items()]
    held += [(key, key, it.position) for key, it in state.isolated.items() if it.position.quantity]
    for pool, key, position in held:
        if policy.instruments[symbol_of(key)].kind is not InstrumentKind.OPTION:
            yield pool, key, position


def _notional(key: str, position: Position, prices: Prices, policy: Policy) -> Decimal:
    symbol = symbol_of(key)
    instrument = policy.instruments[symbol]
    mark, _ = mark_price(symbol, position, prices, policy)
    index, _ = index_price(policy, instrument.settle, prices)
    # |value| * index(settle)
    return instrument.notional(position.quantity, mark) * index


def _shocks(
    state: AccountState,
    pool: str,
    key: str,
    position: Position,
    lines: Iterable[Decimal],
    prices: Prices,
    policy: Policy,
) -> Iterator[LineShock]:
    symbol = symbol_of(key)
    mark, _ = mark_price(symbol, position, prices, policy)
    seen: dict[Decimal, Figures] = {}

    def figures_at(factor: Decimal) -> Figures:
        if factor not in seen:
            price = policy.moved(symbol, mark, factor - ONE)
            moved = at_price(prices, symbol, mark, price, policy)
            seen[factor] = pool_at(state, pool, moved, policy)
        return seen[factor]

    for line in lines:

        def gap(factor: Decimal, line: Decimal = line) -> Decimal:
            return figures_at(factor).standing.gap(line)

        crossed = gap(ONE) < 0
        way, through_zero = -1 if position.quantity > 0 else 1, symbol in policy.price_scales
        move = ZERO if crossed else reached(gap, way, through_zero=through_zero)
        lost = None if move is None else canonical(figures_at(ONE).equity - figures_at(ONE + move).equity)
        yield LineShock(line=line, crossed=crossed, move=move, equity_lost=lost)
