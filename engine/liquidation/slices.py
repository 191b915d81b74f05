"""The same share of every position, spread over rounds."""

from collections.abc import Sequence
from decimal import Decimal
from typing import NamedTuple

from engine.liquidation.moves import Reduction
from engine.numbers import ONE, whole_steps

SIXTEENTH = Decimal("0.0625")


class Slice(NamedTuple):
    """So many lots of one position in one round."""

    key: str
    lots: int
    round: int


def schedule(legs: Sequence[Reduction], sixteenths: int, round_share: Decimal) -> list[Slice]:
    """Close `sixteenths` / 16 of each position, no more than `round_share` of it in a round. Inside `numbers.exact()`.

    Whole lots, rounded up, so that 16 sixteenths close everything.
    """
    slices: list[Slice] = []
    share, round_ = sixteenths * SIXTEENTH, 0
    begun = share - share
    while begun < share:
        done = min(share, begun + round_share)
        counts = [(leg.name, _lots(leg, done) - _lots(leg, begun)) for leg in legs]
        # a share that adds no lot to any position needs no round
        round_ += any(count for _, count in counts)
        slices += [Slice(name, count, round_) for name, count in counts if count]
        begun = done
    return slices


def _lots(leg: Reduction, share: Decimal) -> int:
    # share * lots of the position, rounded up
    return int(whole_steps(share * leg.whole, ONE, "up"))
