"""From records of marks to instants: joined as the policy says, then believed or refused."""

from collections.abc import Iterable
from typing import NamedTuple

from engine.marks.instants import Instant, Joining, MarksRecord
from engine.marks.mark_book import NANOSECONDS, MarkBook
from engine.marks.notices import MarkRefusal, Notice
from engine.policy import Policy
from engine.policy.rules.policy_switches import InstantOf


class Taken(NamedTuple):
    """What became of some records."""

    instants: list[Instant]
    """Believed, in order."""
    refused: list[MarkRefusal]
    notices: list[Notice]


class PriceIntake:
    """The way of price records into one mark book. `marks` is read by whoever needs the present prices."""

    def __init__(self, policy: Policy, marks: MarkBook) -> None:
        """Instants are those of the policy: `prices.instant`."""
        self._prices = policy.prices
        self._joining = _joining(policy)
        self._marks = marks

    def rule_by(self, policy: Policy) -> None:
        """Go on under another policy, and the mark book with it; `rest` has to be taken before."""
        if policy.prices != self._prices:
            self._prices, self._joining = policy.prices, _joining(policy)
        self._marks.rule_by(policy)

    def take(self, records: Iterable[MarksRecord], received_ns: int) -> Taken:
        """Records in order of arrival, received at `received_ns` (Unix ns); those that wait for others come with a later call."""
        if self._joining is not None:
            records = self._joining.offer(records, received_ns)
        return self._believe(records, received_ns)

    def due(self, now_ns: int) -> Taken:
        """What has waited for records of other partitions for long enough at `now_ns` of receipt."""
        return self._believe(self._joining.due(now_ns) if self._joining is not None else (), now_ns)

    def rest(self, received_ns: int) -> Taken:
        """All that waits for records of other partitions, where none can come any more."""
        return self._believe(self._joining.rest() if self._joining is not None else (), received_ns)

    @property
    def ahead_ns(self) -> int:
        """How far ahead of its receipt a mark may be dated."""
        return self._marks.ahead_ns

    @property
    def late(self) -> int:
        """Records so far that came after the instant they belonged to: judged as instants of their own."""
        return 0 if self._joining is None else self._joining.late

    def _believe(self, records: Iterable[MarksRecord], received_ns: int) -> Taken:
        taken = Taken([], [], [])
        for record in records:
            instant, refused = self._marks.accept(record, received_ns)
            if instant is not None:
                taken.instants.append(instant)
            taken.refused.extend(refused)
        taken.notices.extend(self._marks.take_notices())
        return taken


def _joining(policy: Policy) -> Joining | None:
    joins = policy.prices.instant is InstantOf.TIME
    return Joining(int(policy.prices.instant_wait_ms * NANOSECONDS / 1000)) if joins else None
