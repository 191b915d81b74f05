"""An account of one policy in the names of another: the same contracts, whatever a venue calls them.

same contract    equal kind, payoff, base, settle asset, expiry, strike and right; the only such one of the other policy
contracts there  = contracts here * multiplier here / multiplier there        entry values stay what they are; so of open interest
price there      of a contract that of the same contract; of an asset its index here / index here of the account currency there

What the other policy lists under the same name keeps it. What it has nothing for is named.
"""

from decimal import Decimal
from typing import NamedTuple

import msgspec

from engine.inputs import Mark
from engine.ledger.accounts import AccountState, OpenOrder, Position
from engine.margin.quotes import index_price
from engine.marks.mark_book import Prices
from engine.numbers import canonical, divide, exact
from engine.policy import Instrument, Policy
from engine.position_keys import leg_of, position_key, symbol_of

_replace = msgspec.structs.replace


class Renamed(NamedTuple):
    """The account and the prices as the other policy names them."""

    state: AccountState
    prices: Prices
    names: dict[str, str]
    """By our symbol, theirs; only where they differ."""
    unlisted: tuple[str, ...]
    """Held, and the other policy has nothing for it: then state and prices are not complete."""


def renamed(state: AccountState, prices: Prices, policy: Policy, other: Policy) -> Renamed:
    """The shared pool of an account under `policy` in the names of `other`."""
    held = {symbol_of(key) for key in state.positions}
    held |= {order.symbol for order in state.orders.values() if not order.isolated}
    found = {symbol: _same(symbol, policy, other) for symbol in sorted(held)}
    names = {symbol: there for symbol, there in found.items() if there is not None}
    unlisted = sorted(found.keys() - names.keys()) + sorted(state.balances.keys() - other.assets.keys())
    with exact():
        scales = {symbol: _scale(symbol, there, policy, other) for symbol, there in names.items()}
        positions = {
            position_key(names[symbol_of(key)], leg_of(key)): _position(it, scales[symbol_of(key)])
            for key, it in state.positions.items()
            if symbol_of(key) in names
        }
        orders = {
            order_id: _order(it, names[it.symbol], scales[it.symbol])
            for order_id, it in state.orders.items()
            if it.symbol in names and not it.isolated
        }
        told = _prices(names, scales, prices, policy, other)
    leverage = {names[symbol]: times for symbol, times in state.leverage.items() if symbol in names}
    return Renamed(
        _replace(state, positions=positions, orders=orders, leverage=leverage, isolated={}),
        told,
        {symbol: there for symbol, there in names.items() if symbol != there},
        tuple(unlisted),
    )


def _same(symbol: str, policy: Policy, other: Policy) -> str | None:
    """The other policy's name of a contract; None where it has none, or several."""
    wanted = _terms(policy.instruments[symbol])
    if symbol in other.instruments and _terms(other.instruments[symbol]) == wanted:
        return symbol
    alike = [name for name, it in other.instruments.items() if _terms(it) == wanted]
    return alike[0] if len(alike) == 1 else None


def _terms(it: Instrument) -> tuple[object, ...]:
    return it.kind, it.payoff, it.base, it.settle, it.expiry, it.strike, it.right


def _scale(symbol: str, there: str, policy: Policy, other: Policy) -> Decimal:
    return divide(policy.instruments[symbol].multiplier, other.instruments[there].multiplier)


def _position(position: Position, scale: Decimal) -> Position:
    return _replace(position, quantity=canonical(position.quantity * scale))


def _order(order: OpenOrder, symbol: str, scale: Decimal) -> OpenOrder:
    return _replace(order, symbol=symbol, quantity=canonical(order.quantity * scale))


def _mark(mark: Mark, symbol: str, scale: Decimal | None) -> Mark:
    """The mark under another symbol; `scale` is of contracts, None for a symbol that marks none."""
    interest = mark.open_interest
    if interest is not None and scale is not None:
        interest = canonical(interest * scale)
    return _replace(mark, symbol=symbol, open_interest=interest)


def _prices(
    names: dict[str, str], scales: dict[str, Decimal], prices: Prices, policy: Policy, other: Policy
) -> Prices:
    """Marks of the contracts in `names` and of the assets that both list, under the other policy's symbols."""
    marks: dict[str, Mark] = {}
    symbols: dict[str, str] = {}
    for symbol, there in names.items():
        forward, theirs = policy.instruments[symbol].forward, other.instruments[there].forward
        symbols |= {here: name for here, name in ((symbol, there), (forward, theirs)) if here and name}
    marks |= {
        there: _mark(prices.marks[here], there, scales.get(here))
        for here, there in symbols.items()
        if here in prices.marks
    }
    currency = other.account_currency
    stale = {symbols[here] for here in prices.stale & symbols.keys()}
    if currency in policy.assets:
        per_currency, fresh = index_price(policy, currency, prices)
        for name in policy.assets.keys() & other.assets.keys() - {currency}:
            index, index_fresh = index_price(policy, name, prices)
            mark = prices.marks.get(policy.assets[name].index)
            there = other.assets[name].index
            if mark is None and policy.assets[name].index:
                continue
            facts = mark or Mark(there, index, sequence=0, time_ns=prices.time_ns)
            if policy.account_currency != currency:
                # in another currency; an average of the past is not converted at the rate of now
                facts = _replace(facts, price=divide(index, per_currency), average_price=None)
            marks[there] = _replace(facts, symbol=there)
            if not (fresh and index_fresh):
                stale.add(there)
    missing = other.price_symbols.keys() - marks.keys()
    return _replace(prices, marks=marks, stale=frozenset(stale | missing), aged={}, sourced={}, waiting={})
