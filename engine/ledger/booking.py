"""What each input does to an account: the bookkeeping behind `engine.ledger.applying`.

Formulas (`Instrument.value`, `Instrument.profit`)
--------
    entry value after an increase  = entry value + value(signed quantity, price)
    entry value released           = entry value * closed / quantity       (rounded once, `numbers.divide`)
    realised P&L, linear           = value(closed, price) - entry value released
    realised P&L, inverse          = entry value released - value(closed, price)
Released plus remaining is the old entry value exactly, so P&L is conserved whatever the rounding.

An option is paid for when it is bought and counts at its value from then on, so its fills move cash like a spot
fill and realise nothing.
"""

from collections.abc import Mapping
from decimal import Decimal
from typing import TypeVar

import msgspec

from engine.inputs import (
    AccountInput,
    AccountSetting,
    Deposit,
    Fee,
    Fill,
    FundingPayment,
    Interest,
    IsolatedTransfer,
    LeverageSetting,
    MarginMode,
    OrderUpdate,
    Resume,
    Settlement,
    Withdrawal,
)
from engine.ledger.accounts import FLAT, AccountState, IsolatedPosition, OpenOrder, Position
from engine.ledger.executions import with_conversion, with_execution
from engine.ledger.orders_apart import with_orders
from engine.ledger.resting_orders import RestingOrders
from engine.ledger.settlements import last_settlement_ns, paid_settlement_ns
from engine.numbers import ONE, ZERO, canonical, divide
from engine.policy import Instrument, Policy
from engine.policy.rules.policy_switches import InstrumentKind
from engine.position_keys import position_key, symbol_of
from engine.rejections import Rejection, RejectionCode

_OPTION, _PERPETUAL, _SPOT = InstrumentKind.OPTION, InstrumentKind.PERPETUAL, InstrumentKind.SPOT
_SIDES: Mapping[str | None, Decimal] = {"long": ONE, "short": -ONE}
"""Sign of what a leg holds."""

_replace = msgspec.structs.replace
_V = TypeVar("_V")


def book(  # noqa: C901 - one case an input
    state: AccountState, message: AccountInput, policy: Policy
) -> AccountState | Rejection:
    """The account after `message`, its progress untouched; or why it cannot be booked. Call it inside `exact()`."""
    match message:
        case Fill():
            booked = _book_fill(state, message, policy)
            return booked if isinstance(booked, Rejection) else with_execution(booked, message)
        case OrderUpdate():
            return _book_order(state, message, policy)
        case Settlement():
            return _book_settlement(state, message, policy)
        case Deposit() | Withdrawal() | IsolatedTransfer():
            booked = _book_move(state, message, policy)
            return booked if isinstance(booked, Rejection) else with_conversion(booked, message, policy)
        case Fee(asset=asset, amount=amount) | Interest(asset=asset, amount=amount):
            return _book_wallet(state, asset, -amount, policy)
        case FundingPayment():
            return _book_funding(state, message, policy)
        case LeverageSetting(symbol=symbol, leverage=leverage):
            if symbol not in policy.instruments:
                return _unknown_instrument(symbol)
            return _replace(state, leverage={**state.leverage, symbol: canonical(leverage)})
        case AccountSetting():
            return _book_setting(state, message, policy)
        case Resume():  # pragma: no cover - `apply` answers it before booking
            raise AssertionError("resume books nothing")


def _book_move(
    state: AccountState, message: Deposit | Withdrawal | IsolatedTransfer, policy: Policy
) -> AccountState | Rejection:
    if isinstance(message, IsolatedTransfer):
        return _book_transfer(state, message, policy)
    change = message.amount if isinstance(message, Deposit) else -message.amount
    return _book_wallet(state, message.asset, change, policy)


def _book_wallet(
    state: AccountState, asset: str, change: Decimal, policy: Policy
) -> AccountState | Rejection:
    if asset not in policy.assets:
        return Rejection(RejectionCode.UNKNOWN_ASSET, f"asset {asset!r} is not listed in the policy")
    return _replace(state, balances=_added(state.balances, asset, change))


