"""Booking: one input applied to one account state gives the next state, a duplicate, or a rejection.

Rules
-----
* Pure and total: every well-typed input has an answer; nothing here looks at prices.
* After a rejection nothing of the same topic is applied (the state stays the result of a *prefix*), until the
  missing numbers of `account_seq` have come, or an operator's `Resume`.
* Amounts that move between pools come from the exchange, so the two topics commute (see `engine.inputs`).

Formulas
--------
    entry value after an increase  = entry value + signed quantity * multiplier * price
    entry value released           = entry value * closed / quantity       (rounded once, `numbers.divide`)
    realised P&L                   = closed quantity * multiplier * price - entry value released
Released plus remaining is the old entry value exactly, so P&L is conserved whatever the rounding.
"""

from collections.abc import Mapping
from decimal import Decimal
from typing import TypeVar

import msgspec

from engine.accounts import FLAT, AccountState, IsolatedPosition, Position, Progress, Stop
from engine.inputs import (
    AccountInput,
    Deposit,
    Fee,
    Fill,
    FundingPayment,
    IsolatedTransfer,
    LeverageSetting,
    MarginMode,
    Resume,
    Topic,
    Withdrawal,
)
from engine.numbers import ZERO, canonical, divide, exact
from engine.policy import Instrument, Policy
from engine.rejections import Duplicate, Rejection, RejectionCode

_replace = msgspec.structs.replace
_V = TypeVar("_V")


def apply(
    state: AccountState, message: AccountInput, topic: Topic, offset: int, policy: Policy
) -> AccountState | Duplicate | Rejection:
    """Apply `message`, read at `offset` of `topic`, to `state`.

    A rejection leaves the account's money untouched; the caller stores `stopped(state, ...)` for it.
    """
    progress = state.fills if topic is Topic.FILLS else state.ledger
    if isinstance(message, Resume):
        lifts = message.stop_offset
        if lifts is not None and (progress.stop is None or progress.stop.offset != lifts):
            return Duplicate(message.input_id)
        told = message.next_account_seq
        resumed = Progress(offset=offset, next_seq=progress.next_seq if told is None else told)
        return with_progress(state, topic, resumed)
    verdict = _check_sequence(progress, message)
    if verdict is not None:
        return verdict
    with exact():
        booked = _book(state, message, policy)
    if isinstance(booked, Rejection):
        return booked
    return with_progress(booked, topic, _advanced(progress, message, offset))


def stopped(
    state: AccountState, topic: Topic, offset: int, code: RejectionCode, account_seq: int | None
) -> AccountState:
    """The state after a refusal: the first stop is kept, and a gap remembers how far it reaches.

    A refused input without a number cannot be missed by counting, so it makes a gap one that only `Resume` ends.
    """
    progress = state.fills if topic is Topic.FILLS else state.ledger
    stop = progress.stop or Stop(code=code, offset=offset)
    if stop.code is RejectionCode.SEQUENCE_GAP:
        if account_seq is None:
            stop = Stop(code=code, offset=stop.offset)
        else:
            stop = _replace(stop, through_seq=max(account_seq, stop.through_seq or account_seq))
    return with_progress(state, topic, _replace(progress, stop=stop))


def unlisted_holding(state: AccountState, policy: Policy) -> str | None:
    """An instrument or asset that the account holds and `policy` does not list, or None."""
    symbols = {*state.positions, *state.isolated, *state.leverage} - set(policy.instruments)
    assets = set(state.balances) - set(policy.assets)
    return min(symbols | assets, default=None)


def with_progress(state: AccountState, topic: Topic, progress: Progress) -> AccountState:
    """The same account at another place of one input topic."""
    return _replace(state, fills=progress) if topic is Topic.FILLS else _replace(state, ledger=progress)


def _check_sequence(progress: Progress, message: AccountInput) -> Duplicate | Rejection | None:
    expected, got, stop = progress.next_seq, message.account_seq, progress.stop
    if got is not None and expected is not None and got < expected:
        return Duplicate(message.input_id)
    in_turn = expected is not None and got == expected
    if stop is not None and not (in_turn and stop.code is RejectionCode.SEQUENCE_GAP):
        return Rejection(RejectionCode.ACCOUNT_STOPPED, f"stopped at offset {stop.offset} by {stop.code}")
    if got is not None and expected is not None and got > expected:
        return Rejection(RejectionCode.SEQUENCE_GAP, f"account_seq {got} came, {expected} was expected")
    return None


def _advanced(progress: Progress, message: AccountInput, offset: int) -> Progress:
    got, stop = message.account_seq, progress.stop
    if stop is not None and stop.through_seq is not None and got is not None and got >= stop.through_seq:
        stop = None
    return Progress(offset=offset, next_seq=progress.next_seq if got is None else got + 1, stop=stop)


