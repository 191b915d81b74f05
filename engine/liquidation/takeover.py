"""The takeover of a pool that cannot pay for its own closing: the insurance fund gets all of it, and bears what is missing.

    positions     at prices at which all of them together leave the pool worth nothing     `limits.takeover_prices`
    balances      what every asset stands at then, at its index; the fund takes what is held and pays what is owed
    cost          of closing the positions + conversion fee rate * sum of debts paid
    loss          of a position: cost of closing it - (value at the mark - value at its price);   of a balance: fee - value
                  together they are cost - E

After it nothing is left: no position, no asset, no debt. The equity goes towards the cost, and there is never more of it
than that: a pool that can pay for its closing is closed, and keeps what is left (`search.Search.settled`).
"""

from collections.abc import Mapping
from decimal import Decimal
from typing import NamedTuple

import msgspec

from engine.ledger.accounts import AccountState, OpenOrder
from engine.ledger.booking import booked_order, filled_isolated
from engine.liquidation.limits import takeover_prices
from engine.liquidation.lots import FINEST
from engine.liquidation.moves import leg_name
from engine.liquidation.plan import TakeOverBalanceStep, TakeOverStep
from engine.liquidation.trades import marks_of, positions_of
from engine.margin.quotes import index_price
from engine.marks.mark_book import Prices
from engine.numbers import ZERO, canonical, to_step
from engine.policy import Policy
from engine.position_keys import leg_of, symbol_of

_replace = msgspec.structs.replace


class Takeover(NamedTuple):
    """What is taken over, in order, and what it is expected to cost the fund, in account currency."""

    steps: tuple[TakeOverStep | TakeOverBalanceStep, ...]
    cost: Decimal


def takeover_of(state: AccountState, pool: str, equity: Decimal, prices: Prices, policy: Policy) -> Takeover:
    """Take over every position and balance of a pool of this equity. Inside `numbers.exact()`."""
    prices_of = takeover_prices(state, pool, equity, prices, policy)
    marks = marks_of(state, pool, prices, policy)
    steps: list[TakeOverStep | TakeOverBalanceStep] = []
    cost = ZERO
    for key, held in sorted(positions_of(state, pool).items()):
        price, mark = prices_of[key], canonical(marks[key])
        if price is None or not (price or policy.instruments[symbol_of(key)].negative_prices):
            price = mark  # a fill has to name a price above 0
        step, of_closing = _position(key, held.quantity, price, marks[key], prices, policy)
        steps.append(step)
        cost += of_closing
        state = _after(state, pool, key, price, policy)
    for asset, amount in sorted(_left(state, pool, policy).items()):
        balance = _balance(asset, amount, prices, policy)
        if balance.amount:
            steps.append(balance)
            cost += balance.expected_loss + balance.value
    return Takeover(tuple(steps), cost)


def _position(
    key: str, quantity: Decimal, price: Decimal, mark: Decimal, prices: Prices, policy: Policy
) -> tuple[TakeOverStep, Decimal]:
    """The step that takes a position over, and the cost of closing it."""
    symbol = symbol_of(key)
    instrument = policy.instruments[symbol]
    index, _ = index_price(policy, instrument.settle, prices)
    cost = policy.liquidation.cost(symbol, ZERO, instrument.notional(quantity, mark) * index)
    gain = instrument.profit(instrument.value(quantity, price), instrument.value(quantity, mark)) * index
    step = TakeOverStep(
        symbol,
        leg_name(key),
        "sell" if quantity > 0 else "buy",
        canonical(abs(quantity)),
        price,
        canonical(mark),
        canonical(cost - gain),
    )
    return step, cost


def _after(state: AccountState, pool: str, key: str, price: Decimal, policy: Policy) -> AccountState:
    """The account with a position of the pool closed whole at this price."""
    quantity = positions_of(state, pool)[key].quantity
    if not pool:
        order = OpenOrder(symbol_of(key), -quantity, price, leg=leg_of(key))
        return booked_order(state, order, policy)
    after = filled_isolated(state.isolated[pool], -quantity, price, policy.instruments[symbol_of(key)])
    return _replace(state, isolated={**state.isolated, pool: after})


def _left(state: AccountState, pool: str, policy: Policy) -> Mapping[str, Decimal]:
    """Coins by asset of a pool without positions."""
    if not pool:
        return state.balances
    return {policy.instruments[symbol_of(pool)].settle: state.isolated[pool].margin}


def _balance(asset: str, amount: Decimal, prices: Prices, policy: Policy) -> TakeOverBalanceStep:
    index, _ = index_price(policy, asset, prices)
    # to the digits that an input may have, so that no debt is left
    coins = to_step(amount, FINEST, "down" if amount > ZERO else "up")
    value = coins * index
    fee = policy.liquidation.conversion_fee_rate * -value if value < ZERO else ZERO
    return TakeOverBalanceStep(
        asset, canonical(coins), canonical(index), canonical(value), canonical(fee - value)
    )
