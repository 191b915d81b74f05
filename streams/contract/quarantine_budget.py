"""How many bytes of what is set aside are copied into the quarantine topic: a flood of malformed records must not fill it without bound.

Every record that is set aside is told of, with its place and why: nothing is dropped, and nobody waits for it, for one producer's flood
must not hold up the accounts of all others. What is bounded is the copy. A shard has a budget of bytes that fills up again with
the log's own time, so that a rebuild decides as the first run did; what is beyond it is told by its place alone. Its bytes are where they
came from: `fills` and `ledger` are kept for ever, and `unimargin quarantine replay` reads them there.
"""

from streams.contract.commit import OutboxEntry
from streams.contract.quarantine_record import place_only

BYTES_PER_SECOND = 256 * 1024
"""Some 500 ordinary records a second, for ever: 22 GB a day and shard at the very most."""
BYTES_MAX = 16 * 1024 * 1024
"""Saved up while nothing is set aside: a burst of 16 of the largest records, or 30,000 ordinary ones, is copied whole."""
_NS_PER_S = 1_000_000_000


class QuarantineBudget:
    """The budget of one shard, or of a reader of prices."""

    def __init__(self) -> None:
        """Full."""
        self._bytes = float(BYTES_MAX)
        self._time_ns = 0
        self.places = 0
        """Records that were told by their place alone, since the start."""

    def within(self, entry: OutboxEntry, time_ns: int) -> OutboxEntry:
        """The entry as it is to be published; `time_ns` is the log's time of the record, 0 where nobody knows it."""
        if time_ns > self._time_ns:
            passed = time_ns - self._time_ns if self._time_ns else 0
            self._bytes = min(float(BYTES_MAX), self._bytes + passed * BYTES_PER_SECOND / _NS_PER_S)
            self._time_ns = time_ns
        size = len(entry.key or b"") + len(entry.value)
        if size <= self._bytes:
            self._bytes -= size
            return entry
        self.places += 1
        return place_only(entry)
