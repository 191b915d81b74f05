"""The market of the benchmarks: the shipped policy with a few hundred perpetuals more, and prices that walk at random.

Popularity follows Zipf's law: of the positions by 1 / rank, of the marks by its square root, because what few hold
ticks too. Every 50th mark is an index price.
"""

from decimal import Decimal

import numpy as np
from numpy.typing import NDArray

from engine.inputs import Mark
from engine.marks.instants import Instant, InstantName
from engine.policy import Policy, parse
from streams.config.settings import shipped_file

TICK = 1e-4
"""Standard deviation of one mark's relative change."""
PEG_CALM = 0.01
"""The stablecoin moves so much less than the rest."""
INDEX_EVERY = 50
BITCOIN_PRICE = 60_000.0
INDEX_PRICES = {"USDT-USD": 1.0, "BTC-USD": BITCOIN_PRICE}
"""The collateral that the population holds."""
MARK_INTERVAL_NS = 1_000
"""Event time between two marks: so short that no benchmark outlives a price."""

_LISTING = """
[instruments.{symbol}]
kind = "perpetual"
base = "{base}"
settle = "USDT"
tiers = "large"
"""


def bench_policy(symbols: int) -> Policy:
    """The policy that ships with the package, with this many perpetuals listed besides."""
    return parse(bench_policy_text(symbols))


def bench_policy_text(symbols: int) -> str:
    """That policy as a file for a worker."""
    text = shipped_file("default_policies/default.toml", "policies/default.toml").read_text(encoding="utf-8")
    names = [contract(number) for number in range(symbols)]
    return text + "".join(_LISTING.format(symbol=it, base=it.removesuffix("-PERP")) for it in names)


def contract(number: int) -> str:
    """Symbol of a perpetual, the most popular first."""
    return f"S{number:03}-PERP"


class Market:
    """Marks of the listed perpetuals and of the population's collateral. The same seed gives the same marks."""

    def __init__(self, symbols: int, seed: int) -> None:
        """Draw the first prices, between 0.1 and 10,000."""
        self._rng = np.random.default_rng((seed, 0))
        self.contracts = [contract(number) for number in range(symbols)]
        self.names = [*self.contracts, *INDEX_PRICES]
        first = 10 ** self._rng.uniform(-1, 4, symbols)
        self._prices: NDArray[np.float64] = np.concatenate([first, list(INDEX_PRICES.values())])
        weights = 1 / np.arange(1, symbols + 1)
        self.popularity: NDArray[np.float64] = weights / weights.sum()
        ticking = np.sqrt(weights)
        self._ticking = ticking / ticking.sum()
        self._sequence = 0

    @property
    def time_ns(self) -> int:
        """Event time of the newest mark."""
        return self._sequence * MARK_INTERVAL_NS

    def price(self, number: int) -> float:
        """Where a symbol of `names` stands."""
        return float(self._prices[number])

    def mark(self, number: int, move: float | None = None) -> Mark:
        """The next mark of a symbol of `names`, `move` away from the last one, or one tick at random."""
        if move is None:
            scale = TICK * (PEG_CALM if self.names[number] == "USDT-USD" else 1)
            move = float(np.expm1(scale * self._rng.standard_normal()))
        self._prices[number] *= 1 + move
        self._sequence += 1
        return Mark(self.names[number], quoted(self.price(number)), self._sequence, self.time_ns)

    def all_marks(self) -> list[Mark]:
        """Every symbol once, where it stands."""
        return [self.mark(number, 0.0) for number in range(len(self.names))]

    def instant(self, number: int, move: float | None = None) -> Instant:
        """The next mark of a symbol, by itself."""
        return instant_of((self.mark(number, move),))

    def batch(self, count: int) -> list[Instant]:
        """The next marks of a realistic stream, each an instant of its own."""
        drawn = self._rng.choice(len(self.contracts), count, p=self._ticking)
        drawn[::INDEX_EVERY] = len(self.contracts) + np.arange(len(drawn[::INDEX_EVERY])) % len(INDEX_PRICES)
        return [self.instant(number) for number in drawn.tolist()]


def instant_of(marks: tuple[Mark, ...]) -> Instant:
    """These marks, of one event time, as one instant."""
    return Instant(marks, InstantName(marks[-1].time_ns))


def quoted(price: float) -> Decimal:
    """A price with seven significant digits."""
    return Decimal(f"{price:.7g}")
