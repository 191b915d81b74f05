"""Which input ids of an account were applied lately, so that a re-sent message is not applied twice."""

from collections import deque
from collections.abc import Iterable

from streams.commit import DEDUPE_WINDOW


class RecentIds:
    """The newest `DEDUPE_WINDOW` ids of one account and topic, oldest forgotten first."""

    def __init__(self, ids: Iterable[str] = ()) -> None:
        """Start from `ids`, oldest first."""
        self._order: deque[str] = deque()
        self._known: set[str] = set()
        for input_id in ids:
            self.add(input_id)

    def __contains__(self, input_id: str) -> bool:
        """Whether this id was applied within the window."""
        return input_id in self._known

    def add(self, input_id: str) -> None:
        """Remember a newly applied id."""
        self._order.append(input_id)
        self._known.add(input_id)
        if len(self._order) > DEDUPE_WINDOW:
            self._known.discard(self._order.popleft())
