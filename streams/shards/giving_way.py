"""Who gives way to whom on the event loop: slices of judging to everything else, and reasons to prices."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

PASSED_SECONDS_MAX = 0.05
"""How long reasons let prices pass. Four shards then say some 16 reasons in that time, a third of the loop: under a load that never ends
plans still come, and a desk that is behind has the rest."""
LOOK_SECONDS = 0.003

HEAD_START_SECONDS = 0.002
"""A commit takes Redis some 0.7 ms, and its event another 0.3 ms to the socket; each answer would otherwise be heard a slice later."""

TURNS = 3
"""Of the event loop. A commit and an event need several each, from one answer to the next request; an idle turn takes some 0.03 ms,
a slice some 5 ms."""


async def give_way() -> None:
    """Let everything else on the event loop have its turn, so that what was just queued gets on its way."""
    for _ in range(TURNS):
        await asyncio.sleep(0)


async def give_head_start() -> None:
    """Let the first liquidation that an instant brings get through its commit to Kafka before all others are judged."""
    await asyncio.sleep(HEAD_START_SECONDS)


async def let_pass(is_busy: Callable[[], bool], seconds_max: float) -> None:
    """Return once it is not busy any more, or `seconds_max` later."""
    clock = asyncio.get_running_loop().time
    until = clock() + seconds_max
    while is_busy() and clock() < until:  # noqa: ASYNC110 - nobody tells
        await asyncio.sleep(LOOK_SECONDS)


class AfterPrices:
    """The turn to judge, for what can wait: while price batches wait, or are judged, it lets them pass."""

    def __init__(self, turn: asyncio.Lock, batches_waiting: Callable[[], int]) -> None:
        self._turn, self._batches_waiting = turn, batches_waiting

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Hold the turn once no price waits for it, or `PASSED_SECONDS_MAX` later."""
        # whoever queues for the lock would come before the desk's next batch
        await let_pass(lambda: self._turn.locked() or bool(self._batches_waiting()), PASSED_SECONDS_MAX)
        async with self._turn:
            yield
