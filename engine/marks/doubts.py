"""Doubt in a price: how far from its mark a symbol may plausibly stand, and whether collateral priced by it counts.

    age of the last mark                          collateral     plausible range around the mark
    up to stale_after                             counts         the mark itself
    up to stale_after + stale_grace               counts         +- haircut, which grows by steps
    beyond                                        counts 0       +- haircut at its largest
    never had one                                 counts 0       unknown
    a second source diverges                      counts         up to the other source, at least

An account is told of doubt only where its verdict differs within the range (`engine.events.pools`). Nothing is taken from its
collateral within the grace: the haircut narrows what it may open and withdraw.
"""

from collections.abc import Mapping
from decimal import Decimal

import msgspec

from engine.numbers import divide
from engine.policy import PriceCheck

NANOSECONDS = 1_000_000_000
STEP_NS = 10 * NANOSECONDS
"""A growing haircut is the same for so long: its holders are looked at when it grows, not at every tick."""
_STEPS_PER_MINUTE = Decimal(6)


class Doubt(msgspec.Struct, frozen=True):
    """What is not known of a price."""

    haircut: Decimal
    """The price lies within mark * (1 - haircut) .. mark * (1 + haircut) (`Policy.moved`)."""
    worthless: bool = False
    """Collateral priced by it counts 0; a liability never does."""


def doubt_of_age(check: PriceCheck, age_ns: int) -> Doubt | None:
    """The doubt in a mark of this age; None while it is fresh."""
    stale_ns = age_ns - int(check.stale_after_seconds * NANOSECONDS)
    if stale_ns <= 0:
        return None
    steps = -(-stale_ns // STEP_NS)
    # haircut = rate per minute * minutes stale, by steps, at most the largest
    haircut = min(divide(check.stale_haircut_per_minute * steps, _STEPS_PER_MINUTE), check.stale_haircut_max)
    return Doubt(haircut, worthless=stale_ns > int(check.stale_grace_seconds * NANOSECONDS))


def aged_with(
    stale: frozenset[str], aged: Mapping[str, Doubt], symbol: str, doubt: Doubt | None
) -> tuple[frozenset[str], Mapping[str, Doubt]]:
    """Both (of `Prices`) once this is the doubt in the age of the symbol's newest mark; the same objects where they stay as they are."""
    worthless = doubt is not None and doubt.worthless
    if worthless != (symbol in stale):
        stale = stale | {symbol} if worthless else stale - {symbol}
    if doubt != aged.get(symbol):
        others = {name: it for name, it in aged.items() if name != symbol}
        aged = others if doubt is None else {**others, symbol: doubt}
    return stale, aged


def stronger(one: Doubt | None, other: Doubt | None) -> Doubt | None:
    """Both doubts in one price."""
    if one is None or other is None:
        return one or other
    return Doubt(max(one.haircut, other.haircut), one.worthless or other.worthless)
