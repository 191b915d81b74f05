"""Second sources: an index price held against a reference, a redemption rate or a floor.

Rules
-----
* Looked at when all marks of an instant are in, by what each symbol was *quoted* at: the order inside a record changes nothing,
  and one index may be the reference of another.
* The index diverges while |quoted / other - 1| > `divergence_max`; from a floor only below it. Then the price in force is what
  the policy says, and the symbol is doubted: what rests on it withholds a liquidation.
* Doubt begins at once. It ends when the two have agreed for `heal_seconds` of event time; a reference without a fresh mark says
  nothing, so it ends doubt in the same way, and begins none.
* haircut = the larger of |quoted / price in force - 1| and |other / price in force - 1|, rounded up to whole steps, and kept until
  it is too small or more than two steps too large: it must not change at every tick.
"""

from collections.abc import Mapping, Sequence
from decimal import ROUND_CEILING, Decimal

import msgspec

from engine.inputs import Mark
from engine.marks.doubts import NANOSECONDS, Doubt
from engine.marks.notices import Notice, NoticeKind
from engine.marks.symbol_quote import Anchor, Quote
from engine.numbers import ONE, ZERO, divide, exact
from engine.policy.rules.asset_rules import SecondSource
from engine.policy.rules.policy_switches import DivergentPrice

_STEP = Decimal("0.01")
_KEPT_STEPS = 2 * _STEP


class Standing(msgspec.Struct, frozen=True):
    """How an index stands to its second source."""

    quoted: Decimal
    other: Decimal | None
    """None where the reference has never been seen."""
    in_force: Decimal
    diverges: bool
    doubt: Doubt | None
    since_ns: int
    """Event time at which doubt began, or ended."""


class _Watched:
    """One index and its second source."""

    __slots__ = ("_heal_ns", "agrees_since_ns", "looked_at", "quote", "reference", "rule", "standing")

    def __init__(self, rule: SecondSource, quote: Quote, reference: Quote | None) -> None:
        self.rule, self.quote, self.reference = rule, quote, reference
        self._heal_ns = int(rule.heal_seconds * NANOSECONDS)
        self.standing: Standing | None = None
        self.agrees_since_ns: int | None = None
        """Event time since which they agree while doubt goes on."""
        self.looked_at: tuple[Mark | None, Mark | None] = (None, None)

    def unmoved(self) -> bool:
        """Whether nothing can have changed since the last look."""
        marks = self.quote.mark, None if self.reference is None else self.reference.mark
        same = marks[0] is self.looked_at[0] and marks[1] is self.looked_at[1]
        self.looked_at = marks
        return same and (self.standing is None or self.standing.doubt is None)

    def other(self, quoted: Decimal) -> Decimal | None:
        """The second source's price beside an index quoted so."""
        if self.reference is not None:
            return None if self.reference.mark is None else self.reference.mark.price
        if self.rule.floor is not None:
            return max(quoted, self.rule.floor)
        return self.rule.redemption

    def look(self, mark: Mark, time_ns: int) -> tuple[Standing, Notice | None]:
        """How they stand at an event time, the index quoted by `mark`; a notice where doubt began or ended."""
        before, quoted = self.standing, mark.price
        other = self.other(quoted)
        diverges = other is not None and self._speaks(time_ns) and self._diverges(quoted, other)
        doubt_before = None if before is None else before.doubt
        doubted = doubt_before is not None
        if diverges or not doubted:
            self.agrees_since_ns = None
        elif self.agrees_since_ns is None:
            self.agrees_since_ns = time_ns
        healed = self.agrees_since_ns is not None and time_ns - self.agrees_since_ns >= self._heal_ns
        doubts = diverges or (doubted and not healed)
        in_force, doubt = quoted, None
        if doubts and other is not None:
            in_force = self._in_force(quoted, other)
            doubt = Doubt(_width(quoted, other, in_force, doubt_before))
        since_ns = time_ns if before is None or doubts != doubted else before.since_ns
        self.standing = Standing(quoted, other, in_force, diverges, doubt, since_ns)
        if doubts == doubted:
            return self.standing, None
        kind = NoticeKind.SECOND_SOURCE_DIVERGED if doubts else NoticeKind.SECOND_SOURCE_AGREES
        said = f"quoted {quoted}, {self.named} {other}, in force {in_force}"
        return self.standing, Notice(kind, mark.symbol, time_ns, said)

    @property
    def named(self) -> str:
        """The second source for people."""
        if self.reference is not None:
            return self.reference.symbol
        return "floor" if self.rule.floor is not None else "redemption"

    def _speaks(self, time_ns: int) -> bool:
        quote = self.reference
        return quote is None or time_ns - quote.seen_ns <= quote.stale_after_ns

    def _diverges(self, quoted: Decimal, other: Decimal) -> bool:
        with exact():
            return abs(quoted - other) > self.rule.divergence_max * other

    def _in_force(self, quoted: Decimal, other: Decimal) -> Decimal:
        match self.rule.when_divergent:
            case DivergentPrice.LOWER:
                return min(quoted, other)
            case DivergentPrice.HIGHER:
                return max(quoted, other)
            case DivergentPrice.REFERENCE:
                return other
            case DivergentPrice.MARK:
                return quoted


class SecondSources:
    """All second sources of a policy."""

    def __init__(self, rules: Mapping[str, SecondSource], quotes: Mapping[str, Quote]) -> None:
        """`rules` by index symbol; `quotes` has every index and reference."""
        self._watched = {
            symbol: _Watched(rule, quotes[symbol], quotes[rule.symbol] if rule.symbol else None)
            for symbol, rule in rules.items()
        }
        self.doubts: Mapping[str, Doubt] = {}
        """The symbols doubted now. A new mapping whenever it changes."""

    @property
    def watches(self) -> bool:
        """Whether there is any."""
        return bool(self._watched)

    @property
    def standings(self) -> dict[str, Standing]:
        """How each index that has been quoted stands."""
        return {it.quote.symbol: it.standing for it in self._watched.values() if it.standing is not None}

    def anchor(self, symbol: str) -> Anchor | None:
        """What the first mark of an index is held against."""
        watched = self._watched.get(symbol)
        if watched is None or watched.rule.floor is not None:
            return None  # a floor says nothing of a price above it: it is looked at with every instant
        other = watched.other(ZERO)
        return None if other is None else (other, watched.rule.divergence_max, watched.named)

    def look(self, time_ns: int) -> tuple[Sequence[tuple[Mark, Standing]], list[Notice]]:
        """Look at every index that may stand otherwise than before; those, and what is to be told."""
        looked: list[tuple[Mark, Standing]] = []
        notices: list[Notice] = []
        for watched in self._watched.values():
            mark = watched.quote.mark
            if watched.unmoved() or mark is None:
                continue
            standing, notice = watched.look(mark, time_ns)
            looked.append((mark, standing))
            if notice is not None:
                notices.append(notice)
        if looked:
            doubts = {symbol: it.doubt for symbol, it in self.standings.items() if it.doubt is not None}
            if doubts != self.doubts:
                self.doubts = doubts
        return looked, notices


def _width(quoted: Decimal, other: Decimal, in_force: Decimal, before: Doubt | None) -> Decimal:
    # haircut >= |quoted / in force - 1| and |other / in force - 1|
    off = max(abs(quoted - in_force), abs(other - in_force))
    with exact():
        steps = divide(off, in_force * _STEP).to_integral_value(ROUND_CEILING) if in_force else ONE
        needed = max(steps, ONE) * _STEP
    if before is not None and needed <= before.haircut <= needed + _KEPT_STEPS:
        return before.haircut
    return needed
