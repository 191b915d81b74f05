"""How far each coin had moved at the worst moment of a recorded market, so that the moves of all coins belong together.

move of a coin    last price at that moment / first price - 1
worst moment      where the mean of the moves of all coins was lowest (highest, where rises are asked for), the first such
"""

from collections.abc import Iterable
from decimal import Decimal

import msgspec

from engine.numbers import ONE, ZERO, divide, exact, to_step

_MOVE_STEP = Decimal("0.0001")
"""Of the moves that are told: a hundredth of a percent."""


class RecordedMove(msgspec.Struct, frozen=True):
    """The moves at the worst moment; times in ms, whatever they count from."""

    begins_ms: int
    ends_ms: int
    moves: dict[str, Decimal]
    """By coin, sorted."""


def recorded_move(points: Iterable[tuple[int, str, Decimal]], *, up: bool = False) -> RecordedMove | None:
    """The worst moment of (time in ms, coin, price > 0), which come in the order of time; None without a move."""
    first: dict[str, Decimal] = {}
    last: dict[str, Decimal] = {}
    worst: RecordedMove | None = None
    way = 1 if up else -1
    total = most = ZERO
    begins_ms: int | None = None
    with exact():
        for time_ms, coin, price in points:
            begins_ms = time_ms if begins_ms is None else begins_ms
            opened = first.setdefault(coin, price)
            before, last[coin] = last.get(coin, opened), price
            # a coin that comes later has not moved yet, so the mean is the sum over a number that only grows
            total += way * divide(price - before, opened)
            if total > most * len(first):
                most = divide(total, Decimal(len(first)))
                worst = RecordedMove(begins_ms, time_ms, dict(last))
        if worst is None:
            return None
        moves = {
            coin: to_step(divide(price, first[coin]) - ONE, _MOVE_STEP, "half_even")
            for coin, price in sorted(worst.moves.items())
        }
        return msgspec.structs.replace(worst, moves=moves)