def _book(state: AccountState, message: AccountInput, policy: Policy) -> AccountState | Rejection:
    match message:
        case Fill():
            return _book_fill(state, message, policy)
        case Deposit(asset=asset, amount=amount):
            return _book_wallet(state, asset, amount, policy)
        case Withdrawal(asset=asset, amount=amount) | Fee(asset=asset, amount=amount):
            return _book_wallet(state, asset, -amount, policy)
        case IsolatedTransfer(symbol=symbol, amount=amount):
            return _book_transfer(state, symbol, amount, policy)
        case FundingPayment():
            return _book_funding(state, message, policy)
        case LeverageSetting(symbol=symbol, leverage=leverage):
            if symbol not in policy.instruments:
                return _unknown_instrument(symbol)
            return _replace(state, leverage={**state.leverage, symbol: canonical(leverage)})
        case Resume():  # pragma: no cover - `apply` answers it before booking
            raise AssertionError("resume books nothing")


def _book_wallet(
    state: AccountState, asset: str, change: Decimal, policy: Policy
) -> AccountState | Rejection:
    if asset not in policy.assets:
        return Rejection(RejectionCode.UNKNOWN_ASSET, f"asset {asset!r} is not listed in the policy")
    return _replace(state, balances=_added(state.balances, asset, change))


def _book_transfer(
    state: AccountState, symbol: str, amount: Decimal, policy: Policy
) -> AccountState | Rejection:
    instrument = _perpetual(policy, symbol)
    if isinstance(instrument, Rejection):
        return instrument
    return _replace(
        state,
        balances=_added(state.balances, instrument.settle, -amount),
        isolated=_with_isolated(state.isolated, symbol, margin_change=amount),
    )


def _book_funding(state: AccountState, message: FundingPayment, policy: Policy) -> AccountState | Rejection:
    instrument = _perpetual(policy, message.symbol)
    if isinstance(instrument, Rejection):
        return instrument
    if message.margin_mode is MarginMode.ISOLATED:
        return _replace(
            state, isolated=_with_isolated(state.isolated, message.symbol, margin_change=message.amount)
        )
    return _replace(state, balances=_added(state.balances, instrument.settle, message.amount))


def _book_fill(state: AccountState, fill: Fill, policy: Policy) -> AccountState | Rejection:
    instrument = policy.instruments.get(fill.symbol)
    if instrument is None:
        return _unknown_instrument(fill.symbol)
    fee_asset = fill.fee_asset or instrument.settle
    if fee_asset not in policy.assets:
        return Rejection(RejectionCode.UNKNOWN_ASSET, f"fee_asset {fee_asset!r} is not listed in the policy")
    balances = _added(state.balances, fee_asset, -fill.fee)
    signed = fill.quantity if fill.side == "buy" else -fill.quantity
    if instrument.kind == "spot":
        cost = signed * instrument.multiplier * fill.price
        balances = _added(balances, instrument.base, signed * instrument.multiplier)
        return _replace(state, balances=_added(balances, instrument.settle, -cost))
    if fill.margin_mode is MarginMode.CROSS:
        held = state.positions.get(fill.symbol, FLAT)
        position, realised = filled(held, signed, fill.price, instrument.multiplier)
        return _replace(
            state,
            balances=_added(balances, instrument.settle, realised),
            positions=_with(state.positions, fill.symbol, position if position.quantity else None),
        )
    held = state.isolated[fill.symbol].position if fill.symbol in state.isolated else FLAT
    position, realised = filled(held, signed, fill.price, instrument.multiplier)
    return _replace(
        state,
        balances=_added(balances, instrument.settle, -fill.margin_transfer),
        isolated=_with_isolated(
            state.isolated, fill.symbol, margin_change=realised + fill.margin_transfer, position=position
        ),
    )


def filled(held: Position, signed: Decimal, price: Decimal, multiplier: Decimal) -> tuple[Position, Decimal]:
    """Position after executing `signed` contracts at `price`, and the P&L realised, in settle asset."""
    if held.quantity * signed >= 0:  # opening or adding
        return _position(held.quantity + signed, held.entry_value + signed * multiplier * price), ZERO
    if abs(signed) > abs(held.quantity):  # flip: close everything, open the rest
        _, realised = filled(held, -held.quantity, price, multiplier)
        return filled(FLAT, signed + held.quantity, price, multiplier)[0], realised
    closed = -signed
    # entry value released = entry value * closed / quantity
    whole = closed == held.quantity
    released = held.entry_value if whole else divide(held.entry_value * closed, held.quantity)
    # realised P&L = closed quantity * multiplier * price - entry value released
    realised = closed * multiplier * price - released
    return _position(held.quantity - closed, held.entry_value - released), realised


def _position(quantity: Decimal, entry_value: Decimal) -> Position:
    return Position(canonical(quantity), canonical(entry_value))


def _perpetual(policy: Policy, symbol: str) -> Instrument | Rejection:
    instrument = policy.instruments.get(symbol)
    if instrument is None or instrument.kind == "spot":
        return _unknown_instrument(symbol)
    return instrument


def _unknown_instrument(symbol: str) -> Rejection:
    return Rejection(RejectionCode.UNKNOWN_INSTRUMENT, f"symbol {symbol!r} is not listed in the policy")


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