def _book_transfer(
    state: AccountState, message: IsolatedTransfer, policy: Policy
) -> AccountState | Rejection:
    instrument = _contract(policy, message.symbol)
    if isinstance(instrument, Rejection):
        return instrument
    if instrument.kind is _OPTION:
        return _isolated_option(message.symbol)
    key = position_key(message.symbol, message.leg)
    return _replace(
        state,
        balances=_added(state.balances, instrument.settle, -message.amount),
        isolated=_with_isolated(state.isolated, key, margin_change=message.amount),
    )


def _book_funding(state: AccountState, message: FundingPayment, policy: Policy) -> AccountState | Rejection:
    instrument = _contract(policy, message.symbol)
    if isinstance(instrument, Rejection):
        return instrument
    key = position_key(message.symbol, message.leg)
    isolated = message.margin_mode is MarginMode.ISOLATED
    if isolated and instrument.kind is _OPTION:
        return _isolated_option(message.symbol)
    paid_ns = paid_settlement_ns(instrument, message.time_ns)
    state = _funded(state, key, paid_ns, instrument, policy, isolated=isolated)
    if isolated:
        return _replace(state, isolated=_with_isolated(state.isolated, key, margin_change=message.amount))
    return _replace(state, balances=_added(state.balances, instrument.settle, message.amount))


def _opened(
    state: AccountState, fill: Fill, held: Position, instrument: Instrument, policy: Policy, *, isolated: bool
) -> AccountState:
    """Who opens a position pays no funding of before."""
    if held.quantity:
        return state
    key = position_key(fill.symbol, fill.leg)
    before_ns = last_settlement_ns(instrument, fill.time_ns)
    return _funded(state, key, before_ns, instrument, policy, isolated=isolated)


def _funded(
    state: AccountState, key: str, settled_ns: int, instrument: Instrument, policy: Policy, *, isolated: bool
) -> AccountState:
    """With funding of the position booked up to that settlement; the newest counts, in whatever order fills and payments come."""
    if not policy.pool.funding_accrual or instrument.kind is not _PERPETUAL:
        return state
    funded = state.isolated_funded_ns if isolated else state.funded_ns
    if settled_ns <= funded.get(key, -1):
        return state
    field = "isolated_funded_ns" if isolated else "funded_ns"
    return _replace(state, **{field: {**funded, key: settled_ns}})


def _book_fill(state: AccountState, fill: Fill, policy: Policy) -> AccountState | Rejection:
    instrument = policy.instruments.get(fill.symbol)
    if instrument is None:
        return _unknown_instrument(fill.symbol)
    price_refused = _price_refused(fill.symbol, fill.price, instrument)
    if price_refused is not None:
        return price_refused
    fee_asset = fill.fee_asset or instrument.settle
    if fee_asset not in policy.assets:
        return Rejection(RejectionCode.UNKNOWN_ASSET, f"fee_asset {fee_asset!r} is not listed in the policy")
    if instrument.kind is _OPTION and fill.margin_mode is MarginMode.ISOLATED:
        return _isolated_option(fill.symbol)
    balances = _added(state.balances, fee_asset, -fill.fee)
    signed = fill.quantity if fill.side == "buy" else -fill.quantity
    if instrument.kind is _SPOT:
        cost = signed * instrument.multiplier * fill.price
        balances = _added(balances, instrument.base, signed * instrument.multiplier)
        return _replace(state, balances=_added(balances, instrument.settle, -cost))
    if instrument.kind is _OPTION:
        balances = _added(balances, instrument.settle, -instrument.value(signed, fill.price))
    key, cross = position_key(fill.symbol, fill.leg), fill.margin_mode is MarginMode.CROSS
    isolated = state.isolated.get(key)
    held = state.positions.get(key, FLAT) if cross else FLAT if isolated is None else isolated.position
    position, realised = filled(held, signed, fill.price, instrument)
    if position.quantity * _SIDES.get(fill.leg, ZERO) < 0:
        return Rejection(
            RejectionCode.LEG_EXCEEDED,
            f"it would leave the {fill.leg} leg of {fill.symbol!r} at {position.quantity}: it holds {held.quantity}",
        )
    if cross:
        return _replace(
            _opened(state, fill, held, instrument, policy, isolated=False),
            balances=_added(balances, instrument.settle, realised),
            positions=_with(state.positions, key, position if position.quantity else None),
        )
    return _replace(
        _opened(state, fill, held, instrument, policy, isolated=True),
        balances=_added(balances, instrument.settle, -fill.margin_transfer),
        isolated=_with_isolated(
            state.isolated, key, margin_change=realised + fill.margin_transfer, position=position
        ),
    )


