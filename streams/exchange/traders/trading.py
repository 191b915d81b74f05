"""Trading while the market moves: one random fill at a time, consistent with the positions held.

Rules
-----
* What opens risk is checked as an exchange would: afterwards the pool must still cover its initial margin.
* Isolated positions take margin with them: an increase moves notional / leverage in; a reduction releases the closed
  part's share of margin and P&L (nothing when that share is lost), and closing releases all.
* Every fill is booked with the engine's own ledger, so the next one continues from a true state.
"""

from collections.abc import Mapping, Sequence
from decimal import ROUND_DOWN, Decimal
from random import Random
from typing import Literal

import msgspec

from engine.inputs import AccountInput, Fill, MarginMode, Mark, Topic
from engine.ledger.accounts import AccountState, Position
from engine.ledger.applying import apply
from engine.ledger.booking import filled
from engine.margin.cross.cross_pool import cross_figures
from engine.margin.isolated_pool import isolated_figures
from engine.margin.quotes import index_price
from engine.marks.mark_book import Prices
from engine.numbers import ZERO, divide, exact
from streams.exchange.traders.contracts import MONEY, TAKER_FEE, Contract, account_id, trade_id
from streams.exchange.traders.population import Population

ATTEMPTS_MAX = 50
"""Accounts tried for one fill; in a crash many can only hold still."""
INCREASE_PARTS = (0.02, 0.3)
"""Part of the available margin that one increase puts to use."""
SLIPPAGE = 0.0003
"""Standard deviation of an execution price around the mark."""
PRICE_STEP = Decimal("0.00000001")

Action = Literal["open", "add", "reduce", "close", "flip"]
ACTIONS: tuple[Action, ...] = ("open", "add", "reduce", "close", "flip")
ACTION_WEIGHTS = (15, 30, 35, 12, 8)


class _Order(msgspec.Struct, frozen=True):
    """A fill before it is written down; `signed` > 0 buys."""

    symbol: str
    signed: Decimal
    price: Decimal
    mode: MarginMode
    margin_transfer: Decimal = ZERO
    opens_risk: bool = True


class _Held(msgspec.Struct, frozen=True):
    mode: MarginMode
    symbol: str
    position: Position


