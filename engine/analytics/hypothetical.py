"""An account that nobody has: balances, positions and orders read from text, at prices of its own or those at hand.

A position without an entry price was opened at its present mark; a premium or a price paid before is in the balances already.
"""

import tomllib
from decimal import Decimal, InvalidOperation

import msgspec

from engine.inputs import Mark
from engine.ledger.accounts import FLAT, AccountState, OpenOrder
from engine.ledger.booking import filled
from engine.marks.mark_book import Prices
from engine.numbers import amount_fault, canonical, exact
from engine.policy import Policy
from engine.policy.rules.policy_switches import MarginModel
from engine.policy.rules.requirements import amounts_of
from engine.policy.rules.tables import Table
from engine.position_keys import leg_of, symbol_of
from engine.strict_decoding import UNREADABLE

_replace = msgspec.structs.replace


class HypotheticalError(ValueError):
    """The text is no portfolio, or not one of this policy; the message names the key and the rule."""


class HeldContracts(Table, frozen=True, kw_only=True):
    """A position of the shared pool."""

    quantity: Decimal
    """Signed contracts, > 0 is long."""
    entry_price: Decimal | None = None


class RestingOrder(Table, frozen=True, kw_only=True):
    """An open order of the shared pool."""

    symbol: str
    quantity: Decimal
    """Signed, > 0 buys."""
    price: Decimal
    leg: str | None = None


class Hypothetical(Table, frozen=True, kw_only=True):
    """A portfolio as a file states it."""

    name: str = "portfolio"
    margin_model: MarginModel | None = None
    """None follows the policy."""
    balances: dict[str, Decimal] = msgspec.field(default_factory=dict)
    positions: dict[str, HeldContracts] = msgspec.field(default_factory=dict)
    """By position key: the symbol, or symbol|long and symbol|short in hedge mode."""
    orders: tuple[RestingOrder, ...] = ()
    leverage: dict[str, Decimal] = msgspec.field(default_factory=dict)
    """By symbol."""
    prices: dict[str, Decimal] = msgspec.field(default_factory=dict)
    """By price symbol; the others are those at hand."""
    volatilities: dict[str, Decimal] = msgspec.field(default_factory=dict)
    """By option: its implied volatility, 0.6 for 60 %."""


def parse_hypothetical(text: str) -> Hypothetical:
    """Read TOML, or JSON where the text begins with a brace. Raises `HypotheticalError`."""
    try:
        if text.lstrip().startswith("{"):
            found = msgspec.json.decode(text, type=Hypothetical, strict=False)
        else:
            found = msgspec.convert(tomllib.loads(text, parse_float=Decimal), Hypothetical)
    except tomllib.TOMLDecodeError as error:
        raise HypotheticalError(f"not valid TOML: {error}") from None
    except (*UNREADABLE, ValueError, InvalidOperation) as error:
        raise HypotheticalError(str(error)) from None
    for key, amount in amounts_of("", found):
        fault = amount_fault(amount)
        if fault is not None:
            raise HypotheticalError(f"{key}: {fault}")
    return found


def check_hypothetical(portfolio: Hypothetical, policy: Policy) -> None:
    """Raise `HypotheticalError` for what the policy does not list, or nobody can hold."""
    rules = [
        *((f"balances.{name}", name in policy.assets, "is not an asset") for name in portfolio.balances),
        *(
            (f"positions.{key}", symbol_of(key) in policy.contracts, "is not a contract")
            for key in portfolio.positions
        ),
        *(
            (f"positions.{key}", leg_of(key) in {None, "long", "short"}, "has no such leg")
            for key in portfolio.positions
        ),
        *(
            (f"orders {it.symbol}", it.symbol in policy.instruments, "is not listed")
            for it in portfolio.orders
        ),
        *((f"leverage.{name}", name in policy.contracts, "is not a contract") for name in portfolio.leverage),
        *(
            (f"prices.{name}", name in policy.price_symbols, "is not a price symbol")
            for name in portfolio.prices
        ),
        *(
            (f"volatilities.{name}", name in policy.contracts, "is not a contract")
            for name in portfolio.volatilities
        ),
    ]
    for key, holds, rule in rules:
        if not holds:
            raise HypotheticalError(f"{key} {rule} of policy {policy.name!r}")
    prices = (it for it in portfolio.prices.items() if it[0] not in policy.price_scales)
    for key, amount in (*prices, *portfolio.leverage.items()):
        if amount <= 0:
            raise HypotheticalError(f"{key}: must be above zero")
    for key, position in portfolio.positions.items():
        positive = position.entry_price is None or position.entry_price > 0
        if not positive and symbol_of(key) not in policy.price_scales:
            raise HypotheticalError(f"positions.{key}.entry_price: must be above zero")


def prices_of(portfolio: Hypothetical, prices: Prices) -> Prices:
    """The prices at hand with the portfolio's own in their place; its own are fresh."""
    marks = dict(prices.marks)
    for symbol, price in portfolio.prices.items():
        held = marks.get(symbol) or Mark(symbol, price, sequence=0, time_ns=prices.time_ns)
        marks[symbol] = _replace(held, price=price)
    for symbol, volatility in portfolio.volatilities.items():
        if symbol in marks:
            marks[symbol] = _replace(marks[symbol], volatility=volatility)
    own = portfolio.prices.keys()
    doubts = (
        {symbol: doubt for symbol, doubt in held.items() if symbol not in own}
        for held in (prices.aged, prices.sourced)
    )
    aged, sourced = doubts
    return _replace(prices, marks=marks, stale=prices.stale - own, aged=aged, sourced=sourced, waiting={})


def account_of(portfolio: Hypothetical, prices: Prices, policy: Policy) -> AccountState:
    """The account that holds it. Raises `HypotheticalError` for a position with neither an entry price nor a mark."""
    positions = {}
    with exact():
        for key, it in portfolio.positions.items():
            mark = prices.marks.get(symbol_of(key))
            entry = it.entry_price if it.entry_price is not None else None if mark is None else mark.price
            if entry is None:
                raise HypotheticalError(
                    f"positions.{key}: no price is known; say entry_price, or give it under prices"
                )
            if it.quantity:
                positions[key], _ = filled(FLAT, it.quantity, entry, policy.instruments[symbol_of(key)])
    return AccountState(
        account=portfolio.name,
        balances={asset: canonical(amount) for asset, amount in portfolio.balances.items() if amount},
        positions=positions,
        leverage=portfolio.leverage,
        orders={
            str(number): OpenOrder(symbol=it.symbol, quantity=it.quantity, price=it.price, leg=it.leg)
            for number, it in enumerate(portfolio.orders)
            if it.quantity
        },
        margin_model=None if portfolio.margin_model is None else portfolio.margin_model.value,
    )
