"""A quick answer to how far something may move until a pool stands on a line: secants from where it stands now.

    x0 = now, x1 = 1 % towards the line, x(n+1) = x(n) - gap(x(n)) * (x(n) - x(n-1)) / (gap(x(n)) - gap(x(n-1)))

Gaps of margin pools are nearly linear, so two or three of them do. Where it does not settle there is no answer;
`crossing` takes a hundred times longer and misses less.
"""

from collections.abc import Callable
from decimal import Decimal

from engine.numbers import ONE, ZERO, divide, exact, to_step

SECANTS_MAX = 8
FACTOR_MAX = Decimal(100)
"""Nothing further away is near."""
_FIRST = Decimal("0.01")
_SETTLED = Decimal("0.00001")
"""A tenth of what answers are rounded to."""


def nearest_factor(
    gap: Callable[[Decimal], Decimal], here: Decimal, factor_min: Decimal = ZERO
) -> Decimal | None:
    """The factor f > `factor_min` near 1 with gap(f) = 0, to about 0.00001; None where none is found. `here` is gap(1)."""
    with exact():
        if not here:
            return ONE
        below, last, last_gap = gap(ONE - _FIRST), ONE, here
        # towards the line: a pool above it is to lose, one below it to gain
        factor, there = (ONE - _FIRST, below) if (below < here) == (here > 0) else (ONE + _FIRST, None)
        for _ in range(SECANTS_MAX):
            there = gap(factor) if there is None else there
            if there == last_gap:
                return None
            following = factor - divide(there * (factor - last), there - last_gap)
            following = to_step(following, _SETTLED, "half_even")
            if not factor_min < following < FACTOR_MAX:
                return None
            if abs(following - factor) <= _SETTLED:
                return following
            last, last_gap, factor, there = factor, there, following, None
        return None
