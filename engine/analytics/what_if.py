"""What if the market moved, an order filled or collateral came in? Each question turns state or prices into others.

A shock multiplies prices by a factor, and the most specific one that names a price wins:

    ALL           every underlying that is not a currency (`currencies`)
    an underlying its index, and every contract and forward written on it; an option moves by what Black-76 moves:
                  mark + price at the moved forward - price at the forward now, with its volatility, never below 0
    a price symbol  that price alone

What may be quoted at 0 and below moves by as many percent of its scale (`Instrument.scale`): down is down on both sides of 0.

Implied volatilities may move with the prices: those of the options on a target by its factor, before Black-76 is asked.

An average price stays: it is of the past. Spot pairs have no price of their own.
"""

from collections import Counter
from collections.abc import Collection, Mapping
from decimal import Decimal

import msgspec

from engine.inputs import Deposit, Mark
from engine.ledger.accounts import AccountState, OpenOrder
from engine.ledger.booking import book, booked_order
from engine.margin.options.black76 import OptionQuote, option_price
from engine.margin.quotes import index_price, underlying_price
from engine.marks.mark_book import NANOSECONDS, Prices
from engine.numbers import ONE, ZERO, canonical, divide, exact
from engine.policy import Instrument, Policy
from engine.policy.rules.policy_switches import InstrumentKind
from engine.rejections import Rejection

EVERYTHING = "ALL"
"""The shock of every underlying that is not a currency."""

_AS_IT_IS: Mapping[str, Decimal] = {}
_replace = msgspec.structs.replace


def after_deposit(
    state: AccountState, asset: str, amount: Decimal, policy: Policy
) -> AccountState | Rejection:
    """The account with `amount` > 0 of `asset` credited, as the ledger credits it; or why it cannot be."""
    with exact():
        return book(
            state,
            Deposit(account=state.account, entry_id="what-if", time_ns=0, asset=asset, amount=amount),
            policy,
        )


def after_order(state: AccountState, order: OpenOrder, policy: Policy) -> AccountState:
    """The account with `order` filled whole in the shared pool, at its price and without a fee."""
    with exact():
        return booked_order(state, order, policy)


def present_price(symbol: str, prices: Prices, policy: Policy) -> Decimal | None:
    """The mark of an instrument, of a spot pair its base in its quote asset; None where nothing says it."""
    instrument = policy.instruments[symbol]
    if instrument.kind is not InstrumentKind.SPOT:
        mark = prices.marks.get(symbol)
        return None if mark is None else mark.price
    named = [policy.assets[asset].index for asset in (instrument.base, instrument.settle)]
    if any(index and index not in prices.marks for index in named):
        return None
    base, _ = index_price(policy, instrument.base, prices)
    quote, _ = index_price(policy, instrument.settle, prices)
    # index of the base / index of the quote asset
    return divide(base, quote)


class Market:
    """The prices that shocks of some targets move, found once and then asked for at any factors."""

    def __init__(self, targets: Collection[str], prices: Prices, policy: Policy) -> None:
        """Raises `KeyError` for a target that is none."""
        for target in targets:
            if not is_target(target, policy):
                raise KeyError(target)
        self._prices, self._policy, self._targets = prices, policy, targets
        self._currencies = currencies(policy)
        named = {symbol: symbol for symbol in targets if symbol in prices.marks}
        self._scaled = {**self._scaled_symbols(), **named}
        options = {
            symbol: it
            for symbol, it in policy.instruments.items()
            if it.kind is InstrumentKind.OPTION
            and symbol in prices.marks
            and symbol not in named
            and self._moves(it.base)
        }
        self._repriced = {
            symbol: it for symbol, it in options.items() if _has_model_price(it, symbol, prices, policy)
        }
        self.not_repriced = tuple(sorted(set(options) - set(self._repriced)))
        """Options on a shocked underlying that keep their mark, because volatility or forward are not known."""

    def at(self, factors: Mapping[str, Decimal], volatilities: Mapping[str, Decimal] = _AS_IT_IS) -> Prices:
        """The prices with each target multiplied by its factor (> 0), and its options' volatilities by theirs (>= 0)."""
        now, policy = self._prices, self._policy
        with exact():
            scaled = {
                symbol: _replace(
                    now.marks[symbol], price=canonical(now.marks[symbol].price * factors[target])
                )
                for symbol, target in self._scaled.items()
            }
            for symbol in scaled.keys() & policy.price_scales.keys():
                mark, move = now.marks[symbol], factors[self._scaled[symbol]] - ONE
                scaled[symbol] = _replace(mark, price=canonical(policy.moved(symbol, mark.price, move)))
            moved = _replace(now, marks={**now.marks, **scaled})
            if not self._repriced:
                return moved
            options = {
                symbol: self._repriced_mark(symbol, option, moved, volatilities)
                for symbol, option in self._repriced.items()
            }
            return _replace(moved, marks={**moved.marks, **options})

    def _repriced_mark(
        self, symbol: str, option: Instrument, moved: Prices, volatilities: Mapping[str, Decimal]
    ) -> Mark:
        mark = self._prices.marks[symbol]
        factor = volatilities.get(self._moves(option.base))
        shaken = mark
        if factor is not None and mark.volatility is not None:
            # volatility * its factor
            shaken = _replace(mark, volatility=canonical(mark.volatility * factor))
        return _option_mark(mark, shaken, option, self._prices, moved, self._policy)

    def _scaled_symbols(self) -> dict[str, str]:
        """Price symbols that an underlying moves by its factor, with the target that names it."""
        policy = self._policy
        found: dict[str, str] = {}
        for symbol, it in policy.instruments.items():
            contract = it.kind in {InstrumentKind.PERPETUAL, InstrumentKind.FUTURE}
            found |= {price: it.base for price in (symbol if contract else "", it.forward) if price}
        found |= {asset.index: name for name, asset in policy.assets.items() if asset.index}
        return {
            symbol: target
            for symbol, underlying in found.items()
            if symbol in self._prices.marks and (target := self._moves(underlying))
        }

    def _moves(self, underlying: str) -> str:
        """The target that moves an underlying; empty for none."""
        if underlying in self._targets:
            return underlying
        return EVERYTHING if EVERYTHING in self._targets and underlying not in self._currencies else ""


