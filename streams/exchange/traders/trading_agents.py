"""The agents: who trades what and when, and what they do when they are called.

Every account is an agent of one style. What styles trade is `streams.exchange.traders.trading`'s; here stands how often, with which habits,
and how likely a margin call is met by a deposit or by closing something. Shares and habits are chosen to look plausible, not
measured.
"""

import heapq
import math
from collections.abc import Callable
from decimal import ROUND_UP, Decimal
from random import Random
from typing import Literal, NamedTuple

import msgspec

from engine.events.effects import EventType, RiskEvent
from engine.inputs import Fill, MarginMode
from engine.marks.mark_book import Prices
from streams.exchange.clearing.clearing import ENTRY
from streams.exchange.clearing.input_desk import Desk
from streams.exchange.clearing.tally import Tally
from streams.exchange.market.answering_prices import Market
from streams.exchange.traders.contracts import MONEY, TAKER_FEE, account_id
from streams.exchange.traders.population import Population
from streams.exchange.traders.styles import STYLES, Style
from streams.exchange.traders.trading import Trading

AGENT_STYLES: tuple[Style, ...] = (
    *STYLES,
    Style(
        name="hedger",
        share=0.06,
        wealth_median=120_000,
        wealth_sigma=1.2,
        leverage_median=0.5,
        leverage_sigma=0.2,
        long_share=0.0,
        positions=(1, 1),
        carries=True,
    ),
    Style(
        name="over_leveraged",
        share=0.08,
        wealth_median=2_500,
        wealth_sigma=1.4,
        leverage_median=18.0,
        leverage_sigma=0.5,
        long_share=0.85,
        positions=(1, 3),
        leverage_from=5,
    ),
)


class Habit(msgspec.Struct, frozen=True, kw_only=True):
    """How a style behaves; weights are those of `streams.exchange.traders.trading.ACTIONS`: open, add, reduce, close, flip."""

    weights: tuple[int, ...]
    follows: float = 0.0
    """How strongly a rising price makes the next position long (> 0), or short (< 0)."""
    deposits: float
    """Probability that a margin call is met by a deposit."""
    reduces: float
    """Probability that it is met by closing a part, where no deposit is made."""


HABITS = {
    "directional_long": Habit(weights=(15, 30, 35, 12, 8), follows=6.0, deposits=0.35, reduces=0.3),
    "short": Habit(weights=(15, 30, 35, 12, 8), follows=-4.0, deposits=0.35, reduces=0.3),
    "market_maker": Habit(weights=(10, 25, 50, 10, 5), follows=-8.0, deposits=0.6, reduces=0.4),
    "carry": Habit(weights=(0, 30, 50, 20, 0), deposits=0.7, reduces=0.3),
    "hedger": Habit(weights=(0, 40, 50, 10, 0), deposits=0.7, reduces=0.3),
    "retail": Habit(weights=(20, 40, 20, 15, 5), follows=8.0, deposits=0.2, reduces=0.2),
    "over_leveraged": Habit(weights=(20, 60, 10, 5, 5), follows=10.0, deposits=0.15, reduces=0.1),
}
REDUCING = (0, 0, 1, 0, 0)
REACTION_PARTS = (0.005, 0.05)
"""When a call is met, as a part of the market's length after it."""
TOP_UP = (1.05, 2.0)
"""A deposit, as a multiple of what is missing to the call line."""
ORDER_WAY_MAX = 0.001
"""How far (log price) an agent lets one order move the price: who wants more, comes again."""
ATTEMPTS_MAX = 10
"""Accounts tried for one order; in a crash many can only hold still."""
TREND_SECONDS = 5.0
"""Time constant of the price that agents compare the present one with."""


class _Reaction(NamedTuple):
    at_second: float
    order: int
    number: int
    kind: Literal["deposit", "reduce"]
    missing: Decimal


