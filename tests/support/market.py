"""Seeded prices that walk about a mean, so that accounts cross ladder lines both ways, again and again."""

import random
import time
from decimal import Decimal

from engine.inputs import Mark

BASE = {
    "BTC-PERP": 50_000.0,
    "ETH-PERP": 3_000.0,
    "SOL-PERP": 150.0,
    "USD-PERP": 50_000.0,
    "ADA-PERP": 0.5,
    "BTC-USD": 50_000.0,
    "USDT-USD": 1.0,
}
STEADY = "USDT-USD"
STEP = 0.006
PULL = 0.03
"""Of the distance to the mean, at each step: 0.6 % steps then spread over about 2.4 %, rarely 7 %."""


class Market:
    """The present price of every symbol, and the next mark of each."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._away = dict.fromkeys(BASE, 0.0)
        # Above any earlier run's: no symbol is marked a million times a second.
        self._sequences = dict.fromkeys(BASE, time.time_ns() // 1000)

    def price(self, symbol: str) -> Decimal:
        """The price now, with a venue's number of digits."""
        value = BASE[symbol] * (1 + self._away[symbol])
        return Decimal(f"{value:.2f}" if value > 10 else f"{value:.6f}")

    def step(self, symbol: str) -> None:
        """Move one symbol."""
        size = STEP / 10 if symbol == STEADY else STEP
        self._away[symbol] += self._rng.gauss(0, size) - PULL * self._away[symbol]

    def mark(self, symbol: str, price: Decimal | None = None) -> Mark:
        """The next mark of a symbol, dated now."""
        self._sequences[symbol] += 1
        return Mark(
            symbol=symbol,
            price=self.price(symbol) if price is None else price,
            sequence=self._sequences[symbol],
            time_ns=time.time_ns(),
        )
