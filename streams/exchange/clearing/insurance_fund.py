"""The insurance fund: it takes over what is bankrupt, sells it bit by bit, and deleverages winners when it is empty.

    loss of a takeover  = value taken at the bankruptcy price - value at the mark         in account currency
    able                = equity - loss >= value of all it holds then / LEVERAGE_MAX
    bearable            the most contracts of the position with which it is able
    all bearable        the fund takes the position and bears the loss
    else                winners of the other side are closed as the policy has it (`engine.liquidation.deleveraging`), for the loss
                        of what is not bearable; what no winner is left for, the fund takes
    no loss             a fund that cannot hold the position hands what is not bearable of it on at the mark: nobody gives anything

A deleveraged winner and the bankrupt account trade with the fund, so what was cut leaves the fund's own position as it was.
"""

from decimal import Decimal

import msgspec

from engine.ledger.accounts import FLAT, Position
from engine.ledger.booking import filled
from engine.liquidation.adl_score import Deleveraged
from engine.liquidation.deleveraging import Closing, deleverage
from engine.numbers import ZERO, exact, whole_steps
from engine.policy.rules.policy_switches import DeleveragedSize, InstrumentKind
from engine.position_keys import symbol_of
from streams.exchange.clearing.clearing import DELEVERAGING, Books
from streams.exchange.clearing.input_desk import Desk
from streams.exchange.clearing.tally import Tally
from streams.exchange.clearing.winners import Winners
from streams.exchange.market.answering_prices import Market

SELL_WAY_PER_SECOND = 0.004
"""How far (log price) the fund lets its own sales move a price in a second."""
SELL_EVERY_SECONDS = 0.25
LEVERAGE_MAX = 5


class Fund:
    """Acts for the fund's account in the books."""

    def __init__(self, books: Books, market: Market, desk: Desk, tally: Tally) -> None:
        """The fund has what the books say."""
        self._books, self._market, self._desk, self._tally = books, market, desk, tally
        self._winners = Winners(books, market, desk)
        self._cuts = 0
        self._sold_at = 0.0

    def equity(self) -> Decimal:
        """Balances and unrealised P&L, in account currency."""
        policy, fund = self._books.policy, self._books.fund
        with exact():
            value = sum((amount * self._index(asset) for asset, amount in fund.balances.items()), ZERO)
            for symbol, position in fund.positions.items():
                value += self._profit(symbol, position) * self._index(policy.instruments[symbol].settle)
        return value

    def deleverage(
        self, account: str, symbol: str, held: Decimal, price: Decimal, tag: str, second: float
    ) -> None:
        """Before `held` contracts of `account` are taken over at `price`: make room where the fund is not able to bear them."""
        borne = self._bearable(symbol, held, price)
        if borne == abs(held):
            return
        closing, rules = self._closing(symbol, held, price), self._books.policy.deleveraging
        with exact():
            deficit = closing.deficit
            bearable = closing.given(borne, price) if deficit else ZERO
            needed = deficit - bearable
            if not deficit and rules.size is DeleveragedSize.DEFICIT:
                # there is no money to count: the contracts are
                closing = msgspec.structs.replace(closing, quantity=held - borne.copy_sign(held))
                rules = msgspec.structs.replace(rules, size=DeleveragedSize.POSITION)
        winners = self._winners.of(symbol, "short" if held > 0 else "long", second)
        cuts = deleverage(closing, [it for it in winners if it.account != account], rules, needed)
        for cut in cuts:
            self._cuts += 1
            its_pool = cut.position if cut.isolated else ""
            trade_id = f"{DELEVERAGING}{tag}-{self._cuts}"
            self._desk.close(cut.account, its_pool, cut.position, cut.quantity, cut.price, ZERO, trade_id)
            self._tally.deleveraged(symbol, self._market.notional(symbol, cut.quantity))
        self._tally.deleveraged_takeovers.append(Deleveraged(deficit, bearable, cuts))

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
                    policy.instruments[it].notional(position.quantity, self._market.quoted(it))
                    * self._index(policy.instruments[it].settle)
                    for it, position in after.items()
                ),
                ZERO,
            )
            loss = instrument.profit(instrument.value(held, mark), instrument.value(held, price))
            equity = self.equity() - loss * self._index(instrument.settle)
        return equity * LEVERAGE_MAX >= value

    def _bearable(self, symbol: str, held: Decimal, price: Decimal) -> Decimal:
        """Contracts of `held` that the fund is able to take at `price`: all, or whole lots."""
        if self._able(symbol, held, price):
            return abs(held)
        lot, side = self._market.lot(symbol), 1 if held > 0 else -1
        able, unable = 0, int(whole_steps(abs(held), lot, "up"))
        while unable - able > 1:
            middle = (able + unable) // 2
            if self._able(symbol, side * middle * lot, price):
                able = middle
            else:
                unable = middle
        return able * lot

    def _closing(self, symbol: str, held: Decimal, price: Decimal) -> Closing:
        """The position as the engine sees it, in lots of this market."""
        instrument = self._books.policy.instruments[symbol]
        return Closing(
            instrument=msgspec.structs.replace(instrument, quantity_step=self._market.lot(symbol)),
            quantity=held,
            price=price,
            mark=self._market.quoted(symbol),
            index=self._index(instrument.settle),
        )

    def _profit(self, key: str, position: Position) -> Decimal:
        """Unrealised P&L in settle asset. Inside `exact()`."""
        instrument = self._books.policy.instruments[symbol_of(key)]
        value = instrument.value(position.quantity, self._market.quoted(symbol_of(key)))
        return (
            value
            if instrument.kind is InstrumentKind.OPTION
            else instrument.profit(position.entry_value, value)
        )

    def _index(self, asset: str) -> Decimal:
        symbol = self._books.policy.assets[asset].index
        return self._market.quoted(symbol) if symbol else Decimal(1)
