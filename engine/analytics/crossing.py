"""The price at which a figure of price changes its sign: a search that ends on two neighbours of the 18-digit grid.

    scan     from the price now in steps of 1/16 of it, up to double and down to 1/16, then doubling (halving) up to
             2^20 times the price (2^-20, then the smallest price), until the sign is the other one; a price that may be
             below 0 both ways in steps of 1/16 of its scale, then doubling up to 2^20 times that
    narrow   secant on the bracket, with a bisection whenever a secant step did not halve it. Within one linear piece
             the secant is exact, so its end is reached in a step or two; a jump is closed in on by the bisections

Two crossings between neighbouring points of the scan are not seen. Such a pool would have to cross the line and come back
within a move of 6 %.
"""

from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import NamedTuple

from engine.numbers import ONE, QUOTIENT_DIGITS, divide, exact, to_step

Gap = Callable[[Decimal], Decimal]
"""What a pool has above its line at a price: > 0 above, < 0 below."""

PRICE_GRID = Decimal(1).scaleb(-QUOTIENT_DIGITS)
"""Answers are multiples of this."""

_SIXTEENTH = Decimal("0.0625")
_HALF = Decimal("0.5")
_DOUBLINGS = 20


class _Point(NamedTuple):
    price: Decimal
    gap: Decimal


def crossing(gap: Gap, start: Decimal, scale: Decimal | None = None) -> Decimal | None:
    """The price nearest to `start` (>= 0) at which the pool is on its line, or None where no price is.

    `scale` (> 0): of a price that may be 0 and below, as `start` may be then.

    Looked for where the pool comes nearer to the line: down or up, in both directions if both do, and in the other
    direction only when there is none. Where no price of the grid is exactly on the line, the answer is the grid's
    first price below the line, seen from above it.
    """
    with exact():
        here = _Point(start, gap(start))
        if not here.gap:
            return start
        directions = (-1, 1) if start or scale else (1,)
        near = [way for way in directions if _nearer(gap, here, way, scale)]
        far = [way for way in directions if way not in near]
        for ways in (near, far):
            found = [price for way in ways if (price := _scanned(gap, here, way, scale)) is not None]
            if found:
                return min(found, key=lambda price: abs(price - start))
        return None


def _nearer(gap: Gap, here: _Point, way: int, scale: Decimal | None) -> bool:
    """Whether the first step in a direction brings the pool nearer to its line (or over it)."""
    there = gap(next(_steps(here.price, way, scale)))
    return there < here.gap if here.gap > 0 else there > here.gap


def _scanned(gap: Gap, here: _Point, way: int, scale: Decimal | None) -> Decimal | None:
    last = here
    for price in _steps(here.price, way, scale):
        point = _Point(price, gap(price))
        if not point.gap:
            return price
        if (point.gap > 0) != (here.gap > 0):
            return _narrowed(gap, last, point) if last.gap > 0 else _narrowed(gap, point, last)
        last = point
    return None


def _steps(start: Decimal, way: int, scale: Decimal | None) -> Iterator[Decimal]:
    if scale or way > 0:
        step = way * (scale or start or ONE)
        for sixteenths in range(1, 17):
            yield _on_grid(start + step * sixteenths * _SIXTEENTH)
        for doublings in range(1, _DOUBLINGS + 1):
            yield _on_grid(start + step * 2**doublings)
        return
    for sixteenths in range(15, 0, -1):
        # what rounds to 0 is no price
        yield max(PRICE_GRID, _on_grid(start * sixteenths * _SIXTEENTH))
    price = start * _SIXTEENTH
    for _ in range(_DOUBLINGS):
        price = _on_grid(price * _HALF)
        if price <= PRICE_GRID:
            break
        yield price
    yield PRICE_GRID


def _narrowed(gap: Gap, above: _Point, below: _Point) -> Decimal:
    """The price of `below` once it is the grid's neighbour of `above`, or a price on the line between them."""
    while (width := abs(below.price - above.price)) > PRICE_GRID:
        for choose in (_secant, _middle):
            point = _Point(price := choose(above, below), gap(price))
            if not point.gap:
                return price
            above, below = (point, below) if point.gap > 0 else (above, point)
            if 2 * abs(below.price - above.price) <= width:
                break
    return below.price


def _secant(above: _Point, below: _Point) -> Decimal:
    way = below.price - above.price
    # above + (below - above) * gap above / (gap above - gap below), and strictly between the two
    price = above.price + divide(way * above.gap, above.gap - below.gap)
    step = PRICE_GRID if way > 0 else -PRICE_GRID
    first, last = above.price + step, below.price - step
    return max(first, min(last, price)) if way > 0 else min(first, max(last, price))


def _middle(above: _Point, below: _Point) -> Decimal:
    low, high = min(above.price, below.price), max(above.price, below.price)
    middle = _on_grid(low + (high - low) * _HALF)
    return min(max(middle, low + PRICE_GRID), high - PRICE_GRID)


def _on_grid(price: Decimal) -> Decimal:
    return to_step(price, PRICE_GRID, "half_even")
