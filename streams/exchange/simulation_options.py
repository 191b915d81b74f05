"""What a simulated market is like beside its path, and when its steps are."""

from collections.abc import Iterator

import msgspec

from streams.exchange.market.named_scenarios import Incident


class SimulationOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What the market is like, beside its path."""

    seconds: float
    """Length of the market."""
    steps_per_second: float = 20.0
    orders_per_second: float = 20.0
    impact: float = 1.0
    """Times the price moves that trades cause; 0 switches them off."""
    fund_part: float = 0.01
    """Capital of the insurance fund, as a part of what customers deposit at the opening."""
    funding_at: tuple[float, ...] = ()
    """Seconds of the market at which funding is settled, rising."""
    bad_ticks: bool = False
    """Whether some marks are wrong on purpose."""
    incident: Incident = Incident()
    """What goes wrong beside the market."""

    @property
    def steps(self) -> int:
        """Number of steps without a burst."""
        return int(self.seconds * self.steps_per_second)

    def crowd(self, second: float) -> int:
        """How many times the usual marks and orders come after `second`."""
        since, until, times = self.incident.burst or (0.0, 0.0, 1)
        return times if since <= second / self.seconds < until else 1

    def timeline(self) -> Iterator[float]:
        """The second of every step."""
        for number in range(self.steps):
            since = number / self.steps_per_second
            times = self.crowd(since)
            yield from (since + part / times / self.steps_per_second for part in range(1, times))
            yield (number + 1) / self.steps_per_second
