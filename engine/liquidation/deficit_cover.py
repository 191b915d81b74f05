"""Who bears a deficit: the insurance fund first, then the winners of the other side.

from the fund       = min(deficit, fund)
needed of a closing = (deficit - from the fund) * its own deficit / sum of those of all closings
uncovered           = max(0, deficit - from the fund - sum of forgone);   overshoot = max(0, the reverse)
"""

from collections.abc import Sequence
from decimal import Decimal

import msgspec

from engine.liquidation.adl import AdlCandidate
from engine.liquidation.deleveraging import AdlCut, Closing, deleverage
from engine.numbers import ZERO, canonical, divide, exact
from engine.policy.rules.deleveraging_rules import DeleveragingRules


class DeficitCover(msgspec.Struct, frozen=True):
    """Who bears a deficit: from_fund + sum of forgone - overshoot + uncovered = deficit. Amounts in account currency."""

    deficit: Decimal
    from_fund: Decimal
    fund_after: Decimal
    cuts: tuple[AdlCut, ...]
    overshoot: Decimal
    """What winners give beyond what is needed: a part of a lot, or more where the policy closes position for position."""
    uncovered: Decimal
    """What neither fund nor winners could pay."""


def cover_deficit(
    deficit: Decimal,
    fund: Decimal,
    closings: Sequence[tuple[Closing, Sequence[AdlCandidate]]],
    rules: DeleveragingRules,
) -> DeficitCover:
    """Spread `deficit` (>= 0) over the fund, and what it lacks over the winners of each closing."""
    with exact():
        from_fund = min(deficit, max(fund, ZERO))
        needed = deficit - from_fund
        own = [closing.deficit for closing, _ in closings]
        of_all = sum(own, ZERO)
        cuts: list[AdlCut] = []
        for (closing, candidates), part in zip(closings, own, strict=True):
            if needed and part:
                cuts += deleverage(closing, candidates, rules, divide(needed * part, of_all))
        given = sum((cut.forgone for cut in cuts), ZERO)
        return DeficitCover(
            deficit,
            canonical(from_fund),
            canonical(fund - from_fund),
            tuple(cuts),
            canonical(max(ZERO, given - needed)),
            canonical(max(ZERO, needed - given)),
        )