class Agents:
    """All customers of the exchange."""

    def __init__(
        self,
        population: Population,
        desk: Desk,
        market: Market,
        tally: Tally,
        *,
        orders_per_second: float,
        crowd: Callable[[float], int],
        seconds: float,
        busy: Callable[[str], bool],
    ) -> None:
        """`crowd`: how many times as many orders come after a second; `seconds`: length of the market; `busy` accounts are the liquidator's and cannot trade."""
        self._population, self._desk, self._market, self._tally = population, desk, market, tally
        self._orders_per_second, self._seconds, self._busy = orders_per_second, seconds, busy
        self._crowd = crowd
        self._trading = Trading(population)
        self._rng = Random(f"{population.seed}:agents")  # noqa: S311 - a simulation's dice, not a secret
        self._reactions: list[_Reaction] = []
        self._called = 0
        self._next_order = self._pause(0.0)
        self._trend = {quote.coin: market.index(quote.coin) for quote in market.quotes}
        self._settle = population.contracts[0].settle

    def begin(self, second: float) -> None:
        """The market is at `second` already: nobody makes up for orders of before."""
        self._next_order = second + self._pause(second)

    def hear(self, event: RiskEvent, second: float) -> None:
        """A customer learns of a margin call, and decides what to do about it."""
        if event.type not in {EventType.CALL_OPENED, EventType.CALL_ESCALATED} or event.position is not None:
            return
        number = number_of(event.account)
        if number is None:
            return
        self._tally.calls += 1
        habit = HABITS[self._population.style(number).name]
        rng = self._rng
        wish = rng.random()
        pause = rng.uniform(*REACTION_PARTS) * self._seconds
        if wish >= habit.deposits + habit.reduces:
            return
        kind: Literal["deposit", "reduce"] = "deposit" if wish < habit.deposits else "reduce"
        self._called += 1
        missing = event.shortfall_to_call
        heapq.heappush(self._reactions, _Reaction(second + pause, self._called, number, kind, missing))

    def step(self, second: float, elapsed: float, prices: Prices) -> None:
        """Everything that agents do until `second`."""
        while self._reactions and self._reactions[0].at_second <= second:
            self._react(heapq.heappop(self._reactions), prices)
        while self._next_order <= min(second, self._seconds):
            self._next_order += self._pause(self._next_order)
            self._order(prices)
        follow = 1 - math.exp(-elapsed / TREND_SECONDS)
        for coin, before in self._trend.items():
            self._trend[coin] = before + (self._market.index(coin) - before) * follow

    def _pause(self, second: float) -> float:
        rate = self._orders_per_second * self._crowd(second)
        return self._rng.expovariate(rate) if rate else math.inf

    def _order(self, prices: Prices) -> None:
        for _ in range(ATTEMPTS_MAX):
            number = self._rng.randint(1, self._population.accounts)
            habit = HABITS[self._population.style(number).name]
            if self._trade(number, prices, habit.weights, 0.5 + habit.follows * self._rise()):
                return

    def _rise(self) -> float:
        """How far the leading coin stands above its recent price."""
        coin = self._market.quotes[0].coin
        leading = next((quote.coin for quote in self._market.quotes if quote.settle is not None), coin)
        return self._market.index(leading) / self._trend[leading] - 1

    def _trade(self, number: int, prices: Prices, weights: tuple[int, ...], long_share: float) -> bool:
        """Whether the account could trade."""
        account = account_id(number)
        if self._busy(account):
            return False
        state = self._desk.books.state(account)
        fill = self._trading.fill_of(number, state, prices, self._desk.time_ns, weights, long_share)
        if fill is None:
            return False
        executed = self._executed(fill)
        if executed is not None:
            self._desk.write(executed)
            self._tally.agent_orders += 1
        return executed is not None

    def _executed(self, fill: Fill) -> Fill | None:
        """The fill at the size and price that the order book gives; None for one that is too large and cannot be cut.

        An isolated one keeps its size and its price, which its margin was computed from.
        """
        side = 1 if fill.side == "buy" else -1
        room = self._market.fillable(fill.symbol, side, None, ORDER_WAY_MAX)
        quantity = fill.quantity
        if room < quantity:
            lot = self._market.lot(fill.symbol)
            quantity = lot * int(room / float(lot))
        if not quantity or (fill.margin_mode is MarginMode.ISOLATED and quantity != fill.quantity):
            return None
        price = self._market.trade(fill.symbol, side * quantity)
        if fill.margin_mode is MarginMode.ISOLATED:
            return fill
        instrument = self._population.policy.instruments[fill.symbol]
        fee = (abs(instrument.value(quantity, price)) * TAKER_FEE).quantize(MONEY)
        return msgspec.structs.replace(fill, quantity=quantity, price=price, fee=fee)

    def _react(self, reaction: _Reaction, prices: Prices) -> None:
        account = account_id(reaction.number)
        if reaction.kind == "reduce":
            self._tally.calls_met += self._trade(reaction.number, prices, REDUCING, 0.5)
            return
        # the account may have been taken over meanwhile: who has nothing left sends nothing after it
        if self._busy(account) or not self._desk.books.state(account).positions:
            return
        wanted = float(reaction.missing) * self._rng.uniform(*TOP_UP) / self._market.index(self._settle)
        amount = Decimal(repr(wanted)).quantize(MONEY, ROUND_UP)
        if amount > 0:
            seq = self._desk.books.state(account).ledger.next_seq
            self._desk.deposit(account, f"{ENTRY}{account}-{seq}", self._settle, amount)
            self._tally.calls_met += 1


def number_of(account: str) -> int | None:
    """The number of a made-up account; None for any other."""
    digits = account.removeprefix("a-")
    return int(digits) if digits.isdecimal() and digits != account else None
