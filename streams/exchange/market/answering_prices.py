"""Prices that answer to trades: one order book per coin, its index and its marks.

    last        = path price * exp(permanent + transient) * (1 + basis)                 of a contract, over its settle asset
    spot        = path price * exp(SPOT_SHARE * (permanent + transient))
    index       follows spot with a time constant of INDEX_SMOOTHING_SECONDS
    mark        = last, but at most MARK_BAND away from index * (1 + basis)
    a trade of  notional N moves the price by N / depth; PERMANENT_SHARE of that stays, the rest decays (resilience)
    it fills at price before * exp(side * N / (2 depth)) * (1 + side * HALF_SPREAD), the average over its way

That is the block-shaped order book with exponential resilience of Obizhaeva and Wang, "Optimal trading strategy and
supply/demand dynamics" (2013). Prices are floats until they are quoted, in whole ticks.

A quote moves by at most half the policy's jump fraction a step, so the mark book believes it.
"""

import math
from collections.abc import Callable, Mapping
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal

from engine.inputs import Mark
from engine.policy import Policy
from engine.policy.rules.policy_switches import InstrumentKind
from streams.exchange.market.market_path import MarketPath
from streams.exchange.market.sample_market import Quote, quotes
from streams.exchange.market.scenario import CALM_BASIS, within_reach

SPOT_SHARE = 0.8
"""How much of a contract's price pressure arbitrage carries into the spot market."""
INDEX_SMOOTHING_SECONDS = 0.5
MARK_BAND = 0.01
HALF_SPREAD = 0.0002
PERMANENT_SHARE = 0.3
PRESSURE_MAX = 1.5
"""Bound on the log price that all trades together add: beyond a factor of 4.5 the model has nothing to say."""
FUNDING_BASE, FUNDING_MAX = 0.0001, 0.0075
"""Rate of an interval without premium, and its bound, as exchanges have them."""


