"""When event time alone makes an account speak: its first hold timer runs out, or its box does."""

import heapq

NEVER_NS = 2**63 - 1


class Timers:
    """Event times by account number."""

    def __init__(self) -> None:
        """No timer runs."""
        self.holds_ns: dict[int, int] = {}
        """When the first hold timer of an account runs out."""
        self._boxes_ns: dict[int, int] = {}
        self._heap: list[tuple[int, int]] = []
        """Both with outdated entries, earliest first; those that ran out are gone."""

    @property
    def first_ns(self) -> int:
        """No timer runs out before this."""
        return self._heap[0][0] if self._heap else NEVER_NS

    def hold(self, number: int, due_ns: int | None) -> None:
        """The account's first hold timer runs out at `due_ns`; None where none runs."""
        self._set(self.holds_ns, number, due_ns)

    def box(self, number: int, due_ns: int | None) -> None:
        """The account's box ends at `due_ns`; None where it has none, or for good."""
        self._set(self._boxes_ns, number, None if due_ns == NEVER_NS else due_ns)

    def run_out(self, now_ns: int) -> list[int]:
        """Accounts of which a timer has run out by now; each is told once."""
        numbers = []
        while self._heap and self._heap[0][0] <= now_ns:
            due_ns, number = heapq.heappop(self._heap)
            if due_ns in (self.holds_ns.get(number), self._boxes_ns.get(number)):
                numbers.append(number)
        return numbers

    def _set(self, dues_ns: dict[int, int], number: int, due_ns: int | None) -> None:
        if due_ns is None:
            dues_ns.pop(number, None)
        elif due_ns != dues_ns.get(number):
            dues_ns[number] = due_ns
            heapq.heappush(self._heap, (due_ns, number))
