"""What `unimargin whatif` says: an account's figures now, and after what was asked. Pure."""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import NamedTuple

import msgspec

from engine.analytics.line_move import LineMove
from engine.analytics.what_if import Market, after_order
from engine.inputs import MarginMode
from engine.ladder import SEVERITY, Band
from engine.ledger.accounts import AccountState
from engine.marks.mark_book import Prices
from engine.numbers import ONE, canonical
from engine.policy import Policy
from engine.policy.rules.policy_switches import MarginModel
from streams.answers.account_positions import PositionView
from streams.answers.account_read import AccountReading
from streams.answers.account_report import AccountReport, PoolView, report
from streams.answers.asked_changes import AskedDeposit, AskedOrder, AskedShock, credited, order_at


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """The question: deposits come in and orders fill at present prices, then the market moves."""

    deposits: tuple[AskedDeposit, ...] = ()
    orders: tuple[AskedOrder, ...] = ()
    """With the prices they fill at."""
    shocks: tuple[AskedShock, ...] = ()


class PoolSide(msgspec.Struct, frozen=True, kw_only=True):
    """A pool's figures; amounts in account currency."""

    band: Band
    """What these figures alone say."""
    equity: Decimal
    collateral_value: Decimal
    initial_margin: Decimal
    maintenance_margin: Decimal
    liquidation_fee: Decimal
    ratio: Decimal | None
    available_margin: Decimal
    shortfall_to_call: Decimal
    shortfall_to_liquidation: Decimal
    degraded_reasons: tuple[str, ...]


class PoolCompared(msgspec.Struct, frozen=True, kw_only=True):
    """One pool before and after."""

    position: str | None
    """Key of the isolated position; None for the shared pool."""
    model: str
    band: Band
    """Where the engine has put it, with hysteresis."""
    before: PoolSide
    after: PoolSide
    entered: tuple[Band, ...]
    """Bands whose lines the pool falls below, the nearest first."""
    left: tuple[Band, ...]
    """Bands whose lines it comes back above, the worst first."""


class PositionSide(msgspec.Struct, frozen=True, kw_only=True):
    """A position; amounts in its settle asset."""

    quantity: Decimal
    entry_price: Decimal
    mark: Decimal
    unrealised_pnl: Decimal
    """Of an option its whole value."""
    liquidation_price: Decimal | None


class PositionCompared(msgspec.Struct, frozen=True, kw_only=True):
    """One position before and after; None where there is none."""

    key: str
    symbol: str
    leg: str | None
    mode: MarginMode
    settle: str
    before: PositionSide | None
    after: PositionSide | None


class PriceMoved(msgspec.Struct, frozen=True, kw_only=True):
    """A price that the account depends on and that the shocks move."""

    before: Decimal
    after: Decimal


class MovesCompared(msgspec.Struct, frozen=True, kw_only=True):
    """How far the whole market may move until the shared pool reaches a line, before and after."""

    before: LineMove
    after: LineMove


class WhatIfReport(msgspec.Struct, frozen=True, kw_only=True):
    """Everything the command shows."""

    account: str
    currency: str
    policy: str
    policy_digest: str
    margin_model: MarginModel
    asked: Asked
    prices: dict[str, PriceMoved]
    not_repriced: tuple[str, ...]
    """Options on a shocked underlying that keep their mark, because volatility or forward are not known."""
    pools: tuple[PoolCompared, ...]
    positions: tuple[PositionCompared, ...]
    market_moves: dict[Band, MovesCompared]
    """By the band that begins below the line."""
    beta_moves: dict[Band, MovesCompared]
    """The same with every underlying moving by its beta."""


class Changed(NamedTuple):
    """The account as it would be."""

    asked: Asked
    """With every order's price."""
    after: AccountReading
    not_repriced: tuple[str, ...]
    """Options on a shocked underlying that keep their mark."""


def changed(read: AccountReading, asked: Asked) -> Changed:
    """The account after what was asked. Raises `SettingsError` for what cannot be meant."""
    policy = read.policy
    asked, state = _after_inputs(read.state, asked, read.prices, policy)
    factors = {shock.target: canonical(ONE + shock.move) for shock in asked.shocks}
    market = Market(factors, read.prices, policy)
    return Changed(asked, read._replace(state=state, prices=market.at(factors)), market.not_repriced)


