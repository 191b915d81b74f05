"""What the user asked of the demo."""

from pathlib import Path

import msgspec


class DemoError(RuntimeError):
    """The demo cannot go on; the message is for its user."""


class DemoOptionError(DemoError):
    """An option or a file of the user's makes it impossible."""


class DemoOptions(msgspec.Struct, frozen=True, kw_only=True):
    """One field for each option of the command; see `streams.cli.demo.demo_command`."""

    seconds: float | None
    """Length of the market; None: all of the recording."""
    accounts: int
    seed: int
    ticks_per_second: float
    fills_per_second: float
    scenario: str
    data: Path | None
    speed: str
    from_time: str | None
    to_time: str | None
    reading: tuple[str, ...] = ()
    """How the recording is to be read, as arguments of `unimargin simulate`."""
    workers: int
    kafka: str | None
    redis: str | None
    keep: bool
    board: bool
    """Whether a board is to be opened beside it, where what it takes is installed."""

    def exchange_arguments(self) -> list[str]:
        """The same wishes as arguments of `unimargin simulate`."""
        arguments = [
            *("--accounts", str(self.accounts), "--seed", str(self.seed)),
            *("--orders-per-second", str(self.fills_per_second), "--await-workers", "--json"),
            *("--ticks-per-second", str(self.ticks_per_second)),
        ]
        if self.seconds is not None:
            arguments += ["--seconds", str(self.seconds)]
        if self.data is None:
            return [*arguments, "--scenario", self.scenario]
        arguments += ["--data", str(self.data), "--speed", self.speed]
        for option, value in (("--from", self.from_time), ("--to", self.to_time)):
            if value is not None:
                arguments += [option, value]
        return [*arguments, *self.reading]
