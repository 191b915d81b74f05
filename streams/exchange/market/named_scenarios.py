"""The named courses of a market, as data.

A course is a line through (part of the length, depth) points: depth 0 is the start, 1 the asset's whole move. How far an
asset moves is its fall in the sample market (`streams.exchange.market.sample_market.COINS`) times `move`; prices in a simulation fall further
than that, by the liquidations that the course sets off. Numbers are chosen to look plausible, not measured.
"""

import msgspec

from streams.exchange.market.scenario import BOTTOM_FROM, BOTTOM_UNTIL, CALM_UNTIL

Points = tuple[tuple[float, float], ...]


class WrongFunding(msgspec.Struct, frozen=True):
    """A job that settles funding wrongly for everybody. Times are parts of the length."""

    at: float
    repaired_at: float
    """When every such payment is paid back."""
    rate: str
    """Decimal, of notional: longs pay it, shorts receive it."""


class Decision(msgspec.Struct, frozen=True):
    """What the operator does about an open breaker. Played offline; on a real stack a person does it (`unimargin breaker`)."""

    at: float
    """Part of the length."""
    release: bool
    """Void otherwise."""
    why: str


class Incident(msgspec.Struct, frozen=True, kw_only=True):
    """What goes wrong beside the market. Times are parts of the market's length."""

    happened: str = ""
    """The day of the incident that it is made after; empty for none."""
    rules: str = ""
    """TOML laid over the policy (`scenario_policy`): what the scenario needs, and its guards."""
    favoured: dict[str, float] = {}
    """By asset, how often it is deposited; an asset that contracts settle in counts 6, any other 1."""
    quoted: dict[str, Points] = {}
    """By price symbol, what the venue publishes as a part of the true price."""
    caches_until: float = 0.0
    """After a silence index prices come out of a cache until then: the last marks from before it, again and again."""
    trades_from: float = 0.0
    """After a silence nothing is traded or liquidated until then: prices come first."""
    burst: tuple[float, float, int] | None = None
    """Since, until, and how many times as many marks and orders meanwhile."""
    wrong_funding: WrongFunding | None = None
    decisions: tuple[Decision, ...] = ()


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
    fund_part: float = 0.01
    """Capital of the insurance fund, as a part of what customers deposit at the opening."""
    incident: Incident = Incident()


FALL: Points = ((0.0, 0.0), (CALM_UNTIL, 0.0), (BOTTOM_FROM, 1.0), (BOTTOM_UNTIL, 1.0), (1.0, 0.65))
DRY: Points = (
    (0.0, 1.0),
    (CALM_UNTIL, 1.0),
    (CALM_UNTIL + 0.05, 0.35),
    (BOTTOM_UNTIL, 0.35),
    (1.0, 0.8),
)

USDE = """
[assets.USDE]
index = "USDE-USD"
tiers = [{ floor = 0, ratio = 0.95 }]
second_source = { redemption = 1, divergence_max = 0.005, when_divergent = "lower", heal_seconds = 5 }
"""
BREAKER = """
[breaker]
accounts_share_max = 0.1
open_interest_share_max = 0.15
equity_share_max = 0.1
window_seconds = 10
accounts_min = 3
"""
"""The shipped limits, for shards of some dozen accounts."""


def releases(*parts: float) -> tuple[Decision, ...]:
    """An operator who looks at these times, and finds that prices have fallen everywhere."""
    return tuple(Decision(at, release=True, why="the fall is real: every price agrees") for at in parts)


INCIDENTS = (
    MarketScenario(
        name="depeg-one-venue",
        title="a stablecoin that is redeemed at 1 stands at 0.65 in one order book for a while",
        course=((0.0, 0.0), (0.3, 0.0), (0.5, 0.2), (1.0, 0.2)),
        incident=Incident(
            happened="2025-10-10",
            rules=USDE,
            favoured={"USDE": 8.0},
            quoted={"USDE-USD": ((0.0, 1.0), (0.4, 1.0), (0.5, 0.65), (0.7, 0.65), (0.75, 1.0), (1.0, 1.0))},
        ),
    ),
    MarketScenario(
        name="restart-on-old-prices",
        title="a halt in a moving market; the feed comes back, at first with index prices from before",
        course=((0.0, 0.0), (0.3, 0.0), (0.55, 1.0), (1.0, 0.9)),
        move=0.5,
        silent=(0.35, 0.6),
        incident=Incident(happened="2025-10-10", caches_until=0.68, trades_from=0.72),
    ),
    MarketScenario(
        name="burst-80x",
        title="eighty times the marks and orders for a moment, in the middle of a fall",
        course=((0.0, 0.0), (0.45, 0.0), (0.55, 1.0), (1.0, 0.8)),
        move=0.35,
        incident=Incident(
            happened="2025-10-11",
            burst=(0.5, 0.51, 80),
            decisions=releases(0.53, 0.56, 0.6, 0.7),
        ),
    ),
    MarketScenario(
        name="bad-ledger",
        title="a job settles funding on an index of zero: half of every position's value is booked away",
        incident=Incident(
            happened="2026-01-19",
            rules=BREAKER,
            wrong_funding=WrongFunding(at=0.5, repaired_at=0.65, rate="0.5"),
            decisions=(Decision(0.7, release=False, why="funding of the wrong job was paid back"),),
        ),
    ),
    MarketScenario(
        name="cascade-and-adl",
        title="a crash that outruns a small insurance fund: winners are deleveraged",
        course=((0.0, 0.0), (0.3, 0.0), (0.45, 1.0), (0.55, 1.0), (0.8, 0.7), (1.0, 0.65)),
        diffusion=0.01,
        liquidity=((0.0, 1.0), (0.3, 1.0), (0.35, 0.25), (0.6, 0.25), (1.0, 0.8)),
        fund_part=0.001,
        incident=Incident(
            happened="2025-10-10",
            rules=BREAKER,
            decisions=releases(0.34, 0.37, 0.4, 0.43, 0.46, 0.5, 0.55, 0.6),
        ),
    ),
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
        *INCIDENTS,
    )
}