class Trading:
    """Makes the fills that follow a population's opening ones."""

    def __init__(self, population: Population) -> None:
        """Start from the population's opening states; its seed decides the fills."""
        self._population, self._policy = population, population.policy
        self._contracts = {contract.symbol: contract for contract in population.contracts}
        self._rng = Random(f"{population.seed}:trading")  # noqa: S311 - a demo's dice, not a secret
        self._states: dict[int, AccountState] = {}

    def next_fill(self, marks: Mapping[str, Mark], time_ns: int) -> Fill | None:
        """A fill near the current `marks` (of every price symbol); None when no account tried could trade."""
        prices = Prices(marks=marks, stale=frozenset())
        for _ in range(ATTEMPTS_MAX):
            number = self._rng.randint(1, self._population.accounts)
            state = self._states.get(number) or self._opening_state(number)
            fill = self.fill_of(number, state, prices, time_ns)
            if fill is not None:
                self._states[number] = self._booked(state, fill)
                return fill
        return None

    def fill_of(
        self,
        number: int,
        state: AccountState,
        prices: Prices,
        time_ns: int,
        weights: Sequence[float] = ACTION_WEIGHTS,
        long_share: float = 0.5,
    ) -> Fill | None:
        """What account `number` trades next in this state; None when it can not. `weights` are those of `ACTIONS`.

        A new position is long with a probability of `long_share`.
        """
        order = self._order(state, prices, weights, long_share)
        if order is None:
            return None
        fill = self._written(number, state, order, time_ns)
        if order.opens_risk and not self._covered(self._booked(state, fill), fill, prices):
            return None
        return fill

    def _opening_state(self, number: int) -> AccountState:
        state = AccountState(account_id(number))
        for message in self._population.account_inputs(number, time_ns=0):
            state = self._booked(state, message)
        return state

    def _booked(self, state: AccountState, message: AccountInput) -> AccountState:
        topic = Topic.FILLS if isinstance(message, Fill) else Topic.LEDGER
        after = apply(state, message, topic, 0, self._policy)
        if not isinstance(after, AccountState):  # our own message: a fault of this package
            raise TypeError(f"{message} was not booked: {after}")
        return after

    def _covered(self, state: AccountState, fill: Fill, prices: Prices) -> bool:
        """Whether the pools that the fill touched cover their initial margin."""
        pools = [cross_figures(state, prices, self._policy)]
        if fill.margin_mode is MarginMode.ISOLATED:
            pools.append(isolated_figures(state, fill.symbol, prices, self._policy))
        return all(pool.collateral_value >= pool.initial_margin for pool in pools)

    def _order(
        self, state: AccountState, prices: Prices, weights: Sequence[float], long_share: float
    ) -> _Order | None:
        """What the account does next, or None when it can not."""
        rng = self._rng
        action = rng.choices(ACTIONS, weights)[0]
        held = [_Held(MarginMode.CROSS, symbol, position) for symbol, position in state.positions.items()]
        held += [
            _Held(MarginMode.ISOLATED, symbol, isolated.position)
            for symbol, isolated in state.isolated.items()
            if isolated.position.quantity
        ]
        if action == "open" or not held:
            (contract,) = self._population.pick(rng, 1)
            side = 1 if rng.random() < long_share else -1
            return self._increase(state, prices, contract, side, MarginMode.CROSS)
        chosen = rng.choice(held)
        contract, quantity = self._contracts[chosen.symbol], chosen.position.quantity
        if action == "add":
            return self._increase(state, prices, contract, 1 if quantity > 0 else -1, chosen.mode)
        part = Decimal(rng.randint(10, 70) if action == "reduce" else 100) / 100
        # A part smaller than the step closes everything; so does a position not in whole steps, when closed.
        closed = (quantity * part).quantize(contract.step, ROUND_DOWN) if action == "reduce" else quantity
        signed = -(closed or quantity)
        price = self._near(prices, contract.symbol)
        if chosen.mode is MarginMode.ISOLATED:
            return self._release(state, contract, signed, price)
        if action == "flip":
            return _Order(contract.symbol, 2 * signed, price, chosen.mode)
        return _Order(contract.symbol, signed, price, chosen.mode, opens_risk=False)

    def _increase(
        self, state: AccountState, prices: Prices, contract: Contract, side: int, mode: MarginMode
    ) -> _Order | None:
        """Put a random part of the available margin to use; None when that is less than one step."""
        available = cross_figures(state, prices, self._policy).available_margin
        index, _ = index_price(self._policy, contract.settle, prices)
        leverage = state.leverage.get(contract.symbol, self._policy.leverage_default)
        notional = float(available) / float(index) * float(leverage) * self._rng.uniform(*INCREASE_PARTS)
        price = self._near(prices, contract.symbol)
        quantity = contract.quantity(notional, price)
        if not quantity:
            return None
        transfer = ZERO
        if mode is MarginMode.ISOLATED:
            transfer = divide(quantity * contract.multiplier * price, leverage)
        return _Order(contract.symbol, side * quantity, price, mode, transfer)

    def _release(
        self, state: AccountState, contract: Contract, signed: Decimal, price: Decimal
    ) -> _Order | None:
        """Close (a part of) an isolated position and free what it leaves; None when all of it is lost."""
        isolated = state.isolated[contract.symbol]
        whole = signed == -isolated.position.quantity
        with exact():
            _, realised = filled(
                isolated.position, signed, price, self._population.policy.instruments[contract.symbol]
            )
            # freed = margin * closed / quantity + realised P&L
            share = (
                isolated.margin if whole else divide(isolated.margin * -signed, isolated.position.quantity)
            )
            freed = share + realised
        if whole and freed < 0:  # beyond its bankruptcy price: the exchange's to take over, not the trader's
            return None
        if not whole:
            freed = max(ZERO, freed).quantize(MONEY, ROUND_DOWN)
        return _Order(contract.symbol, signed, price, MarginMode.ISOLATED, -freed, opens_risk=False)

    def _near(self, prices: Prices, symbol: str) -> Decimal:
        """An execution price: the mark, give or take a few basis points."""
        slipped = float(prices.marks[symbol].price) * (1 + self._rng.gauss(0, SLIPPAGE))
        return max(Decimal(repr(slipped)).quantize(PRICE_STEP), PRICE_STEP)

    def _written(self, number: int, state: AccountState, order: _Order, time_ns: int) -> Fill:
        sequence = state.fills.next_seq or 1
        multiplier = self._contracts[order.symbol].multiplier
        return Fill(
            account=state.account,
            time_ns=time_ns,
            account_seq=sequence,
            trade_id=trade_id(number, sequence),
            symbol=order.symbol,
            side="buy" if order.signed > 0 else "sell",
            quantity=abs(order.signed),
            price=order.price,
            fee=(abs(order.signed) * multiplier * order.price * TAKER_FEE).quantize(MONEY),
            margin_mode=order.mode,
            margin_transfer=order.margin_transfer,
        )
