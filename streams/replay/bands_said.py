"""What events say of the bands of pools, as they come."""

from decimal import Decimal

import msgspec

from engine.ladder import SEVERITY, Band

Pool = tuple[str, str]
"""Account, and the key of an isolated position; empty for the shared pool."""


class _Said(msgspec.Struct, frozen=True):
    """What is read of an event; those that are about no account have no band."""

    time_ns: int = 0
    account: str = ""
    position: str | None = None
    band: Band | None = None
    ratio: Decimal | None = None


class BandsSaid:
    """Where each pool stands by the newest event about it."""

    def __init__(self) -> None:
        """Nothing was said."""
        self.bands: dict[Pool, Band] = {}
        self.ratios: dict[Pool, Decimal | None] = {}
        self._worst: dict[Pool, int] = {}
        """Severity of the worst band so far."""

    def take(self, event: bytes) -> tuple[Pool, int] | None:
        """The next event: the pool that it is about, and its event time; None where it is about none."""
        said = _decoder.decode(event)
        if said.band is None:
            return None
        pool = said.account, said.position or ""
        self.bands[pool], self.ratios[pool] = said.band, said.ratio
        self._worst[pool] = max(self._worst.get(pool, 0), SEVERITY[said.band])
        return pool, said.time_ns

    def reached(self, band: Band) -> set[Pool]:
        """Pools that were in this band, or a worse one, by any event."""
        return {pool for pool, worst in self._worst.items() if worst >= SEVERITY[band]}


_decoder = msgspec.json.Decoder(_Said)