def booked_order(state: AccountState, order: OpenOrder, policy: Policy) -> AccountState:
    """The account if `order` filled whole at its price and without a fee. Call it inside `exact()`."""
    instrument = policy.instruments[order.symbol]
    paid = instrument.value(order.quantity, order.price)
    if instrument.kind is _SPOT:
        balances = _added(state.balances, instrument.base, order.quantity * instrument.multiplier)
        return _replace(state, balances=_added(balances, instrument.settle, -paid))
    key = position_key(order.symbol, order.leg)
    position, realised = filled(state.positions.get(key, FLAT), order.quantity, order.price, instrument)
    return _replace(
        state,
        balances=_added(state.balances, instrument.settle, -paid if instrument.kind is _OPTION else realised),
        positions=_with(state.positions, key, position if position.quantity else None),
    )


def _book_order(state: AccountState, order: OrderUpdate, policy: Policy) -> AccountState | Rejection:
    instrument = policy.instruments.get(order.symbol)
    if instrument is None:
        return _unknown_instrument(order.symbol)
    price_refused = _price_refused(order.symbol, order.price, instrument)
    if price_refused is not None:
        return price_refused
    isolated = order.margin_mode is MarginMode.ISOLATED
    if instrument.kind is _OPTION and isolated:
        return _isolated_option(order.symbol)
    signed = order.quantity if order.side == "buy" else -order.quantity
    rest = OpenOrder(
        symbol=order.symbol,
        quantity=canonical(signed),
        price=canonical(order.price),
        # a spot trade settles in the wallet, whatever mode it names, and there is no position that it could only reduce
        isolated=isolated and instrument.kind is not _SPOT,
        reduce_only=order.reduce_only and instrument.kind is not _SPOT,
        leg=order.leg,
    )
    bound = policy.inputs.open_orders_max
    if signed and order.order_id not in state.orders and len(state.orders) >= bound:
        return Rejection(
            RejectionCode.TOO_MANY_ORDERS, f"order {order.order_id!r} would be more than {bound} open ones"
        )
    return with_orders(
        state, RestingOrders.of(state.orders).changed(order.order_id, rest if signed else None)
    )


def _book_settlement(state: AccountState, message: Settlement, policy: Policy) -> AccountState | Rejection:
    instrument = _contract(policy, message.symbol)
    if isinstance(instrument, Rejection):
        return instrument
    worthless = instrument.kind is _OPTION and not message.price
    price_refused = _price_refused(message.symbol, message.price, instrument)
    if price_refused is not None and not worthless:
        return price_refused
    positions, balances = dict(state.positions), state.balances
    for key, held in state.positions.items():
        if symbol_of(key) != message.symbol:
            continue
        del positions[key]
        if instrument.kind is _OPTION:
            paid = instrument.value(held.quantity, message.price)
        else:
            _, paid = filled(held, -held.quantity, message.price, instrument)
        balances = _added(balances, instrument.settle, paid)
    orders = {name: order for name, order in state.orders.items() if order.symbol != message.symbol}
    return with_orders(_replace(state, positions=positions, balances=balances), orders)


