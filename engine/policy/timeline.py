"""Which policy is in force at which event time.

Rules
-----
* A version is in force from its own time on, until the time of a later version. A later version says the last word: one that is in force
  from an earlier time, or the same, takes the place of those before it that were to come.
* Before every version the first one is in force, whenever it says that it begins.
* An input is booked by the terms that were in force at its event time, and by those of what was listed before then and has left since: what
  an account holds must be booked, whether or not it is listed today. So booking follows from the input and the versions alone, and from no
  moment at which it is done.
"""

from bisect import bisect_right
from collections.abc import Iterable
from typing import NamedTuple, Self

import msgspec

from engine.policy.rules.document import Policy


class Ruling(NamedTuple):
    """One version of the policy."""

    version: int
    """Counts from 0."""
    from_ns: int
    """Event time (Unix ns)."""
    policy: Policy
    fault: str = ""
    """Why this edition cannot judge by it; "" where it can. What it lists is there all the same."""


class PolicyTimeline:
    """All versions that are known. Versions may be added while it is used."""

    def __init__(self, rulings: Iterable[Ruling], listed_before: Policy | None = None) -> None:
        """At least one. `listed_before` has instruments and assets that no version lists and that accounts may hold."""
        self._versions = {it.version: it for it in rulings}
        self._listed_before = listed_before
        self._lay_out()

    @classmethod
    def always(cls, policy: Policy) -> Self:
        """One policy, whatever the time."""
        return cls([Ruling(0, 0, policy)])

    @property
    def versions(self) -> list[Ruling]:
        """Every version, by number."""
        return [self._versions[number] for number in sorted(self._versions)]

    def add(self, ruling: Ruling) -> None:
        """Take one more version, or another meaning of a known one."""
        self._versions[ruling.version] = ruling
        self._lay_out()

    def at(self, time_ns: int) -> Ruling:
        """What is in force at this event time (Unix ns)."""
        return self._steps[self._place(time_ns)]

    def booking(self, time_ns: int) -> Policy:
        """The terms by which an input of this event time (Unix ns) is booked."""
        return self._booking[self._place(time_ns)]

    def _place(self, time_ns: int) -> int:
        if time_ns >= self._newest_ns:
            return -1
        return max(0, bisect_right(self._begins, time_ns) - 1)

    def _lay_out(self) -> None:
        steps: list[Ruling] = []
        for ruling in self.versions:
            while steps and steps[-1].from_ns >= ruling.from_ns:
                steps.pop()
            steps.append(ruling)
        self._steps = steps
        self._begins = [it.from_ns for it in steps]
        self._newest_ns = self._begins[-1]
        self._booking = []
        before = self._listed_before
        for step in steps:
            before = step.policy if before is None else _with_listed(step.policy, before)
            self._booking.append(before)


def _with_listed(policy: Policy, before: Policy) -> Policy:
    """`policy`, and besides what it lists what `before` lists."""
    instruments = before.instruments | policy.instruments
    assets = before.assets | policy.assets
    return msgspec.structs.replace(policy, instruments=instruments, assets=assets)
