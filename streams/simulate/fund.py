"""The insurance fund: it takes over what is bankrupt, sells it bit by bit, and deleverages winners when it is empty.

    loss of a takeover  = value taken at the bankruptcy price - value at the mark         in account currency
    able                = equity - loss >= value of all it holds then / LEVERAGE_MAX
    able                  the fund takes the position and bears the loss
    not able              winners of the other side are closed at the bankruptcy price, by profit times leverage
                          (`engine.liquidation.adl`), until the position is gone; what no winner is left for, the fund takes

The queue of winners is ranked anew every RANKING_SECONDS. A deleveraged winner and the bankrupt account trade with the fund, so the fund's own position does not change.
"""

from collections.abc import Iterator
from decimal import Decimal
from typing import NamedTuple

from engine.accounts import FLAT, Position
from engine.booking import filled
from engine.inputs import MarginMode
from engine.liquidation.adl import AdlCandidate, ranked
from engine.numbers import ZERO, exact
from engine.position_keys import symbol_of
from streams.simulate.books import DELEVERAGING, Books, position_of
from streams.simulate.desk import Desk
from streams.simulate.prices import Market
from streams.simulate.tally import Tally

SELL_WAY_PER_SECOND = 0.004
"""How far (log price) the fund lets its own sales move a price in a second."""
SELL_EVERY_SECONDS = 0.25
LEVERAGE_MAX = 5
RANKING_SECONDS = 1.0


class _Winner(NamedTuple):
    account: str
    pool: str
    key: str


class Fund:
    """Acts for the fund's account in the books."""

    def __init__(self, books: Books, market: Market, desk: Desk, tally: Tally) -> None:
        """The fund has what the books say."""
        self._books, self._market, self._desk, self._tally = books, market, desk, tally
        self._cuts = 0
        self._queues: dict[tuple[str, int], tuple[float, list[_Winner]]] = {}
        """By symbol and side: when it was ranked, and the winners still to be closed, the first one last."""
        self._sold_at = 0.0

    def equity(self) -> Decimal:
        """Balances and unrealised P&L, in account currency."""
        policy, fund = self._books.policy, self._books.fund
        with exact():
            value = sum((amount * self._index(asset) for asset, amount in fund.balances.items()), ZERO)
            for symbol, position in fund.positions.items():
                value += self._profit(symbol, position) * self._index(policy.instruments[symbol].settle)
        return value

    def deleverage(self, account: str, pool: str, key: str, price: Decimal, tag: str, second: float) -> None:
        """Before `account` is taken over at `price`: make room for its position where the fund is not able to bear it."""
        held = self._held(account, pool, key).quantity
        if self._able(symbol_of(key), held, price):
            return
        left, queue = abs(held), self._queue(symbol_of(key), -1 if held > 0 else 1, second)
        while left and queue:
            winner = queue[-1]
            theirs = self._held(winner.account, winner.pool, winner.key).quantity
            if winner.account == account or theirs * held >= 0:  # gone, or turned, since it was ranked
                queue.pop()
                continue
            quantity = min(left, abs(theirs))
            self._cuts += 1
            trade_id = f"{DELEVERAGING}{tag}-{self._cuts}"
            self._desk.close(winner.account, winner.pool, winner.key, quantity, price, ZERO, trade_id)
            self._tally.deleveraged(symbol_of(key), self._market.notional(symbol_of(key), quantity))
            left -= quantity

    def sell(self, second: float) -> None:
        """Bring a part of what was taken over to the market."""
        elapsed = second - self._sold_at
        if elapsed < SELL_EVERY_SECONDS:
            return
        self._sold_at = second
        for symbol, position in sorted(self._books.fund.positions.items()):
            side = -1 if position.quantity > 0 else 1
            room = self._market.fillable(symbol, side, None, SELL_WAY_PER_SECOND * elapsed)
            step = self._market.lot(symbol)
            quantity = abs(position.quantity)
            if room < quantity:
                quantity = step * int(room / float(step))
            if quantity:
                price = self._market.trade(symbol, side * quantity)
                self._books.trade_of_fund(symbol, side * quantity, price)

    def _able(self, symbol: str, held: Decimal, price: Decimal) -> bool:
        """Whether the fund can take `held` contracts at `price`."""
        policy, fund = self._books.policy, self._books.fund
        instrument, mark = policy.instruments[symbol], self._market.quoted(symbol)
        with exact():
            after = dict(fund.positions)
            taken, _ = filled(after.get(symbol, FLAT), held, price, instrument)
            after[symbol] = taken
            value = sum(
                (
                    abs(policy.instruments[it].value(position.quantity, self._market.quoted(it)))
                    * self._index(policy.instruments[it].settle)
                    for it, position in after.items()
                ),
                ZERO,
            )
            loss = instrument.profit(instrument.value(held, mark), instrument.value(held, price))
            equity = self.equity() - loss * self._index(instrument.settle)
        return equity * LEVERAGE_MAX >= value

    def _queue(self, symbol: str, side: int, second: float) -> list[_Winner]:
        """Positions of this side that are in profit, the first to be closed last."""
        ranked_at, queue = self._queues.get((symbol, side), (-RANKING_SECONDS, []))
        if second - ranked_at < RANKING_SECONDS:
            return queue
        found = [
            pair for name in sorted(self._books.holders[symbol]) for pair in self._candidates(name, symbol)
        ]
        winners = {id(it): winner for winner, it in found if it.quantity * side > 0}
        order = ranked((it for _, it in found if id(it) in winners), "leverage_weighted")
        queue = [winners[id(candidate)] for candidate in reversed(order)]
        self._queues[symbol, side] = second, queue
        return queue

    def _candidates(self, account: str, symbol: str) -> Iterator[tuple[_Winner, AdlCandidate]]:
        state = self._books.state(account)
        instrument = self._books.policy.instruments[symbol]
        with exact():
            wallet = sum((amount * self._index(asset) for asset, amount in state.balances.items()), ZERO)
            index = self._index(instrument.settle)
            pools = [("", key, it, wallet) for key, it in state.positions.items()]
            pools += [(key, key, it.position, it.margin * index) for key, it in state.isolated.items()]
            for pool, key, position, equity in pools:
                if symbol_of(key) != symbol or not position.quantity:
                    continue
                profit = self._profit(key, position) * index
                value = abs(instrument.value(position.quantity, self._market.quoted(symbol))) * index
                candidate = AdlCandidate(account, position.quantity, profit, value, equity)
                yield _Winner(account, pool, key), candidate

    def _held(self, account: str, pool: str, key: str) -> Position:
        mode = MarginMode.ISOLATED if pool else MarginMode.CROSS
        return position_of(self._books.state(account), key, mode)

    def _profit(self, key: str, position: Position) -> Decimal:
        """Unrealised P&L in settle asset. Inside `exact()`."""
        instrument = self._books.policy.instruments[symbol_of(key)]
        value = instrument.value(position.quantity, self._market.quoted(symbol_of(key)))
        return value if instrument.kind == "option" else instrument.profit(position.entry_value, value)

    def _index(self, asset: str) -> Decimal:
        symbol = self._books.policy.assets[asset].index
        return self._market.quoted(symbol) if symbol else Decimal(1)
