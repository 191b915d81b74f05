"""Where the demo shows itself: a live screen on a terminal, a line every few seconds elsewhere."""

import time
from types import TracebackType
from typing import Protocol, Self

from rich.console import Console
from rich.live import Live

from engine.ladder import Band
from streams.demo.collector import Picture
from streams.demo.demo_view import WIDTH_MAX, Heading, clock, held_words, milliseconds, render

LINE_SECONDS = 3.0


class Screen(Protocol):
    """An async run tells its steps, then enters the screen and shows pictures."""

    def tell(self, step: str) -> None:
        """Say that a step of the set-up is done."""

    def show(self, picture: Picture, heading: Heading) -> None:
        """Show the state of things now."""

    def __enter__(self) -> Self:
        """Begin to show pictures."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End it; the last picture stays."""


class LiveScreen:
    """Redraws in place."""

    def __init__(self, console: Console) -> None:
        """`console` is a terminal."""
        self._console = console
        self._live = Live(console=console, auto_refresh=False, vertical_overflow="crop")

    def tell(self, step: str) -> None:
        """See `Screen`."""
        self._console.print(f"[green]✓[/green] {step}", highlight=False)

    def show(self, picture: Picture, heading: Heading) -> None:
        """See `Screen`."""
        self._live.update(render(picture, heading, lines=self._console.height - 1), refresh=True)

    def __enter__(self) -> Self:
        """See `Screen`."""
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """See `Screen`."""
        self._live.stop()


class LineScreen:
    """Prints plain lines."""

    def __init__(self, console: Console) -> None:
        """`console` takes the lines."""
        self._console = console
        self._next = 0.0

    def tell(self, step: str) -> None:
        """See `Screen`."""
        self._line(step)

    def show(self, picture: Picture, heading: Heading) -> None:
        """See `Screen`; most calls print nothing."""
        if time.monotonic() < self._next:
            return
        self._next = time.monotonic() + LINE_SECONDS
        bands = ", ".join(
            f"{band.replace('_', ' ')} {count:,}"
            for band, count in picture.accounts_by_band.items()
            if count or band is Band.HEALTHY
        )
        self._line(
            f"{clock(heading.elapsed_seconds)} {heading.phase:16} {picture.ticks_per_second:,.0f} ticks/s, "
            f"{picture.events_per_second:,.0f} events/s, tick to event p50 {milliseconds(picture.latency_p50_seconds)} "
            f"p99 {milliseconds(picture.latency_p99_seconds)}; {bands}{_executed(heading)}{_held(picture)}"
        )

    def __enter__(self) -> Self:
        """See `Screen`."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """See `Screen`."""

    def _line(self, text: str) -> None:
        self._console.print(text, soft_wrap=True, markup=False, highlight=False)


def _held(picture: Picture) -> str:
    return (
        f"; breaker {held_words(picture.breakers_open, picture.liquidations_held)}"
        if picture.breakers_open
        else ""
    )


def _executed(heading: Heading) -> str:
    told = heading.exchange
    if told is None or not told.liquidations_taken:
        return ""
    balanced = "conserved" if told.conserved else "NOT CONSERVED"
    return (
        f"; {told.liquidations_executed:,} liquidations executed, {told.pools_cured:,} cured, "
        f"fund {told.fund_equity:,.0f}, {balanced}"
    )


def open_screen(console: Console) -> Screen:
    """The best that `console` can show."""
    if not console.is_terminal:
        return LineScreen(console)
    console.width = min(console.width, WIDTH_MAX)
    return LiveScreen(console)
