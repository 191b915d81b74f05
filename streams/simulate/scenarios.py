"""The named courses of a market, as data.

A course is a line through (part of the length, depth) points: depth 0 is the start, 1 the asset's whole move. How far an
asset moves is its fall in the sample market (`streams.feed.market.COINS`) times `move`; prices in a simulation fall further
than that, by the liquidations that the course sets off. Numbers are chosen to look plausible, not measured.
"""

import msgspec

from streams.feed.scenario import BOTTOM_FROM, BOTTOM_UNTIL, CALM_UNTIL

Points = tuple[tuple[float, float], ...]


class MarketScenario(msgspec.Struct, frozen=True, kw_only=True):
    """What happens to a market."""

    name: str
    title: str
    course: Points = ((0.0, 0.0), (1.0, 0.0))
    """Of every asset that is not a stablecoin."""
    move: float = 1.0
    """Times the asset's sample fall; < 0 rises."""
    stable_course: Points = ((0.0, 0.0), (1.0, 0.0))
    stable_fall: float = 0.0
    """Fraction that stablecoins lose at depth 1."""
    jump: float = 5.0
    """Size of the large steps on the way between two points, times the usual; 0 takes the way evenly."""
    diffusion: float = 0.02
    """Standard deviation of an asset's log price over the whole length, times its sample fall."""
    liquidity: Points = ((0.0, 1.0), (1.0, 1.0))
    """Depth of the order books, as a part of the usual."""
    silent: tuple[float, float] | None = None
    """Parts of the length between which the exchange publishes no price and takes no order."""
    bad_ticks: bool = False
    """Whether some marks are wrong on purpose, for the mark book to refuse."""


FALL: Points = ((0.0, 0.0), (CALM_UNTIL, 0.0), (BOTTOM_FROM, 1.0), (BOTTOM_UNTIL, 1.0), (1.0, 0.65))
DRY: Points = (
    (0.0, 1.0),
    (CALM_UNTIL, 1.0),
    (CALM_UNTIL + 0.05, 0.35),
    (BOTTOM_UNTIL, 0.35),
    (1.0, 0.8),
)

SCENARIOS = {
    scenario.name: scenario
    for scenario in (
        MarketScenario(name="calm", title="nothing happens", diffusion=0.02, jump=0.0),
        MarketScenario(
            name="flash-crash",
            title="a crash within minutes, order books run dry, a part of it is won back",
            course=FALL,
            move=0.6,
            liquidity=DRY,
            bad_ticks=True,
        ),
        MarketScenario(
            name="slow-grind",
            title="a fall without a pause, and without a panic",
            course=((0.0, 0.0), (0.1, 0.0), (1.0, 1.0)),
            jump=0.0,
            diffusion=0.03,
        ),
        MarketScenario(
            name="depeg",
            title="a stablecoin loses its peg: collateral shrinks while contracts hardly move",
            course=((0.0, 0.0), (0.3, 0.0), (0.6, 0.25), (1.0, 0.1)),
            stable_course=((0.0, 0.0), (0.3, 0.0), (0.5, 1.0), (0.7, 1.0), (1.0, 0.2)),
            stable_fall=0.12,
            liquidity=((0.0, 1.0), (0.3, 0.6), (1.0, 0.6)),
        ),
        MarketScenario(
            name="squeeze",
            title="prices rise until the shorts have to buy",
            course=FALL,
            move=-0.7,
            liquidity=DRY,
        ),
        MarketScenario(
            name="outage",
            title="the exchange falls silent in the middle of a fall, and comes back lower",
            course=((0.0, 0.0), (0.2, 0.0), (0.75, 1.0), (1.0, 0.9)),
            move=0.7,
            silent=(0.35, 0.6),
        ),
    )
}
