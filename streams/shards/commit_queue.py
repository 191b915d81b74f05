"""What waits to become durable: parts in, commits out, the urgent ones first.

Two lanes
---------
* Urgent is what carries inputs, the breaker, a deleveraging risk or a liquidation. Urgent parts are committed in the order in which they changed memory,
  many in one commit (group commit): nothing that carries inputs is overtaken by what was judged after it.
* All else, risks and events that are only to be known, waits by account while anything urgent does: the newest risk, and all
  events in order. It is committed in small pieces, those who have waited longest first; one also after every `PASSED_OVER_MAX` urgent
  commits, for in a fall the plans of liquidations keep that lane busy for as long as it lasts; then without accounts that have
  something in that lane, which came first.
* An urgent part takes along what waits of its accounts, in one commit with it. So the risk of an account never goes back, its events
  stay in order, and what one judgement says becomes durable together.

What a crash loses is judged again by the next owner: no event was published, and no input acknowledged, before its commit.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterable
from itertools import islice
from typing import NamedTuple

from streams.contract.commit import Commit, merge

COMMIT_ACCOUNTS_MAX = 500
"""Inputs may change thousands of accounts at once; a commit of this many holds Redis for about 10 ms."""
PIECE_ACCOUNTS_MAX = 100
"""Of what is not urgent: what is urgent waits for the piece under way."""

PASSED_OVER_MAX = 3
"""Urgent commits in a row while anything else waits: with that many warnings are known 20 ms later, and a liquidation 3 ms."""

Acknowledge = Callable[[], object]


class _Queued(NamedTuple):
    part: Commit
    since_s: float
    """When its oldest part was added (monotonic)."""


class CommitQueue:
    """The parts of one shard. One task takes commits: `next`, make it durable, `committed`."""

    def __init__(self) -> None:
        """Nothing waits."""
        self._urgent: deque[_Queued] = deque()
        self._waiting: dict[str | int, _Queued] = {}
        """By account, and by a number what is said of none."""
        self._acknowledgements: deque[tuple[int, Acknowledge]] = deque()
        """With the number of urgent parts that have to be durable first."""
        self._added = self._taken = self._numbered = self._passed_over = 0
        self.taken_since_s = 0.0
        """When the oldest part was added of what `next` gave last (monotonic)."""
        self._work = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()

    def add(self, parts: Iterable[Commit]) -> None:
        """Take parts in the order in which they changed memory. One that is not urgent speaks of one account at most."""
        now_s = time.monotonic()
        for part in parts:
            if part.urgent:
                self._add_urgent(_Queued(part, now_s))
            elif part:
                self._wait(_Queued(part, now_s))

    def hurry(self) -> None:
        """All that waits becomes durable before what is added from now on."""
        for queued in self._waiting.values():
            self._put_first(queued)
        self._waiting.clear()

    def acknowledge(self, calls: Iterable[Acknowledge]) -> None:
        """Have these called once the inputs that were added so far are durable."""
        self._acknowledgements += ((self._added, call) for call in calls)
        self._stir()

    async def next(self) -> Commit:
        """Wait for the next commit. It may be empty: then there is only something to acknowledge."""
        while not (self._urgent or self._waiting or self._ripe()):
            self._work.clear()
            await self._work.wait()
        if not self._urgent or self._passed_over >= PASSED_OVER_MAX:
            piece = self._piece()
            if piece or not self._urgent:
                self._passed_over = 0
                return self._take([self._waiting.pop(account) for account in piece])
        self._passed_over += bool(self._waiting)
        run = [self._urgent.popleft()]
        size = _size(run[0].part)
        while self._urgent and (size := size + _size(self._urgent[0].part)) <= COMMIT_ACCOUNTS_MAX:
            run.append(self._urgent.popleft())
        self._taken += len(run)
        return self._take(run)

    def committed(self) -> list[Acknowledge]:
        """What `next` gave last is durable; returns what may be acknowledged now."""
        ripe = []
        while self._ripe():
            ripe.append(self._acknowledgements.popleft()[1])
        if not (self._urgent or self._waiting):
            self._idle.set()
        return ripe

    async def idle(self) -> None:
        """Return once everything added is durable."""
        await self._idle.wait()

    async def durable(self) -> None:
        """Return once the inputs that were added so far are durable; more may come meanwhile."""
        reached = asyncio.Event()
        self.acknowledge([reached.set])
        await reached.wait()

    def give_up(self) -> None:
        """Nothing more becomes durable here: nobody need wait for it."""
        self._idle.set()

    def _take(self, queued: list[_Queued]) -> Commit:
        self.taken_since_s = min((it.since_s for it in queued), default=time.monotonic())
        return merge([it.part for it in queued])

    def _add_urgent(self, queued: _Queued) -> None:
        accounts = sorted(_accounts(queued.part) & self._waiting.keys())
        waited = [self._waiting.pop(account) for account in accounts]
        self._put_first(_joined([*waited, queued]))

    def _piece(self) -> list[str | int]:
        """Who has waited longest; but of whom something urgent waits too, that was queued before and must not be overtaken."""
        ahead = {account for queued in self._urgent for account in _accounts(queued.part)}
        return list(islice((it for it in self._waiting if it not in ahead), PIECE_ACCOUNTS_MAX))

    def _put_first(self, queued: _Queued) -> None:
        self._urgent.append(queued)
        self._added += 1
        self._stir()

    def _wait(self, queued: _Queued) -> None:
        risks = queued.part.risks
        if len(risks) > 1:
            raise AssertionError(f"a part that can wait speaks of {len(risks)} accounts")
        self._numbered += 1
        account = next(iter(risks), self._numbered)
        before = self._waiting.get(account)
        self._waiting[account] = _joined([before, queued] if before else [queued])
        self._stir()

    def _stir(self) -> None:
        if self._urgent or self._waiting:
            self._idle.clear()
        self._work.set()

    def _ripe(self) -> bool:
        return bool(self._acknowledgements) and self._acknowledgements[0][0] <= self._taken


def _joined(queued: list[_Queued]) -> _Queued:
    """One part with the effect of all, as old as the first."""
    return queued[0] if len(queued) == 1 else _Queued(merge([it.part for it in queued]), queued[0].since_s)


def _accounts(part: Commit) -> set[str]:
    return {*part.risks, *part.accounts, *(account for _, account in part.ids)}


def _size(part: Commit) -> int:
    return len(part.accounts) + len(part.risks)
