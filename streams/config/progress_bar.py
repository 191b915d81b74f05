"""The bar that a long command shows on standard error while it runs, where that is a terminal."""

import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from time import monotonic
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

_T = TypeVar("_T")
_SHOWN_EVERY_SECONDS = 0.1
"""Moving a bar takes some 10 us, more than many a step."""


def progress_bar() -> Progress:
    """A bar with its description before it."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(text_format_no_percentage="{task.completed:,.0f}"),
        TimeElapsedColumn(),
        console=Console(stderr=True),
        transient=True,
        disable=not sys.stderr.isatty(),
    )


@contextmanager
def counting(description: str, total: int | None) -> Iterator[Callable[[int], None]]:
    """A bar to `total` steps (None: nobody knows how many); call what it gives with each number of steps done."""
    with progress_bar() as bar:
        task = bar.add_task(description, total=total)
        waiting, due = 0, 0.0

        def done(steps: int) -> None:
            nonlocal waiting, due
            waiting += steps
            now = monotonic()
            if now >= due:
                bar.advance(task, waiting)
                waiting, due = 0, now + _SHOWN_EVERY_SECONDS

        yield done


async def counted(description: str, total: int | None, things: AsyncIterator[_T]) -> AsyncIterator[_T]:
    """The things, each a step of such a bar."""
    with counting(description, total) as done:
        async for thing in things:
            done(1)
            yield thing
