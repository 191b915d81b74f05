"""An account's positions and open orders as `unimargin account show` tells them. Pure."""

from collections.abc import Iterator
from decimal import Decimal
from typing import Literal

import msgspec

from engine.analytics.bankruptcy_price import isolated_bankruptcy_price, shared_bankruptcy_price
from engine.analytics.liquidation_price import (
    isolated_liquidation_price,
    on_tick,
    shared_liquidation_price,
)
from engine.inputs import MarginMode
from engine.ledger.accounts import AccountState, Position
from engine.margin.figure_lines import uncounted_profit
from engine.margin.isolated_pool import open_isolated
from engine.margin.options.option_pool import option_position
from engine.margin.portfolio.exposure import greeks_of
from engine.margin.portfolio.pool_exposures import pool_exposures
from engine.margin.position_margin import PositionMargin, position_margin
from engine.margin.quotes import (
    average_entry_price,
    index_price,
    mark_price,
    open_interest,
    realisable_share,
)
from engine.marks.mark_book import Prices
from engine.numbers import ZERO, canonical, exact
from engine.policy import Policy
from engine.policy.rules.policy_switches import InstrumentKind
from engine.position_keys import leg_of, symbol_of

_POINT_DIGITS = 2
"""A point of volatility is 0.01."""


class PositionGreeks(msgspec.Struct, frozen=True, kw_only=True):
    """Sensitivities of a whole option position: quantity * multiplier * those of one option on one unit."""

    volatility: Decimal
    delta: Decimal
    """Units of the underlying."""
    gamma: Decimal
    """Change of delta per 1 of account currency that the forward moves."""
    vega_per_point: Decimal
    """Account currency per point (0.01) of volatility."""
    theta: Decimal
    """Account currency per calendar day that passes."""


class PositionView(msgspec.Struct, frozen=True, kw_only=True):
    """One open position; amounts in its settle asset, exact but for the entry price."""

    key: str
    """The symbol, and the leg in hedge mode."""
    symbol: str
    leg: str | None
    kind: InstrumentKind
    mode: MarginMode
    settle: str
    quantity: Decimal
    entry_price: Decimal
    mark: Decimal
    mark_fresh: bool
    liquidation_price: Decimal | None
    """Where its pool stands at the liquidation line, every other price held (of an option that of its underlying too), on the contract's
    tick; of a pool below that line already, where it comes back to it. None where no price does it."""
    bankruptcy_price: Decimal | None
    """Where its pool's equity pays the taker fee of closing it and no more, every other price held, on the contract's
    tick. None where no price does it."""
    unrealised_pnl: Decimal
    uncounted_profit: Decimal = ZERO
    """Of it what does not count as collateral of the shared pool: weighted off, or more than the losing side can pay."""
    """Of an option its whole value: the premium was paid in cash."""
    notional: Decimal
    maintenance_margin: Decimal
    """By itself; 0 for an option, which is margined together with the others on its underlying."""
    initial_margin: Decimal
    leverage: Decimal
    isolated_margin: Decimal | None
    greeks: PositionGreeks | None
    """Of an option whose volatility is known."""


class OrderView(msgspec.Struct, frozen=True, kw_only=True):
    """What is left of one open order."""

    order_id: str
    symbol: str
    leg: str | None
    kind: InstrumentKind
    mode: MarginMode
    side: Literal["buy", "sell"]
    quantity: Decimal
    """Still open, > 0."""
    price: Decimal
    reduce_only: bool


def position_views(state: AccountState, prices: Prices, policy: Policy) -> tuple[PositionView, ...]:
    """The open positions at `prices`: those of the shared pool, then the isolated ones, each by key."""
    shared = [
        _position_view(state, key, position, None, prices, policy)
        for key, position in sorted(state.positions.items())
    ]
    isolated = [
        _position_view(state, key, state.isolated[key].position, state.isolated[key].margin, prices, policy)
        for key in sorted(open_isolated(state))
    ]
    return (*shared, *isolated)


def order_views(state: AccountState, policy: Policy) -> tuple[OrderView, ...]:
    """The open orders, by symbol, leg and price."""
    return tuple(sorted(_order_views(state, policy), key=lambda it: (it.symbol, it.leg or "", it.price)))


