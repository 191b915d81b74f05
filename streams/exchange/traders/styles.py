"""The kinds of trader in the made-up population. Shares and sizes are chosen to look plausible, not measured."""

import msgspec


class Style(msgspec.Struct, frozen=True, kw_only=True):
    """One kind of trader; distributions are lognormal unless said otherwise."""

    name: str
    share: float
    wealth_median: float
    """In account currency; a Pareto factor gives the wealthy tail."""
    wealth_sigma: float
    leverage_median: float
    """Gross notional / wealth, as far as the account can afford it."""
    leverage_sigma: float
    long_share: float
    positions: tuple[int, int]
    leverage_from: int = 0
    """Index of the lowest leverage setting it chooses."""
    isolated_share: float = 0.0
    alternating: bool = False
    """Long and short in turn, as a hedger; pays maker fees."""
    carries: bool = False
    """Holds the coin it is short of."""


STYLES = (
    Style(
        name="directional_long",
        share=0.50,
        wealth_median=6_000,
        wealth_sigma=1.3,
        leverage_median=1.4,
        leverage_sigma=0.4,
        long_share=0.93,
        positions=(1, 5),
        leverage_from=1,
        isolated_share=0.08,
    ),
    Style(
        name="short",
        share=0.13,
        wealth_median=8_000,
        wealth_sigma=1.3,
        leverage_median=0.8,
        leverage_sigma=0.6,
        long_share=0.08,
        positions=(1, 4),
        leverage_from=1,
        isolated_share=0.05,
    ),
    Style(
        name="market_maker",
        share=0.07,
        wealth_median=400_000,
        wealth_sigma=0.9,
        leverage_median=4.0,
        leverage_sigma=0.4,
        long_share=0.5,
        positions=(4, 8),
        leverage_from=3,
        alternating=True,
    ),
    Style(
        name="carry",
        share=0.10,
        wealth_median=50_000,
        wealth_sigma=1.2,
        leverage_median=0.8,
        leverage_sigma=0.15,
        long_share=0.0,
        positions=(1, 1),
        leverage_from=1,
        carries=True,
    ),
    Style(
        name="retail",
        share=0.20,
        wealth_median=700,
        wealth_sigma=1.0,
        leverage_median=1.8,
        leverage_sigma=0.55,
        long_share=0.85,
        positions=(1, 3),
        leverage_from=3,
        isolated_share=0.25,
    ),
)
