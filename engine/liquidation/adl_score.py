"""How good a deleveraging was, by what it took beyond what was needed and from whom.

    needed           deficit - what the fund could bear of it
    covered          min(taken, needed)                        of each takeover; sums over all
    overshoot        max(0, taken - needed)
    uncovered        max(0, needed - taken)
    largest share    most that one account gave / all that was taken
    largest haircut  most of its profit that one position gave in one takeover

Source of the measures: T. Chitra, "Autodeleveraging as Online Learning" (arXiv 2602.15182): of 2025-10-10 it publishes that the production
queue took tens of millions of dollars more than was needed.
"""

from collections import defaultdict
from collections.abc import Iterable
from decimal import Decimal

import msgspec

from engine.liquidation.deleveraging import AdlCut
from engine.numbers import ZERO, divide, exact


class Deleveraged(msgspec.Struct, frozen=True):
    """A takeover that the fund could not bear whole, and who was cut for it. Amounts in account currency."""

    deficit: Decimal
    bearable: Decimal
    """What the fund could bear of it."""
    cuts: tuple[AdlCut, ...]


class AdlScore(msgspec.Struct, frozen=True, kw_only=True):
    """Sums over takeovers, in account currency."""

    takeovers: int
    deficit: Decimal
    needed: Decimal
    taken: Decimal
    covered: Decimal
    overshoot: Decimal
    uncovered: Decimal
    largest_share: Decimal
    largest_haircut: Decimal
    cuts: int
    accounts: int
    """That gave anything."""


def adl_score(takeovers: Iterable[Deleveraged]) -> AdlScore:
    """The score of all of them together."""
    count = cuts = 0
    deficit = needed = taken = covered = overshoot = uncovered = haircut = ZERO
    by_account: defaultdict[str, Decimal] = defaultdict(Decimal)
    with exact():
        for it in takeovers:
            given = sum((cut.forgone for cut in it.cuts), ZERO)
            lacking = it.deficit - it.bearable
            count, cuts = count + 1, cuts + len(it.cuts)
            deficit, needed, taken = deficit + it.deficit, needed + lacking, taken + given
            covered += min(given, lacking)
            overshoot += max(ZERO, given - lacking)
            uncovered += max(ZERO, lacking - given)
            for cut in it.cuts:
                by_account[cut.account] += cut.forgone
                haircut = max(haircut, divide(cut.forgone, cut.unrealised_pnl))
        return AdlScore(
            takeovers=count,
            deficit=deficit,
            needed=needed,
            taken=taken,
            covered=covered,
            overshoot=overshoot,
            uncovered=uncovered,
            largest_share=divide(max(by_account.values()), taken) if taken else ZERO,
            largest_haircut=haircut,
            cuts=cuts,
            accounts=len(by_account),
        )
