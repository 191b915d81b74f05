"""Would this order be allowed? Pure."""

import difflib
from decimal import Decimal
from enum import StrEnum

import msgspec

from engine.analytics.pre_trade import OrderReason, OrderVerdict, may_open
from engine.events.pools import CROSS
from engine.inputs import MarginMode
from engine.ledger.accounts import AccountState, OpenOrder
from engine.numbers import canonical
from engine.policy import Policy
from engine.policy.rules.policy_switches import InstrumentKind
from engine.position_keys import leg_of, position_key, symbol_of
from streams.answers.account_read import AccountReading
from streams.answers.account_report import degraded_reasons
from streams.config.settings import SettingsError

_ASKED = "asked"


class Side(StrEnum):
    """Of an order."""

    BUY = "buy"
    SELL = "sell"


class HedgeLeg(StrEnum):
    """Of a symbol in hedge mode."""

    LONG = "long"
    SHORT = "short"


class OrderAsked(msgspec.Struct, frozen=True, kw_only=True):
    """The order as it was asked about."""

    symbol: str
    leg: str | None
    mode: MarginMode
    side: Side
    quantity: Decimal
    price: Decimal
    reduce_only: bool


class MayOpenReport(msgspec.Struct, frozen=True, kw_only=True):
    """The verdict; amounts in account currency."""

    account: str
    currency: str
    policy: str
    policy_digest: str
    order: OrderAsked
    allowed: bool
    reason: OrderReason
    degraded_reasons: tuple[str, ...]
    """What the answer lacks, where the reason says degraded or stopped."""
    requirement: Decimal
    """What the order requires on top; < 0 where it frees margin."""
    available_before: Decimal
    available_after: Decimal
    """Below 0 is what is missing."""


def order_report(read: AccountReading, order: OpenOrder) -> MayOpenReport:
    """The verdict on an order. Raises `SettingsError` for one that cannot be meant."""
    state, policy = read.state, read.policy
    _check(order, state, policy)
    verdict = may_open(state, read.risk.pools, order, read.prices, policy)
    return MayOpenReport(
        account=state.account,
        currency=policy.account_currency,
        policy=policy.name,
        policy_digest=policy.digest,
        order=OrderAsked(
            symbol=order.symbol,
            leg=order.leg,
            mode=MarginMode.ISOLATED if order.isolated else MarginMode.CROSS,
            side=Side.BUY if order.quantity > 0 else Side.SELL,
            quantity=abs(order.quantity),
            price=order.price,
            reduce_only=order.reduce_only,
        ),
        allowed=verdict.allowed,
        reason=verdict.reason,
        degraded_reasons=_lacking(read, order, verdict),
        requirement=canonical(verdict.initial_margin),
        available_before=canonical(verdict.available_margin),
        available_after=canonical(verdict.available_after),
    )


def _check(order: OpenOrder, state: AccountState, policy: Policy) -> None:
    """Raise `SettingsError` for an order that cannot be meant."""
    instrument = policy.instruments.get(order.symbol)
    if instrument is None:
        near = difflib.get_close_matches(order.symbol.upper(), policy.instruments, n=2)
        hint = f"did you mean {' or '.join(near)}?" if near else "symbols are named as in the policy file"
        raise SettingsError(f"--symbol {order.symbol!r} is not listed in policy {policy.name!r}; {hint}")
    if order.price <= 0 and not instrument.negative_prices:
        raise SettingsError(f"--price '{order.price}' must be above zero for {order.symbol}")
    if instrument.kind in {InstrumentKind.SPOT, InstrumentKind.OPTION} and order.isolated:
        what = "a spot pair" if instrument.kind is InstrumentKind.SPOT else "an option"
        raise SettingsError(
            f"--isolated: {order.symbol} is {what}, margined in the shared pool only; leave it out"
        )
    if instrument.kind is InstrumentKind.SPOT and order.leg:
        raise SettingsError(f"--leg: {order.symbol} is a spot pair, which has no legs; leave it out")
    modes = {
        leg_of(key) is not None
        for key in {*state.positions, *state.isolated}
        if symbol_of(key) == order.symbol
    }
    if modes == {True} and order.leg is None:
        raise SettingsError(f"the account holds {order.symbol} in hedge mode: say --leg long or --leg short")
    if modes == {False} and order.leg is not None:
        raise SettingsError(f"the account holds {order.symbol} in one-way mode: leave --leg out")


def _lacking(read: AccountReading, order: OpenOrder, verdict: OrderVerdict) -> tuple[str, ...]:
    if verdict.reason not in {OrderReason.DEGRADED, OrderReason.ACCOUNT_STOPPED}:
        return ()
    state, prices, policy = read.state, read.prices, read.policy
    asked = msgspec.structs.replace(state, orders={**state.orders, _ASKED: order})
    pools = [CROSS, position_key(order.symbol, order.leg)] if order.isolated else [CROSS]
    found = (reason for pool in pools for reason in degraded_reasons(asked, pool, prices, policy))
    return tuple(dict.fromkeys(found))
