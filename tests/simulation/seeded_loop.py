"""An event loop without sockets, threads or a clock of its own: what is ready runs in an order that a seed draws.

Time is virtual. It moves a little with every callback, and to the next timer where nothing is ready.
"""

import asyncio
import heapq
import random
from contextvars import ContextVar
from typing import Any

TURN_S = 0.00002
"""What a callback takes: a loop that only gives way moves time too."""


class Process:
    """A process that may be killed or paused: everything that runs in its context stops at once, wherever it is."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.dead = False
        self.paused = False
        self.held: list[asyncio.Handle] = []
        """What would have run since it was paused."""


PROCESS: ContextVar[Process | None] = ContextVar("process", default=None)
"""Whose code runs; None for the servers and the network."""


class Stalled(AssertionError):  # noqa: N818 - it tells what happened
    """Nothing is ready and no timer runs."""


class SeededLoop(asyncio.BaseEventLoop):
    """See the module. `rng` draws the order."""

    def __init__(self, rng: random.Random) -> None:
        super().__init__()
        self._rng = rng
        self._now_s = 1000.0
        self._pool: list[asyncio.Handle] = []
        self.failures: list[str] = []
        """What callbacks failed with."""
        self.turns = 0
        self.set_exception_handler(self._note)

    def time(self) -> float:
        """Virtual seconds."""
        return self._now_s

    def resume(self, process: Process) -> None:
        """Let a paused process go on."""
        process.paused = False
        self._pool += process.held
        process.held.clear()

    def _run_once(self) -> None:
        pool, ready = self._pool, self._ready  # type: ignore[attr-defined]
        while ready:
            pool.append(ready.popleft())
        self._take_due()
        while not pool:
            if not self._scheduled:  # type: ignore[attr-defined]
                raise Stalled("nothing is ready, and no timer runs")
            self._now_s = max(self._now_s, self._scheduled[0].when())  # type: ignore[attr-defined]
            self._take_due()
        place = self._rng.randrange(len(pool))
        handle, pool[place] = pool[place], pool[-1]
        pool.pop()
        if handle.cancelled():
            return
        process = handle._context.get(PROCESS)  # type: ignore[attr-defined]
        if process is not None and process.dead:
            return
        if process is not None and process.paused:
            process.held.append(handle)
            return
        self.turns += 1
        self._now_s += TURN_S
        handle._run()

    def _take_due(self) -> None:
        timers = self._scheduled  # type: ignore[attr-defined]
        while timers and timers[0].when() <= self._now_s:
            timer = heapq.heappop(timers)
            timer._scheduled = False
            if not timer.cancelled():
                self._pool.append(timer)

    def _note(self, _: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        if "never retrieved" not in context["message"] and "was destroyed" not in context["message"]:
            self.failures.append(f"{context['message']}: {context.get('exception')!r}")

    def _process_events(self, events: object) -> None:
        """There are none."""

    def _check_closed(self) -> None:
        """Code that the garbage collector ends after a life may call on: nothing of it runs, and it must not take the process along."""

    def _write_to_self(self) -> None:
        """Nobody sleeps in a selector."""