class Market:
    """All prices of the exchange."""

    def __init__(
        self,
        policy: Policy,
        path: MarketPath,
        lots: Mapping[str, Decimal],
        *,
        impact: float,
        resilience_seconds: float,
    ) -> None:
        """`lots`: smallest quantity by symbol; `impact` scales all moves that trades cause. `deepen` it before a trade."""
        self._policy, self._path = policy, path
        self._depths: dict[str, float] = {}
        self._impact, self._resilience_seconds = impact, resilience_seconds
        self._lots = lots
        self.quotes: tuple[Quote, ...] = quotes(policy)
        self._decimals = {quote.symbol: quote.decimals for quote in self.quotes}
        self._units = {
            quote.symbol: int(path.start_prices[quote.symbol].scaleb(quote.decimals)) for quote in self.quotes
        }
        self._permanent: dict[str, float] = {}
        self._transient: dict[str, float] = {}
        self._second = 0.0
        self._path_prices = path.at(0.0)
        self._index = dict(self._path_prices)
        self._premiums: dict[str, tuple[float, int]] = {}

    def deepen(self, depths: Mapping[str, float]) -> None:
        """Fill the order books: the notional (account currency) that would move a coin's price by a factor of e."""
        self._depths = dict(depths)

    @property
    def prices(self) -> dict[str, Decimal]:
        """The quoted price of every price symbol."""
        return {symbol: self.quoted(symbol) for symbol in self._units}

    def quoted(self, symbol: str) -> Decimal:
        """The last mark, or index price."""
        return Decimal(self._units[symbol]).scaleb(-self._decimals[symbol])

    def requote(self, symbol: str, price: Decimal) -> None:
        """Quotes go on from this price."""
        self._units[symbol] = int(price.scaleb(self._decimals[symbol]))

    def begin(self, second: float) -> None:
        """The market is at `second` already, and at the quoted prices."""
        self._second = second
        for quote in sorted(self.quotes, key=lambda it: it.settle is None):  # an index has the last word
            price = float(self.quoted(quote.symbol))
            self._index[quote.coin] = price * (self._index[quote.settle] if quote.settle else 1.0)

    def index(self, asset: str) -> float:
        """Index price of an asset in account currency."""
        return self._index.get(asset, 1.0)

    def advance(self, second: float) -> None:
        """Let time pass until `second` and quote anew."""
        elapsed, self._second = second - self._second, second
        self._path_prices = self._path.at(second)
        decay = math.exp(-elapsed / self._resilience_seconds)
        self._transient = {coin: pressure * decay for coin, pressure in self._transient.items()}
        follow = 1 - math.exp(-elapsed / INDEX_SMOOTHING_SECONDS)
        for asset in self._path_prices:
            self._index[asset] = self._index[asset] + (self._spot(asset) - self._index[asset]) * follow
        for quote in self.quotes:
            wanted = round(self._wanted(quote) * 10**quote.decimals)
            self._units[quote.symbol] = within_reach(
                wanted, self._units[quote.symbol], quote.jump_fraction / 2
            )

    def marks(self, time_ns: int, next_sequence: Callable[[str], int]) -> list[Mark]:
        """A mark of every price symbol."""
        return [Mark(symbol, self.quoted(symbol), next_sequence(symbol), time_ns) for symbol in self._units]

    def trade(self, symbol: str, signed: Decimal, limit: Decimal | None = None) -> Decimal:
        """Execute `signed` contracts (> 0 buys) against the book: the price they get, no worse than `limit`."""
        side, size = (1 if signed > 0 else -1), self.notional(symbol, abs(signed))
        coin = self._policy.instruments[symbol].base
        way = self._impact * size / self._depth(coin)
        price = self._quantized(
            symbol, self._last(symbol) * math.exp(side * way / 2) * (1 + side * HALF_SPREAD)
        )
        self._push(coin, side * way)
        if limit is not None:
            limit = self.to_tick(symbol, limit, side)
            price = min(price, limit) if signed > 0 else max(price, limit)
        return price

    def to_tick(self, symbol: str, price: Decimal, side: int) -> Decimal:
        """The nearest price in whole ticks that is no worse for who buys (`side` 1) or sells (-1) at it.

        At least one tick, but where prices may be 0 and below.
        """
        tick = self._tick(symbol)
        price = price.quantize(tick, ROUND_FLOOR if side > 0 else ROUND_CEILING)
        return price if self._policy.instruments[symbol].negative_prices else max(price, tick)

    def fillable(self, symbol: str, side: int, limit: Decimal | None, way_max: float) -> float:
        """Contracts that can be executed until the price has moved by `way_max` (log), or to `limit`."""
        coin = self._policy.instruments[symbol].base
        if limit is not None:
            if limit <= 0:
                return 0.0 if side > 0 else self.fillable(symbol, side, None, way_max)
            distance = side * math.log(float(limit) / (self._last(symbol) * (1 + side * HALF_SPREAD)))
            way_max = min(way_max, distance)
        return max(0.0, way_max) * self._depth(coin) / self.notional(symbol, Decimal(1))

    def lot(self, symbol: str) -> Decimal:
        """Smallest quantity that is traded."""
        return self._lots[symbol]

    def funding_rate(self, symbol: str) -> Decimal:
        """Rate of the interval that ends now: its average premium and the base rate; a new interval begins."""
        total, count = self._premiums.pop(symbol, (0.0, 1))
        rate = max(-FUNDING_MAX, min(FUNDING_MAX, total / count + FUNDING_BASE))
        return Decimal(repr(rate)).quantize(Decimal("0.000001"))

    def notional(self, symbol: str, quantity: Decimal) -> float:
        """What so many contracts are worth, in account currency."""
        instrument = self._policy.instruments[symbol]
        price = Decimal(repr(self._last(symbol)))
        return float(instrument.value(quantity, price)) * self.index(instrument.settle)

    def _wanted(self, quote: Quote) -> float:
        if quote.settle is None:
            return self._index[quote.coin]
        fair = self._index[quote.coin] / self._index[quote.settle] * (1 + CALM_BASIS)
        last = self._last(quote.symbol)
        total, count = self._premiums.get(quote.symbol, (0.0, 0))
        self._premiums[quote.symbol] = total + last / fair - 1, count + 1
        return min(max(last, fair * (1 - MARK_BAND)), fair * (1 + MARK_BAND))

    def _last(self, symbol: str) -> float:
        instrument = self._policy.instruments[symbol]
        if instrument.kind is InstrumentKind.SPOT:
            return self._spot(instrument.base) / self._spot(instrument.settle)
        pressed = self._path_prices[instrument.base] * math.exp(self._pressure(instrument.base))
        return pressed / self._spot(instrument.settle) * (1 + CALM_BASIS)

    def _spot(self, asset: str) -> float:
        return self._path_prices[asset] * math.exp(SPOT_SHARE * self._pressure(asset))

    def _pressure(self, coin: str) -> float:
        return self._permanent.get(coin, 0.0) + self._transient.get(coin, 0.0)

    def _push(self, coin: str, way: float) -> None:
        before = self._pressure(coin)
        way = max(-PRESSURE_MAX, min(PRESSURE_MAX, before + way)) - before
        self._permanent[coin] = self._permanent.get(coin, 0.0) + PERMANENT_SHARE * way
        self._transient[coin] = self._transient.get(coin, 0.0) + (1 - PERMANENT_SHARE) * way

    def _depth(self, coin: str) -> float:
        return self._depths[coin] * self._path.liquidity(self._second)

    def _quantized(self, symbol: str, price: float) -> Decimal:
        tick = self._tick(symbol)
        return max(Decimal(repr(price)).quantize(tick), tick)

    def _tick(self, symbol: str) -> Decimal:
        # a spot pair has no quote of its own
        return Decimal(1).scaleb(-self._decimals.get(symbol, 8))