def _book_setting(state: AccountState, message: AccountSetting, policy: Policy) -> AccountState | Rejection:
    for asset in message.collateral_off or ():
        if asset not in policy.assets:
            return Rejection(RejectionCode.UNKNOWN_ASSET, f"asset {asset!r} is not listed in the policy")
    if message.margin_model is not None:
        if message.margin_model not in policy.margin_models:
            return Rejection(
                RejectionCode.UNKNOWN_MARGIN_MODEL,
                f"margin_model {message.margin_model!r}: the policy has {', '.join(policy.margin_models)}",
            )
        state = _replace(state, margin_model=message.margin_model)
    if message.collateral_off is not None:
        state = _replace(state, collateral_off=tuple(sorted(set(message.collateral_off))))
    return state


def filled(
    held: Position, signed: Decimal, price: Decimal, instrument: Instrument
) -> tuple[Position, Decimal]:
    """Position after executing `signed` contracts at `price`, and the P&L realised, in settle asset.

    An option realises nothing: its premium has moved as cash.
    """
    if held.quantity * signed >= 0:  # opening or adding
        added = instrument.value(signed, price)
        return _position(held.quantity + signed, held.entry_value + added), ZERO
    if abs(signed) > abs(held.quantity):  # flip: close everything, open the rest
        _, realised = filled(held, -held.quantity, price, instrument)
        return filled(FLAT, signed + held.quantity, price, instrument)[0], realised
    closed = -signed
    # entry value released = entry value * closed / quantity
    whole = closed == held.quantity
    released = held.entry_value if whole else divide(held.entry_value * closed, held.quantity)
    # realised P&L = value(closed, price) - entry value released        (inverse: the other way round)
    realised = instrument.profit(released, instrument.value(closed, price))
    after = _position(held.quantity - closed, held.entry_value - released)
    return after, ZERO if instrument.kind is _OPTION else realised


def filled_isolated(
    held: IsolatedPosition, signed: Decimal, price: Decimal, instrument: Instrument
) -> IsolatedPosition:
    """Isolated position after executing `signed` contracts at `price`: what is realised goes into its own margin."""
    position, realised = filled(held.position, signed, price, instrument)
    return IsolatedPosition(position, canonical(held.margin + realised))


def _position(quantity: Decimal, entry_value: Decimal) -> Position:
    return Position(canonical(quantity), canonical(entry_value))


def _contract(policy: Policy, symbol: str) -> Instrument | Rejection:
    instrument = policy.instruments.get(symbol)
    if instrument is None or instrument.kind is _SPOT:
        return _unknown_instrument(symbol)
    return instrument


def _unknown_instrument(symbol: str) -> Rejection:
    return Rejection(RejectionCode.UNKNOWN_INSTRUMENT, f"symbol {symbol!r} is not listed in the policy")


def _price_refused(symbol: str, price: Decimal, instrument: Instrument) -> Rejection | None:
    """A price of 0 or below is refused, but for an instrument that may have one."""
    if price > ZERO or instrument.negative_prices:
        return None
    return Rejection(RejectionCode.OUT_OF_RANGE, f"price {price} of {symbol!r} must be above zero")


def _isolated_option(symbol: str) -> Rejection:
    return Rejection(RejectionCode.NO_ISOLATED_OPTIONS, f"symbol {symbol!r} is an option")


def _with(entries: Mapping[str, _V], key: str, value: _V | None) -> dict[str, _V]:
    """A copy with `key` set to `value`, or without it when `value` is None."""
    changed = dict(entries)
    if value is None:
        changed.pop(key, None)
    else:
        changed[key] = value
    return changed


def _added(balances: Mapping[str, Decimal], asset: str, change: Decimal) -> dict[str, Decimal]:
    return _with(balances, asset, canonical(balances.get(asset, ZERO) + change) or None)


def _with_isolated(
    isolated: Mapping[str, IsolatedPosition],
    symbol: str,
    margin_change: Decimal,
    position: Position | None = None,
) -> dict[str, IsolatedPosition]:
    held = isolated.get(symbol, IsolatedPosition(FLAT, ZERO))
    after = IsolatedPosition(position or held.position, canonical(held.margin + margin_change))
    return _with(isolated, symbol, after if after.margin or after.position.quantity else None)
