"""What a user asks to change of an account: prices that move, orders that fill, deposits; and what of it cannot be meant. Pure."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Literal

import msgspec

from engine.analytics.what_if import EVERYTHING, after_deposit, is_target, present_price
from engine.ledger.accounts import AccountState, OpenOrder
from engine.marks.mark_book import Prices
from engine.policy import Policy
from engine.policy.rules.policy_switches import InstrumentKind
from engine.position_keys import leg_of, symbol_of
from engine.rejections import Rejection
from streams.config.near_names import nearest_listed
from streams.config.settings import SettingsError


class AskedShock(msgspec.Struct, frozen=True):
    """A price move that is asked about."""

    target: str
    """ALL, an underlying or a price symbol."""
    move: Decimal
    """A fraction: -0.15 for a fall of 15 %."""


class AskedOrder(msgspec.Struct, frozen=True, kw_only=True):
    """An order that is asked about: it fills whole, in the shared pool, without a fee."""

    symbol: str
    leg: str | None
    side: Literal["buy", "sell"]
    quantity: Decimal
    price: Decimal | None
    """None for the present price."""


class AskedDeposit(msgspec.Struct, frozen=True):
    """A credit to the wallet that is asked about."""

    asset: str
    amount: Decimal


def check_shocks(shocks: Sequence[AskedShock], policy: Policy) -> None:
    """Raise `SettingsError` for a target that is none, or is named twice."""
    for shock in shocks:
        if not is_target(shock.target, policy):
            raise SettingsError(_no_target(shock.target, policy))
        if sum(it.target == shock.target for it in shocks) > 1:
            raise SettingsError(f"--shock {shock.target} is said twice; say how far it moves in all")


def credited(state: AccountState, asked: AskedDeposit, policy: Policy) -> AccountState:
    """The account with the deposit in its wallet. Raises `SettingsError` for one that cannot be meant."""
    if asked.asset not in policy.assets:
        near = nearest_listed(asked.asset, policy.assets)
        raise SettingsError(f"--deposit: {asked.asset!r} is not an asset of policy {policy.name!r}; {near}")
    after = after_deposit(state, asked.asset, asked.amount, policy)
    if isinstance(after, Rejection):
        raise SettingsError(f"--deposit: {after.detail}")
    return after


def order_at(asked: AskedOrder, state: AccountState, prices: Prices, policy: Policy) -> OpenOrder:
    """The order with its price. Raises `SettingsError` for one that cannot be meant."""
    instrument = policy.instruments.get(asked.symbol)
    if instrument is None:
        near = nearest_listed(asked.symbol, policy.instruments)
        raise SettingsError(f"--order: {asked.symbol!r} is not listed in policy {policy.name!r}; {near}")
    if asked.leg and instrument.kind is InstrumentKind.SPOT:
        raise SettingsError(
            f"--order: {asked.symbol} is a spot pair, which has no legs; leave {asked.leg} out"
        )
    held = {leg_of(key) is not None for key in state.positions if symbol_of(key) == asked.symbol}
    if held == {True} and asked.leg is None:
        raise SettingsError(
            f"--order: the account holds {asked.symbol} in hedge mode; say long or short at its end"
        )
    if held == {False} and asked.leg is not None:
        raise SettingsError(
            f"--order: the account holds {asked.symbol} in one-way mode; leave {asked.leg} out"
        )
    price = present_price(asked.symbol, prices, policy) if asked.price is None else asked.price
    if price is None or (asked.price is None and not (price or instrument.negative_prices)):
        raise SettingsError(f"--order: no price of {asked.symbol} is known; say one after the quantity")
    if price <= 0 and not instrument.negative_prices:
        raise SettingsError(f"--order: '{price}' must be above zero, as a price of {asked.symbol}")
    return OpenOrder(
        symbol=asked.symbol,
        quantity=asked.quantity if asked.side == "buy" else -asked.quantity,
        price=price,
        leg=asked.leg,
    )


def _no_target(name: str, policy: Policy) -> str:
    listed = policy.instruments.get(name)
    if listed is not None and listed.kind is InstrumentKind.SPOT:
        return f"--shock {name}: a spot pair has no price of its own; shock {listed.base} or {listed.settle} instead"
    known = [EVERYTHING, *policy.underlyings, *policy.assets, *policy.price_symbols]
    return f"--shock {name!r}: neither an underlying nor a price symbol of policy {policy.name!r}; {nearest_listed(name, known)}"
