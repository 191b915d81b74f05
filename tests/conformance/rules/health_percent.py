"""The health of a pool as Drift shows it."""

from decimal import Decimal

from engine.margin.figures import Figures
from engine.numbers import ONE, ZERO, divide, exact, to_step

_PERCENT = Decimal(100)


def health_percent(figures: Figures) -> Decimal:
    """Whole percent of the collateral value that the requirement leaves free, 0..100; 100 where nothing is required.

    Source: drift-labs/protocol-v2, `User.getHealth`.
    """
    if not figures.requirement and figures.collateral_value >= 0:
        return _PERCENT
    if figures.collateral_value <= 0:
        return ZERO
    with exact():
        # 100 * (1 - requirement / C)
        free = _PERCENT - divide(_PERCENT * figures.requirement, figures.collateral_value)
        return to_step(max(ZERO, free), ONE, "half_even")
