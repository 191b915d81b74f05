"""How far a partition is done: events end in any order, the position moves only past the oldest that is not."""

from collections.abc import Callable


class PartitionPosition:
    """One partition, for as long as it is ours."""

    def __init__(self, next_offset: int) -> None:
        """Everything before `next_offset` is done."""
        self._next = next_offset
        self._open: dict[int, int] = {}
        """Deliveries that are not done, by offset; offsets come in order."""
        self.live = True
        self.committed = next_offset

    def read(self, offset: int, deliveries: int) -> None:
        """The record at `offset` was read and is to be delivered so many times."""
        self._next = offset + 1
        if deliveries:
            self._open[offset] = deliveries

    def done_of(self, offset: int) -> Callable[[], None]:
        """What one of its deliveries calls at its end."""

        def done() -> None:
            left = self._open[offset] - 1
            if left:
                self._open[offset] = left
            else:
                del self._open[offset]

        return done

    @property
    def waiting(self) -> int:
        """Records with deliveries that are not done."""
        return len(self._open)

    @property
    def position(self) -> int:
        """The offset to go on from after a restart."""
        return next(iter(self._open), self._next)
