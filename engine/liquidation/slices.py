"""The same share of every position, spread over rounds."""

from collections.abc import Sequence
from decimal import Decimal
from typing import NamedTuple

from engine.liquidation.lots import tradable
from engine.liquidation.moves import Reduction
from engine.numbers import ONE, ZERO, whole_steps

SIXTEENTH = Decimal("0.0625")


class Slice(NamedTuple):
    """So many lots of one position in one round."""

    key: str
    lots: int
    round: int


def schedule(legs: Sequence[Reduction], sixteenths: int, round_share: Decimal) -> list[Slice]:
    """Close `sixteenths` / 16 of each position, no more than `round_share` of it in a round. Inside `numbers.exact()`.

    Whole lots, rounded up, so that 16 sixteenths close everything. No order is below the smallest, and none leaves less than that: such a
    position is ahead of its share, and waits until the share has come up.
    """
    slices: list[Slice] = []
    share, round_ = sixteenths * SIXTEENTH, 0
    closed = dict.fromkeys((leg.name for leg in legs), 0)
    done = ZERO
    while done < share:
        done = min(share, done + round_share)
        counts = [(leg.name, _more(leg, closed[leg.name], done)) for leg in legs]
        # a share that adds no lot to any position needs no round
        round_ += any(count for _, count in counts)
        for name, count in counts:
            if count:
                slices.append(Slice(name, count, round_))
                closed[name] += count
    return slices


def _more(leg: Reduction, closed: int, share: Decimal) -> int:
    """Lots to close for the share once `closed` are: as many as can be traded; 0 of a position that is there already."""
    more = _lots(leg, share) - closed
    if more <= 0:
        return 0
    return tradable(more, leg.smallest, leg.amount - closed * leg.lot, leg.lot)


def _lots(leg: Reduction, share: Decimal) -> int:
    # share * lots of the position, rounded up
    return int(whole_steps(share * leg.whole, ONE, "up"))