def what_if(read: AccountReading, asked: Asked) -> WhatIfReport:
    """Value the account as it is and as it would be. Raises `SettingsError` for what cannot be meant."""
    return compared_with(read, changed(read, asked))


def compared_with(read: AccountReading, change: Changed) -> WhatIfReport:
    """Value the account as it is and as `change` has it."""
    policy, asked, moved = read.policy, change.asked, change.after.prices
    before = report(*read, explain=False)
    after = report(*change.after, explain=False)
    used = {**before.marks, **after.marks}
    return WhatIfReport(
        account=read.state.account,
        currency=policy.account_currency,
        policy=policy.name,
        policy_digest=policy.digest,
        margin_model=before.margin_model,
        asked=asked,
        prices=_prices_moved(sorted(used), read.prices, moved),
        not_repriced=tuple(symbol for symbol in change.not_repriced if symbol in used),
        pools=_pools(before, after),
        positions=_positions(before.positions, after.positions),
        market_moves=_moves(before.market_moves, after.market_moves),
        beta_moves=_moves(before.beta_moves, after.beta_moves),
    )


def _moves(before: Mapping[Band, LineMove], after: Mapping[Band, LineMove]) -> dict[Band, MovesCompared]:
    return {band: MovesCompared(before=move, after=after[band]) for band, move in before.items()}


def _after_inputs(
    state: AccountState, asked: Asked, prices: Prices, policy: Policy
) -> tuple[Asked, AccountState]:
    """The question with every order's price, and the account with its deposits credited and its orders filled."""
    for deposit in asked.deposits:
        state = credited(state, deposit, policy)
    filled = []
    for order in asked.orders:
        priced = order_at(order, state, prices, policy)
        state = after_order(state, priced, policy)
        filled.append(msgspec.structs.replace(order, price=canonical(priced.price)))
    return msgspec.structs.replace(asked, orders=tuple(filled)), state


def _prices_moved(symbols: Sequence[str], now: Prices, then: Prices) -> dict[str, PriceMoved]:
    return {
        symbol: PriceMoved(before=now.marks[symbol].price, after=then.marks[symbol].price)
        for symbol in symbols
        if now.marks[symbol].price != then.marks[symbol].price
    }


def _pools(before: AccountReport, after: AccountReport) -> tuple[PoolCompared, ...]:
    # neither an order in the shared pool nor a price opens or closes an isolated position
    return tuple(_pool(*pair) for pair in zip(before.pools, after.pools, strict=True))


def _pool(before: PoolView, after: PoolView) -> PoolCompared:
    was, now = SEVERITY[before.band_at_figures], SEVERITY[after.band_at_figures]
    return PoolCompared(
        position=before.position,
        model=before.model,
        band=before.band,
        before=_side(before),
        after=_side(after),
        entered=tuple(band for band in Band if was < SEVERITY[band] <= now),
        left=tuple(band for band in reversed(Band) if now < SEVERITY[band] <= was),
    )


def _side(pool: PoolView) -> PoolSide:
    return PoolSide(
        band=pool.band_at_figures,
        equity=pool.equity,
        collateral_value=pool.collateral_value,
        initial_margin=pool.initial_margin,
        maintenance_margin=pool.maintenance_margin,
        liquidation_fee=pool.liquidation_fee,
        ratio=pool.ratio,
        available_margin=pool.available_margin,
        shortfall_to_call=pool.shortfall_to_call,
        shortfall_to_liquidation=pool.shortfall_to_liquidation,
        degraded_reasons=pool.degraded_reasons,
    )


def _positions(before: Sequence[PositionView], after: Sequence[PositionView]) -> tuple[PositionCompared, ...]:
    was: Mapping[tuple[MarginMode, str], PositionView] = {(it.mode, it.key): it for it in before}
    now: Mapping[tuple[MarginMode, str], PositionView] = {(it.mode, it.key): it for it in after}
    return tuple(
        PositionCompared(
            key=it.key,
            symbol=it.symbol,
            leg=it.leg,
            mode=it.mode,
            settle=it.settle,
            before=_position(was.get(place)),
            after=_position(now.get(place)),
        )
        for place, it in sorted({**was, **now}.items())
    )


def _position(view: PositionView | None) -> PositionSide | None:
    if view is None:
        return None
    return PositionSide(
        quantity=view.quantity,
        entry_price=view.entry_price,
        mark=view.mark,
        unrealised_pnl=view.unrealised_pnl,
        liquidation_price=view.liquidation_price,
    )
