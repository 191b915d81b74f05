"""The price of one contract at which a pool is worth nothing, every other price held.

    solve for p    equity(p) - reserved = taker fee rate * notional of the position at p

With a fee rate of 0 it is the price at which equity is exactly 0; with the taker's, closing there leaves exactly 0.
"""

from collections.abc import Callable, Sequence
from decimal import Decimal

from engine.analytics.crossing import crossing
from engine.analytics.liquidation_price import at_price, scale_through_zero
from engine.ledger.accounts import AccountState, Position
from engine.margin.figures import Figures
from engine.margin.isolated_pool import isolated_figures
from engine.margin.margin_model import shared_figures
from engine.margin.quotes import index_price, mark_price
from engine.marks.mark_book import Prices
from engine.numbers import ZERO, exact
from engine.policy import Instrument, Policy
from engine.position_keys import symbol_of


def shared_bankruptcy_price(
    state: AccountState,
    key: str,
    prices: Prices,
    policy: Policy,
    *,
    taker_fee_rate: Decimal = ZERO,
    reserved: Sequence[Decimal] = (),
) -> Decimal | None:
    """Price of the contract of position `key` at which the shared pool's equity pays for closing it and no more.

    None where no price does it; `reserved` as in `liquidation_price`. Raises `KeyError` where there is no such position.
    """
    position = state.positions[key]
    return _bankruptcy_price(
        lambda at: shared_figures(state, at, policy), key, position, prices, policy, taker_fee_rate, reserved
    )


def isolated_bankruptcy_price(
    state: AccountState,
    key: str,
    prices: Prices,
    policy: Policy,
    *,
    taker_fee_rate: Decimal = ZERO,
    reserved: Sequence[Decimal] = (),
) -> Decimal | None:
    """The same for the isolated position `key`; None as well where it holds no contracts."""
    position = state.isolated[key].position
    if not position.quantity:
        return None
    return _bankruptcy_price(
        lambda at: isolated_figures(state, key, at, policy),
        key,
        position,
        prices,
        policy,
        taker_fee_rate,
        reserved,
    )


def closing_fee_at(
    instrument: Instrument, quantity: Decimal, price: Decimal, taker_fee_rate: Decimal
) -> Decimal:
    """Fee to close `quantity` contracts at `price`, in settle asset."""
    with exact():
        # taker fee rate * |value|
        return taker_fee_rate * instrument.notional(quantity, price)


def _bankruptcy_price(
    figures_at: Callable[[Prices], Figures],
    key: str,
    position: Position,
    prices: Prices,
    policy: Policy,
    taker_fee_rate: Decimal,
    reserved: Sequence[Decimal],
) -> Decimal | None:
    symbol = symbol_of(key)
    instrument = policy.instruments[symbol]
    with exact():
        mark, _ = mark_price(symbol, position, prices, policy)
        held_back = sum(reserved, ZERO)

        def gap(price: Decimal) -> Decimal:
            moved = at_price(prices, symbol, mark, price, policy)
            index, _ = index_price(policy, instrument.settle, moved)
            fee = closing_fee_at(instrument, position.quantity, price, taker_fee_rate) * index
            # equity - reserved - fee to close
            return figures_at(moved).equity - held_back - fee

        return crossing(gap, mark, scale_through_zero(instrument, mark))
