"""What shards and the desk ask of the policy: whether they know what is in force, and whether it is time for another one."""

from typing import Protocol


class Rulings(Protocol):
    """The policy over time, as one worker has it."""

    @property
    def are_known(self) -> bool:
        """Whether it is known what is in force; while it is not, nothing may be judged or booked."""

    async def known(self) -> None:
        """Return once it is."""

    def begins_by(self, time_ns: int) -> bool:
        """Whether at this event time (Unix ns) another policy is in force than the one that everybody judges by now."""

    async def reach(self, time_ns: int) -> None:
        """Event time comes to `time_ns`: judge by what is in force then. The caller holds `turn`."""


class OneRuling:
    """There is one policy, and there will be no other."""

    are_known = True

    async def known(self) -> None:
        """See `Rulings`."""

    def begins_by(self, _time_ns: int) -> bool:
        """See `Rulings`."""
        return False

    async def reach(self, _time_ns: int) -> None:
        """See `Rulings`."""