def is_target(name: str, policy: Policy) -> bool:
    """Whether a shock may name it: ALL, an underlying or asset with an index price, or a price symbol."""
    listed = policy.assets.get(name)
    priced = listed is not None and listed.index != ""
    return name == EVERYTHING or priced or name in policy.underlyings or name in policy.price_symbols


def currencies(policy: Policy) -> frozenset[str]:
    """What ALL leaves alone: the account currency, and assets that others are settled in rather than written on.

    Such an asset settles more contracts on other underlyings than are written on it; where no contract names it, spot
    pairs decide.
    """
    votes: dict[bool, Counter[str]] = {False: Counter(), True: Counter()}
    named: dict[bool, set[str]] = {False: set(), True: set()}
    for it in policy.instruments.values():
        spot = it.kind is InstrumentKind.SPOT
        votes[spot][it.settle] += it.settle != it.base
        votes[spot][it.base] -= 1
        named[spot] |= {it.settle, it.base}
    settling = {asset for asset in policy.assets if votes[asset not in named[False]][asset] > 0}
    return frozenset(settling | {policy.account_currency})


def _has_model_price(option: Instrument, symbol: str, prices: Prices, policy: Policy) -> bool:
    return prices.marks[symbol].volatility is not None and _forward(option, prices, policy) is not None


def _option_mark(
    mark: Mark, shaken: Mark, option: Instrument, prices: Prices, moved: Prices, policy: Policy
) -> Mark:
    """The option's mark in the moved market, where `shaken` has its volatility of then."""
    then, now = _model_price(shaken, option, moved, policy), _model_price(mark, option, prices, policy)
    index_now, _ = index_price(policy, option.settle, prices)
    index_then, _ = index_price(policy, option.settle, moved)
    # max(0, mark * index now + Black-76 moved - Black-76 now) / index moved           an index: of the settle asset
    value = max(ZERO, mark.price * index_now + then - now)
    return _replace(shaken, price=canonical(divide(value, index_then)))


def _model_price(mark: Mark, option: Instrument, prices: Prices, policy: Policy) -> Decimal:
    """Black-76 at the forward of `prices`, in account currency."""
    right, strike = option.option_terms
    return option_price(
        OptionQuote(
            right=right,
            strike=strike,
            forward=_forward(option, prices, policy) or ZERO,
            volatility=mark.volatility or ZERO,
            seconds_to_expiry=divide(Decimal(option.expiry_ns - prices.time_ns), Decimal(NANOSECONDS)),
            rate=option.interest_rate,
        )
    )


def _forward(option: Instrument, prices: Prices, policy: Policy) -> Decimal | None:
    """The option's forward, or the index of its underlying where the policy names none; None where neither is priced."""
    mark = prices.marks.get(option.forward)
    if mark is not None:
        return mark.price
    index = policy.assets[option.base].index if option.base in policy.assets else option.forward
    return underlying_price(option, prices, policy)[0] if index in prices.marks else None
