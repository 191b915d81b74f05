"""The accounts and ticks that every peer gets, and what linear margin says of them.

An account holds five linear perpetuals of 400 and one stablecoin. 45.5 % hold the first contract, the rest is drawn by
Zipf's law. Notionals are log-normal and drawn apart from leverage, so that the accounts which cross are of no special
size. Nobody starts below a line; the tick is the fall of the first contract at which 1 % of the accounts cross one.

Linear margin is what all peers compute: one maintenance rate, one haircut, floats.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from streams.bench.bench_market import Market

SYMBOLS, POSITIONS = 400, 5
MOST_HELD_SHARE = 0.455
NOTIONAL_MEDIAN, NOTIONAL_SIGMA = 5_000.0, 1.2
LEVERAGES = (1.5, 60.0)
"""Drawn evenly in the logarithm; the highest stand above the policy's warning line."""
LONG_SHARE = 0.6
ENTRY_NOISE = 0.005
MAINTENANCE_RATE, HAIRCUT_RATIO = 0.01, 0.99
"""Of the first tier, and of the stablecoin: what the policy says of all but the large."""
LINES = (1.2, 1.0)
"""Margin call and liquidation; an account's band is how many of them it is below."""
CROSSING_SHARE = 0.01
TICK_FALL_MAX = 0.095
"""A jump of a tenth would have to be confirmed."""
WARM_MOVE, WARM_TICKS = 1e-5, 20
FALL, FALL_STEPS = 0.06, 30
DRAWN_AT_ONCE = 10_000

Bands = NDArray[np.int8]
Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


class Scenario(NamedTuple):
    """Accounts are numbers from 0; a position's account, symbol, signed quantity and entry price stand in rows, by account."""

    accounts: Ints
    symbols: Ints
    quantities: Floats
    entry_prices: Floats
    wallets: Floats
    prices: Floats
    """By symbol, before the tick."""
    ticks: Floats
    """Prices of the first symbol: warm ones within a thousandth of a percent, the tick, then the steps of the fall."""

    def save(self, file: Path) -> None:
        """As named arrays, for a peer in a process of its own."""
        np.savez(
            file,
            **self._asdict(),
            maintenance_rate=MAINTENANCE_RATE,
            haircut_ratio=HAIRCUT_RATIO,
            lines=LINES,
        )

    @classmethod
    def made_up(cls, accounts: int, seed: int) -> Self:
        """The same number and seed make the same accounts."""
        market, rng = Market(SYMBOLS, seed), np.random.default_rng((seed, 3))
        prices = np.array([float(f"{market.price(it):.7g}") for it in range(SYMBOLS)])
        symbols = np.concatenate(
            [
                _held(min(DRAWN_AT_ONCE, accounts - first), market.popularity, rng)
                for first in range(0, accounts, DRAWN_AT_ONCE)
            ]
        )
        sides = np.where(rng.random(symbols.shape) < LONG_SHARE, 1.0, -1.0)
        notionals = NOTIONAL_MEDIAN * np.exp(NOTIONAL_SIGMA * rng.standard_normal(symbols.shape))
        quantities = _rounded(sides * notionals / prices[symbols], 6)
        moves = 1 + ENTRY_NOISE * rng.standard_normal(symbols.shape)
        entry_prices = _rounded(prices[symbols] * moves, 7)
        gross = np.abs(quantities * prices[symbols]).sum(axis=1)
        equities = gross / np.exp(rng.uniform(*np.log(LEVERAGES), accounts))
        unrealised = (quantities * (prices[symbols] - entry_prices)).sum(axis=1)
        # A cent more than rounded: nobody starts below.
        wallets = np.maximum(np.ceil(100 * (equities - unrealised)), 1) / 100
        scenario = cls(
            np.repeat(np.arange(accounts), POSITIONS),
            symbols.ravel(),
            quantities.ravel(),
            entry_prices.ravel(),
            wallets,
            prices,
            np.empty(0),
        )
        return scenario._replace(ticks=scenario._chosen_ticks())

    def positions(self) -> Iterator[tuple[int, int, float, float]]:
        """Account, symbol, signed quantity and entry price of each position, by account."""
        columns = (self.accounts, self.symbols, self.quantities, self.entry_prices)
        yield from zip(*(it.tolist() for it in columns), strict=True)

    def bands(self, price: float) -> Bands:
        """Of every account, with the first symbol at this price and all others as they were."""
        prices = self.prices.copy()
        prices[0] = price
        at = prices[self.symbols]
        pnl = np.bincount(self.accounts, self.quantities * (at - self.entry_prices))
        required = MAINTENANCE_RATE * np.bincount(self.accounts, np.abs(self.quantities) * at)
        value = HAIRCUT_RATIO * (self.wallets + pnl)
        return np.sum([value < line * required for line in LINES], axis=0).astype(np.int8)

    def crossings(self) -> dict[tuple[int, int], int]:
        """By account and band entered from above: at which of `ticks`, the first time."""
        found: dict[tuple[int, int], int] = {}
        before = self.bands(self.prices[0])
        for number, price in enumerate(self.ticks.tolist()):
            now = self.bands(price)
            worse = np.flatnonzero(now > before)
            for account, band in zip(worse.tolist(), now[worse].tolist(), strict=True):
                found.setdefault((account, band), number)
            before = now
        return found

    def _chosen_ticks(self) -> Floats:
        first, accounts = float(self.prices[0]), len(self.wallets)
        low, high = 0.0, TICK_FALL_MAX
        while high - low > 1e-6:
            middle = (low + high) / 2
            enough = np.count_nonzero(self.bands(first * (1 - middle))) >= CROSSING_SHARE * accounts
            low, high = (low, middle) if enough else (middle, high)
        tick = first * (1 - high)
        warm = [first * (1 + WARM_MOVE * (number % 2)) for number in range(WARM_TICKS)]
        fall = [tick * (1 - FALL * (step + 1) / FALL_STEPS) for step in range(FALL_STEPS)]
        return np.array([float(f"{it:.9g}") for it in (*warm, tick, *fall)])


def _held(accounts: int, popularity: Floats, rng: np.random.Generator) -> Ints:
    """Different symbols of each account: the largest of log weight + Gumbel noise are a draw without replacement."""
    keys = np.log(popularity) + rng.gumbel(size=(accounts, len(popularity)))
    keys[:, 0] = np.where(rng.random(accounts) < MOST_HELD_SHARE, np.inf, -np.inf)
    return np.argpartition(-keys, POSITIONS, axis=1)[:, :POSITIONS].astype(np.int64)


def _rounded(values: Floats, digits: int) -> Floats:
    """To so many significant digits: a Decimal of the shortest text of such a float is that number."""
    return np.vectorize(float)(np.char.mod(f"%.{digits}g", values))
