"""Prices and time for the shards of one process: who is judged when, and what is said of an outage.

While the feed is silent nobody is judged; at the first instant after which it is not, everybody is, at once.
"""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

from engine.events.price_events import price_event, subject_of
from engine.marks.instants import Instant
from engine.marks.mark_book import MarkBook, Prices
from engine.marks.outages import Outages, OutageTurn
from engine.marks.price_state import PriceState
from engine.policy import Policy
from streams.contract.commit import Commit
from streams.shards.processor import ShardProcessor, Slices

SILENT_SLICES_MAX = 4
"""Of one shard in a row: before its first word it puts in order whom to judge. Were each a turn of its own, the first shard to speak would
wait for all others to be ready too; a shard with much to order does not keep one from speaking that has little."""

Told = tuple[ShardProcessor, list[Commit]]
"""A shard, and what a slice of its judging has to make durable."""


class PriceWatch:
    """Stands between the mark book and the shards. It is given the shards that run; those that come later join in.

    Shards are judged slice by slice in turn, so that what is urgent in one does not wait for what is not in another. Until all slices
    have been taken nothing may be told to the mark book, and nothing else may judge these shards.
    """

    def __init__(self, policy: Policy, marks: MarkBook) -> None:
        """Nothing is out."""
        self._policy, self._marks, self._outages = policy, marks, Outages(policy)
        self._state = PriceState(policy)
        """The prices of a silent feed, instant by instant: the mark book is at the end of a batch already."""

    @property
    def silent(self) -> bool:
        """Whether the feed is silent."""
        return self._outages.silent_since_ns is not None

    def rule_by(self, policy: Policy) -> None:
        """Another policy is in force from now on, and the mark book rules by it. The shards that run are the caller's to tell."""
        self._policy = policy
        self._outages.rule_by(policy)
        self._state = PriceState(policy)
        self._state.prime(self._marks.prices.marks.values(), self._marks.prices)

    def join(self, processor: ShardProcessor, now_ns: int) -> Slices:
        """A shard that was taken over runs from now on: judge its accounts at the prices of this moment.

        Marks that came from the store are as old as they are by now, and no older. While the feed is silent it waits with all others.
        """
        prices = self._marks.advance(now_ns)
        if processor.policy is not self._policy:
            # another came into force while the shard was loaded, or followed
            yield from processor.rule_by(self._policy, prices)
        if not (self.silent or self._outages.is_silent(prices)):
            yield from processor.start_judging(prices)

    def on_clock(self, now_ns: int, running: Sequence[ShardProcessor]) -> Iterator[Told]:
        """Let time pass: what is stale, which timers are over, which outages have begun or ended."""
        prices = self._marks.advance(now_ns)
        yield from self._look(prices, running)
        if self.silent:
            self._state.prime(prices.marks.values(), prices)
            for processor in running:
                processor.stop_judging()
            return
        yield from _in_turn(
            (it, it.on_clock(prices) if it.judging else it.start_judging(prices)) for it in running
        )

    def on_instants(self, instants: Sequence[Instant], running: Sequence[ShardProcessor]) -> Iterator[Told]:
        """Judge at instants that the mark book has believed."""
        if not self.silent:
            yield from _in_turn((it, it.on_instants(instants)) for it in running)
            return
        for place, instant in enumerate(instants):
            self._state.take(instant)
            prices = self._state.prices
            if not self._outages.is_silent(prices):
                yield from _in_turn((it, it.start_judging(prices)) for it in running)
                yield from self._look(prices, running)
                yield from self.on_instants(instants[place + 1 :], running)
                return

    def _look(self, prices: Prices, running: Sequence[ShardProcessor]) -> Iterator[Told]:
        for turn in self._outages.look(prices):
            home = next((it for it in running if it.identity.is_home_of(subject_of(turn.symbol))), None)
            if home is not None:
                yield home, [self._said(turn, home, running)]

    def _said(self, turn: OutageTurn, home: ShardProcessor, running: Iterable[ShardProcessor]) -> Commit:
        concerned = [it.concerned(turn.symbol) for it in running]
        shards = tuple(sorted(it.shard for it in running))
        accounts, equity = sum(it.accounts for it in concerned), sum(it.equity for it in concerned)
        event = price_event(turn, accounts, equity, shards, self._policy.digest)
        return Commit(outbox=(home.identity.said(event),))


def _in_turn(shards: Iterable[tuple[ShardProcessor, Slices]]) -> Iterator[Told]:
    """One slice of each that says something, or a few that do not, then the next of each."""
    waiting = deque(shards)
    while waiting:
        processor, slices = waiting.popleft()
        goes_on = False
        for parts in islice(slices, SILENT_SLICES_MAX):
            goes_on = True
            yield processor, parts
            if parts:
                break
        if goes_on:
            waiting.append((processor, slices))
