"""Waiting for a condition, bounded, with a message that says what never came."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

POLL_S = 0.05


def wait_for(what: str, attempt: Callable[[], T | None], seconds_max: float = 60.0) -> T:
    """Poll `attempt` until it returns something true, and return that; fail naming `what` after `seconds_max`."""
    deadline = time.monotonic() + seconds_max
    while True:
        found = attempt()
        if found:
            return found
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds_max:g} s: {what} (last seen: {found!r})")
        time.sleep(POLL_S)


def wait_until_none(what: str, problem: Callable[[], str | None], seconds_max: float = 60.0) -> None:
    """Poll `problem` until it is None; fail with `what` and the last problem after `seconds_max`."""
    deadline = time.monotonic() + seconds_max
    while (last := problem()) is not None:
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds_max:g} s: {what}\n{last}")
        time.sleep(POLL_S)
