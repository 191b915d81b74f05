"""The price of one contract at which a pool stands on a line, every other price held.

    solve for p    C(p) - reserved = line * requirement(p)

Tiers, fees and collateral are evaluated anew at every p. The index price of the contract's underlying, where that is a listed
asset, moves by the same factor as the contract's mark, so coin collateral and coin-settled contracts move with it.
"""

from collections.abc import Callable, Sequence
from decimal import Decimal

import msgspec

from engine.analytics.crossing import PRICE_GRID, crossing
from engine.inputs import Mark
from engine.ledger.accounts import AccountState, Position
from engine.margin.figures import Figures
from engine.margin.isolated_pool import isolated_figures
from engine.margin.margin_model import shared_figures
from engine.margin.quotes import mark_price
from engine.marks.mark_book import Prices
from engine.numbers import ONE, ZERO, divide, exact, to_step
from engine.policy import Instrument, Policy
from engine.policy.rules.policy_switches import InstrumentKind
from engine.position_keys import symbol_of

_replace = msgspec.structs.replace


def shared_liquidation_price(
    state: AccountState,
    key: str,
    prices: Prices,
    policy: Policy,
    *,
    line: Decimal = ONE,
    reserved: Sequence[Decimal] = (),
) -> Decimal | None:
    """Price of the contract of position `key` at which the account's shared pool stands at `line` (a ratio).

    The nearest such price in the direction that loses; for a pool already below the line, the price at which it comes
    back. None where no price does it, as in a fully hedged pool. `reserved` are amounts of account currency that are
    no cover for losses. Raises `KeyError` where the pool has no such position.
    """
    position = state.positions[key]
    return _liquidation_price(
        lambda at: shared_figures(state, at, policy), key, position, prices, policy, line, reserved
    )


def isolated_liquidation_price(
    state: AccountState,
    key: str,
    prices: Prices,
    policy: Policy,
    *,
    line: Decimal = ONE,
    reserved: Sequence[Decimal] = (),
) -> Decimal | None:
    """The same for the isolated position `key`, judged on its own margin; None as well where it holds no contracts."""
    position = state.isolated[key].position
    if not position.quantity:
        return None
    return _liquidation_price(
        lambda at: isolated_figures(state, key, at, policy), key, position, prices, policy, line, reserved
    )


def _liquidation_price(
    figures_at: Callable[[Prices], Figures],
    key: str,
    position: Position,
    prices: Prices,
    policy: Policy,
    line: Decimal,
    reserved: Sequence[Decimal],
) -> Decimal | None:
    symbol = symbol_of(key)
    with exact():
        mark, _ = mark_price(symbol, position, prices, policy)
        held_back = sum(reserved, ZERO)

        def gap(price: Decimal) -> Decimal:
            figures = figures_at(at_price(prices, symbol, mark, price, policy))
            # C - reserved - line * requirement
            return figures.collateral_value - held_back - line * figures.requirement

        return crossing(gap, mark, scale_through_zero(policy.instruments[symbol], mark))


def scale_through_zero(instrument: Instrument, mark: Decimal) -> Decimal | None:
    """The scale of a price that may be 0 and below; None for any other. Call it inside `numbers.exact()`."""
    return instrument.scale(mark) if instrument.negative_prices else None


def at_price(prices: Prices, symbol: str, mark: Decimal, price: Decimal, policy: Policy) -> Prices:
    """`prices` with the contract at `price` instead of `mark`, and the index of its underlying moved by the same factor.

    An average price stays: it is of the past. The price of an option does not move its underlying. Call it inside
    `numbers.exact()`.
    """
    marks = {**prices.marks, symbol: _moved(prices.marks.get(symbol), symbol, price)}
    instrument = policy.instruments[symbol]
    if instrument.kind is InstrumentKind.OPTION:
        return _replace(prices, marks=marks)
    underlying = policy.assets.get(instrument.base)
    index = prices.marks.get(underlying.index) if underlying is not None else None
    if index is not None and mark:
        # index * price / mark; one that rounds to 0 is no price
        moved = max(PRICE_GRID, divide(index.price * price, mark))
        marks[index.symbol] = _replace(index, price=moved)
    return _replace(prices, marks=marks)


def _moved(mark: Mark | None, symbol: str, price: Decimal) -> Mark:
    return Mark(symbol, price, sequence=0, time_ns=0) if mark is None else _replace(mark, price=price)


def on_tick(price: Decimal, quantity: Decimal, price_step: Decimal) -> Decimal:
    """A liquidation price of a position of `quantity` contracts on the contract's tick: away from loss, so never late.

    A long's is rounded up, a short's down; a tick of 0 leaves it as it is.
    """
    return to_step(price, price_step, "ceiling" if quantity > 0 else "floor") if price_step else price
