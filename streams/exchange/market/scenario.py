"""Price paths, and the synthetic one: calm, a crash, a partial rebound.

Model of the synthetic crash, per asset, in account currency:

    log price(t) = log start + log(1 - fall) * depth(t) + diffusion(t)
    depth        0 while calm, 1 at the bottom, 1 - REBOUND at the end; moves in uneven steps, shared and own
    contract     asset price / settle asset price * (1 + basis(t))

Rules
-----
* The same policy, seed, length and rate give the same marks.
* A believable mark is at most half the policy's jump fraction away from the symbol's previous one, so the mark
  book accepts it whatever the tick rate.
* Every symbol is marked in turn on every second tick, so none goes stale; the other ticks favour the symbols
  listed first, as trading does.
"""

from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Protocol

import msgspec
import numpy as np
from numpy.typing import NDArray

from engine.policy import Policy
from streams.exchange.feed_errors import FeedError
from streams.exchange.market.sample_market import Quote, coin_of, quotes, start_prices

CALM_UNTIL, BOTTOM_FROM, BOTTOM_UNTIL = 0.35, 0.60, 0.68
"""Parts of the scenario's length."""
REBOUND = 0.35
"""Part of the fall that is won back by the end."""
OWN_SHARE = 0.25
"""Part of an asset's fall that follows steps of its own instead of the market's."""
DIFFUSION = 0.02
"""Standard deviation of log price over the whole length, for an asset with fall 1."""
CALM_BASIS, CRASH_BASIS = 0.0004, -0.006
QUOTE_NOISE = 0.00005
GRID_STEPS_PER_SECOND, GRID_STEPS_MAX = 20, 20_000
CHUNK_TICKS = 8_192
BAD_TICKS_EACH_MAX = 4
TICKS_PER_BAD_TICK = 400
"""Three kinds, so at most three in four hundred ticks are bad: under one per cent."""

Floats = NDArray[np.float64]


class FeedMark(msgspec.Struct, frozen=True):
    """One price of a scenario, before it gets its wall-clock time."""

    at_seconds: float
    """When it is due, in seconds since the scenario began."""
    symbol: str
    price: Decimal
    sequence: int
    """Counts the symbol's marks from 1; a believable mark's is above all before it."""
    believable: bool = True
    """False for a deliberately bad tick, which the mark book must refuse."""
    moment: int | None = None
    """Marks of one moment hold together and come one after the other; None for one by itself."""


class Scenario(Protocol):
    """Where prices come from."""

    @property
    def start_prices(self) -> Mapping[str, Decimal]:
        """First price of every price symbol of the policy."""

    @property
    def constant(self) -> frozenset[str]:
        """Price symbols the scenario never marks; the feed repeats their start price."""

    @property
    def paced(self) -> bool:
        """Whether `at_seconds` is to be kept; otherwise marks go out as fast as the broker takes them."""

    def __iter__(self) -> Iterator[FeedMark]:
        """The marks in the order in which they are due."""


