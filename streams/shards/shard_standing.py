"""What a shard is doing on this worker, as all of its jobs see it."""

from enum import StrEnum

from engine.inputs import Topic


class Condition(StrEnum):
    """What a shard is doing."""

    STANDBY = "standby"
    """Follows what another worker commits, and waits for that one to be gone."""
    RECOVERING = "recovering"
    RUNNING = "running"
    STOPPED = "stopped"
    """Data is missing; an operator must act."""
    FENCED = "fenced"
    """Another worker took it over."""


class ShardStopped(Exception):  # noqa: N818 - it names a state, as the promise does
    """The shard cannot be continued without losing inputs; it stays stopped until an operator acts."""


class Standing:
    """Where a shard stands; its jobs share one."""

    def __init__(self) -> None:
        """It is about to be taken over."""
        self.condition = Condition.RECOVERING
        self.stop_reason = ""
        self.began_s = 0.0
        """When its take-over began (monotonic clock)."""
        self.durable: dict[Topic, int] = {}
        """Topic -> offset below which every input that was applied since the take-over is durable."""
