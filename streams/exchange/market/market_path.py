"""The course of a market that no trade of ours has moved: laid out from a scenario, or read from a recording."""

import itertools
from collections.abc import Iterator, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from engine.policy import Policy
from streams.exchange.feed_errors import FeedError
from streams.exchange.market.named_scenarios import MarketScenario, Points
from streams.exchange.market.recorded_symbols import DOLLARS
from streams.exchange.market.recorded_text import RECORDING_SUFFIXES
from streams.exchange.market.recording import Recording
from streams.exchange.market.sample_market import STABLECOIN, coin_of, quotes, start_prices
from streams.exchange.market.scenario import FeedMark, uneven_rise, walk

GRID_STEPS_PER_SECOND, GRID_STEPS_MAX = 20, 20_000
OWN_SHARE = 0.25
"""Part of an asset's move that follows steps of its own instead of the market's."""

Floats = NDArray[np.float64]


class MarketPath(Protocol):
    """Where prices would be if nobody of ours traded."""

    @property
    def start_prices(self) -> Mapping[str, Decimal]:
        """First price of every price symbol of the policy."""

    def at(self, second: float) -> Mapping[str, float]:
        """Price of every asset in account currency, `second` seconds after the start. Time never goes back."""

    def liquidity(self, second: float) -> float:
        """Depth of the order books, as a part of the usual."""

    def silent(self, second: float) -> bool:
        """Whether the exchange publishes nothing now."""


class ScenarioPath:
    """A scenario laid out on an even grid of times; between two points it is a straight line."""

    def __init__(self, scenario: MarketScenario, policy: Policy, *, seed: int, seconds: float) -> None:
        """The same arguments give the same path."""
        self.scenario, self._seconds = scenario, seconds
        self.start_prices: Mapping[str, Decimal] = start_prices(policy)
        rng = np.random.default_rng(seed)
        steps = int(min(max(seconds * GRID_STEPS_PER_SECOND, 200), GRID_STEPS_MAX))
        self._steps_per_second = steps / seconds
        market, swing = self._course(rng, scenario.course, steps), walk(rng, steps)
        named = {name for quote in quotes(policy) for name in (quote.coin, quote.settle) if name}
        paths = []
        for name in sorted(named):
            coin = coin_of(policy, name)
            own = self._course(rng, scenario.course, steps)
            # log price = log start + log(1 - fall) * depth + diffusion
            if coin is STABLECOIN:
                logs = np.log1p(-scenario.stable_fall) * self._course(rng, scenario.stable_course, steps)
            else:
                depth = (1 - OWN_SHARE) * market + OWN_SHARE * own
                logs = scenario.move * np.log1p(-coin.fall) * depth
            logs = logs + scenario.diffusion * coin.fall * (swing + walk(rng, steps))
            paths.append(float(coin.price) * np.exp(logs))
        self._names = [*sorted(named), policy.account_currency]
        self._points = np.column_stack([*paths, np.ones(steps + 1)])

    def at(self, second: float) -> Mapping[str, float]:
        """See `MarketPath`."""
        place = min(second * self._steps_per_second, len(self._points) - 1.0)
        below = min(int(place), len(self._points) - 2)
        part = place - below
        row = self._points[below] * (1 - part) + self._points[below + 1] * part
        return dict(zip(self._names, row.tolist(), strict=True))

    def liquidity(self, second: float) -> float:
        """See `MarketPath`."""
        parts, depths = zip(*self.scenario.liquidity, strict=True)
        return float(np.interp(second / self._seconds, parts, depths))

    def silent(self, second: float) -> bool:
        """See `MarketPath`."""
        span = self.scenario.silent
        return span is not None and span[0] <= second / self._seconds < span[1]

    def _course(self, rng: np.random.Generator, points: Points, steps: int) -> Floats:
        """Depth at each grid point."""
        depth = np.zeros(steps + 1)
        for (since, low), (until, high) in itertools.pairwise(points):
            first, last = int(since * steps), int(until * steps)
            if self.scenario.jump and low != high:
                rise = uneven_rise(rng, last - first, self.scenario.jump)
            else:
                rise = np.linspace(0.0, 1.0, last - first + 1)
            depth[first : last + 1] = low + (high - low) * rise
        return depth


def recording_in(place: Path) -> Path:
    """The recording at `place`: the file itself, or of a directory the first in the alphabet, trades before bars.

    Raises `FeedError` for a directory without one.
    """
    if not place.is_dir():
        return place
    files = [it for it in sorted(place.iterdir()) if it.name.lower().endswith(RECORDING_SUFFIXES)]
    found = [it for kind in ("trades", "klines", "") for it in files if it.name.startswith(kind)]
    if not found:
        raise FeedError(f"--data {place}: no file in this directory ends in {', '.join(RECORDING_SUFFIXES)}")
    return found[0]


def recorded_seconds(recording: Recording, to_ms: int | None) -> float:
    """From the first row that is played to the last one. Reads the file to its end."""
    end_ms = recording.end_ms()
    return max((min(end_ms, to_ms or end_ms) - recording.start_ms) / 1000, 1.0)


class RecordedPath:
    """A recording; the assets it does not have keep the sample market's price."""

    def __init__(self, recording: Recording, policy: Policy) -> None:
        """`recording` gives recorded seconds: its speed is 1."""
        self.recording = recording
        self.start_prices = recording.start_prices
        self._coins = _coins(recording, policy)
        self._marks: Iterator[FeedMark] = iter(recording)
        self._next = next(self._marks, None)
        self._prices = {
            name: float(self.start_prices[asset.index]) if asset.index else 1.0
            for name, asset in policy.assets.items()
        }
        for quote in quotes(policy):
            self._prices.setdefault(quote.coin, float(self.start_prices[quote.symbol]))
        self._prices |= {coin: float(self.start_prices[symbol]) for symbol, coin in self._coins.items()}

    def at(self, second: float) -> Mapping[str, float]:
        """See `MarketPath`."""
        while self._next is not None and self._next.at_seconds <= second:
            coin = self._coins.get(self._next.symbol)
            if coin is not None:
                self._prices[coin] = float(self._next.price)
            self._next = next(self._marks, None)
        return self._prices

    def liquidity(self, second: float) -> float:  # noqa: ARG002 - see `MarketPath`
        """See `MarketPath`."""
        return 1.0

    def silent(self, second: float) -> bool:  # noqa: ARG002 - see `MarketPath`
        """See `MarketPath`."""
        return False


def _coins(recording: Recording, policy: Policy) -> dict[str, str]:
    """The one price symbol of each recorded coin that gives its price in account currency: its index before its contract."""
    coins: dict[str, str] = {}
    for quote in sorted(quotes(policy), key=lambda it: it.settle is not None):
        told = quote.symbol not in recording.constant and (quote.settle is None or quote.settle in DOLLARS)
        if told and quote.coin not in coins.values():
            coins[quote.symbol] = quote.coin
    return coins