class SyntheticCrash:
    """The synthetic path for every price symbol of a policy; see the module's docstring."""

    constant: frozenset[str] = frozenset()
    paced = True

    def __init__(self, policy: Policy, *, seed: int, seconds: float, ticks_per_second: float) -> None:
        """Lay out the path. Raises `FeedError` when so few ticks would leave symbols stale."""
        self._policy = policy
        self._quotes = quotes(policy)
        self._seed = seed
        self._seconds = seconds
        self._ticks = max(1, int(seconds * ticks_per_second))
        self._ticks_per_second = ticks_per_second
        self.start_prices: Mapping[str, Decimal] = start_prices(policy)
        check_rate(policy, self._quotes, ticks_per_second)

    def __iter__(self) -> Iterator[FeedMark]:
        """See `Scenario`."""
        rng = np.random.default_rng(self._seed)
        grid = _Grid(self._policy, self._quotes, rng, self._seconds)
        bad = bad_ticks(rng, self._ticks)
        scales = np.array([10.0**quote.decimals for quote in self._quotes])
        lasts = [int(self.start_prices[q.symbol].scaleb(q.decimals)) for q in self._quotes]
        sequences = [0] * len(self._quotes)
        for first in range(0, self._ticks, CHUNK_TICKS):
            ticks = np.arange(first, min(first + CHUNK_TICKS, self._ticks))
            at = ticks / self._ticks_per_second
            which = self._turns(rng, ticks)
            noise = 1 + QUOTE_NOISE * rng.standard_normal(len(ticks))
            units = np.rint(grid.prices(at, which) * noise * scales[which]).astype(np.int64)
            for tick, due, i, wanted in zip(
                ticks.tolist(), at.tolist(), which.tolist(), units.tolist(), strict=True
            ):
                quote = self._quotes[i]
                lasts[i] = within_reach(wanted, lasts[i], quote.jump_fraction / 2)
                sequences[i] += 1
                price = Decimal(lasts[i]).scaleb(-quote.decimals)
                yield FeedMark(due, quote.symbol, price, sequences[i])
                if tick in bad:
                    refused = bad_mark(bad[tick], due, quote, price, sequences[i])
                    sequences[i] = max(sequences[i], refused.sequence)
                    yield refused

    def _turns(self, rng: np.random.Generator, ticks: NDArray[np.int64]) -> NDArray[np.int64]:
        count = len(self._quotes)
        popularity = 1 / np.arange(1, count + 1)
        drawn = rng.choice(count, size=len(ticks), p=popularity / popularity.sum())
        return np.where(ticks % 2 == 0, ticks // 2 % count, drawn)


def check_rate(policy: Policy, quoted: tuple[Quote, ...], ticks_per_second: float) -> None:
    """Raise `FeedError` for so few ticks that symbols would be stale."""
    stale_after = min(float(check.stale_after_seconds) for check in policy.price_symbols.values())
    # Twice the symbols: each has its turn on every second tick. Twice again: a tick may be held up.
    needed = 4 * len(quoted) / stale_after
    if ticks_per_second < needed:
        raise FeedError(
            f"{ticks_per_second:g} ticks per second leave symbols without a mark for longer than the "
            f"policy's {stale_after:g} s: {len(quoted)} symbols need at least {needed:.0f}"
        )


class _Grid:
    """Price of every quote on an even grid of times; between two points it is a straight line."""

    def __init__(
        self, policy: Policy, quoted: tuple[Quote, ...], rng: np.random.Generator, seconds: float
    ) -> None:
        steps = int(min(max(seconds * GRID_STEPS_PER_SECOND, 200), GRID_STEPS_MAX))
        self._steps_per_second = steps / seconds
        market = _depth(rng, steps)
        swing = walk(rng, steps)
        assets = {quote.coin for quote in quoted} | {quote.settle for quote in quoted if quote.settle}
        paths = {}
        for name in sorted(assets):
            coin = coin_of(policy, name)
            depth = (1 - OWN_SHARE) * market + OWN_SHARE * _depth(rng, steps)
            diffusion = DIFFUSION * coin.fall * (swing + walk(rng, steps))
            paths[name] = float(coin.price) * np.exp(np.log1p(-coin.fall) * depth + diffusion)
        paths[policy.account_currency] = np.ones(steps + 1)
        basis = 1 + CALM_BASIS + (CRASH_BASIS - CALM_BASIS) * market
        self._points = np.column_stack(
            [paths[q.coin] if q.settle is None else paths[q.coin] / paths[q.settle] * basis for q in quoted]
        )

    def prices(self, at_seconds: Floats, which: NDArray[np.int64]) -> Floats:
        place = at_seconds * self._steps_per_second
        below = np.minimum(place.astype(np.int64), len(self._points) - 2)
        part = place - below
        prices: Floats = self._points[below, which] * (1 - part) + self._points[below + 1, which] * part
        return prices


def walk(rng: np.random.Generator, steps: int) -> Floats:
    """A random walk from 0 with standard deviation 1 at its end."""
    return np.concatenate([[0.0], np.cumsum(rng.standard_normal(steps)) / np.sqrt(steps)])


def _depth(rng: np.random.Generator, steps: int) -> Floats:
    """How much of the fall is in effect at each grid point; exactly 1 at the bottom."""
    depth = np.zeros(steps + 1)
    calm, bottom, rebound = (int(part * steps) for part in (CALM_UNTIL, BOTTOM_FROM, BOTTOM_UNTIL))
    depth[calm : bottom + 1] = uneven_rise(rng, bottom - calm)
    depth[bottom:rebound] = 1.0
    depth[rebound:] = 1.0 - REBOUND * uneven_rise(rng, steps - rebound)
    return depth


def uneven_rise(rng: np.random.Generator, steps: int, jump: float = 15.0) -> Floats:
    """From 0 to 1 in `steps` steps of random size, one in twenty of them `jump` times the usual."""
    sizes = rng.exponential(size=steps) * np.where(rng.random(steps) < 1 / 20, jump, 1.0)
    return np.concatenate([[0.0], np.cumsum(sizes) / sizes.sum()])


def within_reach(wanted: int, last: int, reach: float) -> int:
    """The price nearest to `wanted` that is above 0 and at most the fraction `reach` away from `last`."""
    low, high = last - int(last * reach), last + int(last * reach)
    return max(1, min(max(wanted, low), high))


def bad_ticks(rng: np.random.Generator, ticks: int) -> dict[int, str]:
    """After which ticks a bad one is inserted, and of which kind."""
    each = min(BAD_TICKS_EACH_MAX, ticks // TICKS_PER_BAD_TICK)
    places = rng.choice(ticks, size=3 * each, replace=False).tolist()
    return dict(zip(places, ["jump", "old", "zero"] * each, strict=True))


def bad_mark(kind: str, due: float, quote: Quote, price: Decimal, sequence: int) -> FeedMark:
    """A mark of this kind that the mark book must refuse; `sequence` is that of the symbol's last one."""
    if kind == "jump":
        far = (price * Decimal(1 + 3 * quote.jump_fraction)).quantize(price)
        return FeedMark(due, quote.symbol, far, sequence + 1, believable=False)
    if kind == "old":
        return FeedMark(due, quote.symbol, price, sequence, believable=False)
    return FeedMark(due, quote.symbol, Decimal(0), sequence + 1, believable=False)
