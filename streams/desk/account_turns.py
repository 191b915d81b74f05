"""Every account in its turn: what changed at once, who presses every second, everybody else round after round.

Why not all at each change of a price: exact figures of 100,000 accounts take seconds. So they are looked at one part after the other, with
pauses, so that a core is at most a third busy with it.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator

PRESSING_SECONDS = 1.0
PART_SECONDS = 0.01
"""At a stretch: nothing else waits longer for the event loop on this account."""
PAUSE_SECONDS = 0.02
ROUND_PAUSE_SECONDS = 0.05
"""Between parts where nothing changed but prices: then a sixth of a core."""
IDLE_SECONDS = 0.2
ROUND_SECONDS = 5.0
"""Nobody who neither changed nor presses is looked at more often than this."""

Turn = tuple[str, int]
"""An account and its shard."""


class AccountTurns:
    """Who is next."""

    def __init__(
        self, pressing: Callable[[], Iterable[Turn]], everybody: Callable[[], Iterable[Turn]]
    ) -> None:
        """`pressing` is asked every `PRESSING_SECONDS`, `everybody` at the begin of a round."""
        self._pressing, self._everybody = pressing, everybody
        self._urgent: dict[str, int] = {}
        self._due: dict[str, int] = {}
        self._rest: list[Turn] = []
        self.round_s = 0.0
        """How long the last round took."""

    def changed(self, account: str, shard: int, *, urgent: bool) -> None:
        """It has to be looked at anew; the urgent before the others."""
        (self._urgent if urgent else self._due)[account] = shard

    @property
    def waiting(self) -> int:
        """Accounts that changed and were not looked at since."""
        return len(self._urgent) + len(self._due)

    async def run(self, look: Callable[[Iterator[Turn]], Awaitable[None]]) -> None:
        """Have `look` go through one part after the other, until cancelled."""
        pressing_s = round_s = 0.0
        while True:
            now_s = time.monotonic()
            if now_s - pressing_s > PRESSING_SECONDS:
                pressing_s = now_s
                self._urgent.update(self._pressing())
            if not self._rest and now_s - round_s > ROUND_SECONDS:
                self._rest, round_s = list(self._everybody()), now_s
            hurried, worked, rested = self.waiting > 0, self.waiting > 0 or bool(self._rest), bool(self._rest)
            if worked:
                await look(self._part())
            if rested and not self._rest:
                self.round_s = time.monotonic() - round_s
            pause_s = PAUSE_SECONDS if hurried else ROUND_PAUSE_SECONDS
            await asyncio.sleep(pause_s if worked else IDLE_SECONDS)

    def _part(self) -> Iterator[Turn]:
        """As many as `PART_SECONDS` are enough for, what changed first."""
        end_s = time.monotonic() + PART_SECONDS
        while (self.waiting or self._rest) and time.monotonic() < end_s:
            due = self._urgent or self._due
            yield due.popitem() if due else self._rest.pop()