def _order_views(state: AccountState, policy: Policy) -> Iterator[OrderView]:
    for order_id, order in sorted(state.orders.items()):
        yield OrderView(
            order_id=order_id,
            symbol=order.symbol,
            leg=order.leg,
            kind=policy.instruments[order.symbol].kind,
            mode=MarginMode.ISOLATED if order.isolated else MarginMode.CROSS,
            side="buy" if order.quantity > 0 else "sell",
            quantity=abs(order.quantity),
            price=order.price,
            reduce_only=order.reduce_only,
        )


def _position_view(
    state: AccountState,
    key: str,
    position: Position,
    margin: Decimal | None,
    prices: Prices,
    policy: Policy,
) -> PositionView:
    symbol = symbol_of(key)
    instrument = policy.instruments[symbol]
    option = instrument.kind is InstrumentKind.OPTION
    leverage = state.leverage.get(symbol, policy.leverage_default)
    with exact():
        mark, fresh = mark_price(symbol, position, prices, policy)
        if option:
            figures = option_position(key, position, mark, instrument)
        else:
            interest, share = open_interest(symbol, prices), realisable_share(symbol, prices)
            figures = position_margin(key, position, mark, leverage, policy, interest, share)
        return PositionView(
            key=key,
            symbol=symbol,
            leg=leg_of(key),
            kind=instrument.kind,
            mode=MarginMode.CROSS if margin is None else MarginMode.ISOLATED,
            settle=figures.settle,
            quantity=position.quantity,
            entry_price=canonical(average_entry_price(position, instrument)),
            mark=canonical(mark),
            mark_fresh=fresh and index_price(policy, figures.settle, prices)[1],
            liquidation_price=_liquidation_price(state, key, margin, prices, policy),
            bankruptcy_price=_bankruptcy_price(state, key, margin, prices, policy),
            unrealised_pnl=canonical(figures.unrealised_pnl),
            uncounted_profit=canonical(ZERO if margin is not None else uncounted_profit((figures,))),
            notional=canonical(figures.notional),
            maintenance_margin=canonical(figures.maintenance_margin),
            initial_margin=canonical(figures.initial_margin),
            leverage=leverage,
            isolated_margin=margin,
            greeks=_greeks(figures, prices, policy) if option else None,
        )


def _liquidation_price(
    state: AccountState, key: str, margin: Decimal | None, prices: Prices, policy: Policy
) -> Decimal | None:
    search = shared_liquidation_price if margin is None else isolated_liquidation_price
    price = search(state, key, prices, policy, line=policy.ladder.liquidation)
    return _on_tick(price, state, key, margin, policy)


def _bankruptcy_price(
    state: AccountState, key: str, margin: Decimal | None, prices: Prices, policy: Policy
) -> Decimal | None:
    search = shared_bankruptcy_price if margin is None else isolated_bankruptcy_price
    fee_rate = policy.margin_rules(symbol_of(key)).taker_fee_rate
    price = search(state, key, prices, policy, taker_fee_rate=fee_rate)
    return _on_tick(price, state, key, margin, policy)


def _on_tick(
    price: Decimal | None, state: AccountState, key: str, margin: Decimal | None, policy: Policy
) -> Decimal | None:
    if price is None:
        return None
    held = state.positions[key] if margin is None else state.isolated[key].position
    return canonical(on_tick(price, held.quantity, policy.instruments[symbol_of(key)].price_step))


def _greeks(margin: PositionMargin, prices: Prices, policy: Policy) -> PositionGreeks | None:
    mark = prices.marks.get(margin.symbol)
    if mark is None or mark.volatility is None:
        return None
    (exposure,), _ = pool_exposures([margin], [], prices, policy)
    one = greeks_of(exposure)
    return PositionGreeks(
        volatility=mark.volatility,
        # position = quantity * multiplier * one
        delta=canonical(exposure.quantity * one.delta),
        gamma=canonical(exposure.quantity * one.gamma),
        vega_per_point=canonical((exposure.quantity * one.vega).scaleb(-_POINT_DIGITS)),
        theta=canonical(exposure.quantity * one.theta),
    )
