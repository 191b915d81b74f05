"""Where a value of a symbol (its price, a fact) stood a moment ago, and far values of it that wait to be believed.

Theory
------
A jump is a change within a moment, not between two marks: many small steps within nanoseconds are one. So a value must be near
the last one *and* near the one of a moment ago. Event time is cut into slots of half a window. The value of a moment ago is the one
that stood when the slot before this one began: between half a window and a whole one old.

    slots      |----- k-1 -----|------ k ------|          window = 2 slots
               ^ `reference`   ^ `_began`   ^ now

A value that moves from the last one towards that of a moment ago is no jump against it, nor is one that stays.

A far value is believed when `confirmations` marks in a row, each `spacing` after the last one counted, say the same: near the first or
the last of them, or further in the same direction. So a crash that goes on confirms itself, and marks of one moment confirm nothing.
"""

from collections.abc import Callable
from decimal import Decimal

import msgspec

from engine.inputs import Mark

Near = Callable[[Decimal, Decimal], bool]
"""Whether a value is near another: no jump from it."""


class Jump(msgspec.Struct, frozen=True):
    """A far value waiting to be believed."""

    first: Decimal
    latest: Decimal
    """Of the last mark counted."""
    seen: int
    upward: bool
    epoch: int
    sequence: int
    """Of the last mark counted: the same one delivered again confirms nothing."""
    time_ns: int


class Confirming(msgspec.Struct, frozen=True):
    """What confirms a far value."""

    confirmations: int
    spacing_ns: int


class Trail:
    """One value of one symbol, as it was believed."""

    __slots__ = ("_began", "_slot", "_slot_ns", "jump", "last", "reference", "slot_end_ns")

    def __init__(self, window_ns: int) -> None:
        """Nothing believed yet."""
        self._slot_ns = max(1, window_ns // 2)
        self._slot = 0
        self.slot_end_ns = 0
        """Event time at which `roll` has to be called."""
        self.last: Decimal | None = None
        self.reference: Decimal | None = None
        """The value of a moment ago; None with `last`."""
        self._began: Decimal | None = None
        self.jump: Jump | None = None

    def roll(self, time_ns: int) -> None:
        """Event time has come to `time_ns`; going back changes nothing."""
        slot = time_ns // self._slot_ns
        if slot <= self._slot:
            return
        # what stood when this slot began is the last value; before a slot without a mark as well
        self.reference = self._began if slot == self._slot + 1 else self.last
        self._began = self.last
        self._enter(slot)

    def believe(self, value: Decimal, time_ns: int, *, anew: bool) -> None:
        """`value` is believed; `anew`: what stood before is no reference for it (a first or confirmed one)."""
        if anew or self.last is None:
            self.reference = self._began = value
            self._enter(time_ns // self._slot_ns)
        self.last = value
        self.jump = None

    def is_near(self, value: Decimal, near: Near) -> bool:
        """Whether it is no jump, against the last value and against that of a moment ago; nothing jumps from nothing."""
        last, reference = self.last, self.reference
        if last is None or reference is None:
            return True
        if not near(value, last):
            return False
        between = min(last, reference) <= value <= max(last, reference)
        return between or near(value, reference)

    def confirms(
        self, value: Decimal, anchor: Decimal, mark: Mark, near: Near, rule: Confirming, horizon_ns: int
    ) -> int:
        """Count a far value, seen from `anchor`; returns how many are seen.

        `horizon_ns`: no present time lies beyond it; a far value dated there is forgotten.
        """
        jump, upward = self.jump, value > anchor
        if jump is not None and jump.time_ns > horizon_ns:
            jump = None
        if jump is None or not _agrees(value, jump, near, upward=upward):
            repeated = jump is not None and (mark.epoch, mark.sequence) <= (jump.epoch, jump.sequence)
            if jump is None or not repeated:
                jump = Jump(value, value, 1, upward, mark.epoch, mark.sequence, mark.time_ns)
        elif (mark.epoch, mark.sequence) > (jump.epoch, jump.sequence) and (
            mark.time_ns - jump.time_ns >= rule.spacing_ns
        ):
            seen = jump.seen + 1
            jump = Jump(jump.first, value, seen, upward, mark.epoch, mark.sequence, mark.time_ns)
        self.jump = jump
        return jump.seen

    def forget_later(self, mark: Mark) -> None:
        """The feed began anew with this mark: far values with later numbers are of another count."""
        jump = self.jump
        if jump is not None and (jump.epoch, jump.sequence) > (mark.epoch, mark.sequence):
            self.jump = None

    def _enter(self, slot: int) -> None:
        self._slot = slot
        self.slot_end_ns = (slot + 1) * self._slot_ns


def _agrees(value: Decimal, jump: Jump, near: Near, *, upward: bool) -> bool:
    further = value >= jump.latest if upward else value <= jump.latest
    return upward == jump.upward and (further or near(value, jump.first) or near(value, jump.latest))
