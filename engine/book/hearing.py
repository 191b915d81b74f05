"""Judging everybody whom one cause concerns, with the breaker: how every book does it.

1. They are put in order, the most urgent first (`urgency`): first those whom this may condemn.
2. Everybody is judged in order. What enters liquidation adds up (`Breaker.beyond`).
3. As soon as it is beyond the policy's share those judged so far who were condemned are judged again, from where they stood before,
   and held; so is everybody after them. So a crowd costs at most a share of it twice, and no plan is made for the rest.
4. When all whom this may condemn were judged, the opening says what the cause was, from those whom it holds. Only now anything is
   said of them, so no liquidation gets out that the breaker would hold. Where less is at stake in all of them than opens it nothing waits.

What is said comes in slices, each after a bounded number of judgements. Between two of them nothing but the hearing may change the
book or its prices; reading it is safe.
"""

from collections import deque
from collections.abc import Generator, Iterable, Iterator, Sequence
from functools import partial
from typing import Generic, NamedTuple, Protocol, TypeVar

from engine.book.failures import SetsApart, tried
from engine.book.stakes import Holding, Stakes
from engine.book.urgency import DOOMED, UNCERTAIN, condemnable
from engine.events.effects import AccountRisk
from engine.events.judgement import EXPLAINED_MAX, Judgement
from engine.events.pools import WELL
from engine.ladder.breaker import (
    Breaker,
    Cause,
    HeldPool,
    InputsTaken,
    Occasion,
    Opening,
    Stake,
    together,
    worst,
)
from engine.ledger.accounts import AccountState

FIRST_SLICE_ACCOUNTS, SLICE_GROWTH = 2, 4
"""Judged for the first slice, and how much longer each is than the one before: the most urgent words are on their way at once."""
SLICE_ACCOUNTS = 24
"""Judged for one slice at most: to judge one and to encode what is said of it takes some 0.2 ms, so about 5 ms. Shorter ones say the
first word no earlier and the last one later."""
SLICE_JUDGEMENTS_MAX = 32
"""Said in one slice: to encode one takes some 0.06 ms."""
SEEN_TOGETHER = 512
"""Accounts that the columns are asked about between two slices: some 2 us each."""
COUNTED_TOGETHER = 64
"""Accounts read between two slices: some 0.02 ms each."""
RANKED_TOGETHER = 8
"""Exact figures that are computed for the order between two slices: 0.03 ms each, under portfolio margin some 1 ms."""

K = TypeVar("K")
_C_contra = TypeVar("_C_contra", contravariant=True)


class Court(SetsApart[_C_contra], Protocol[_C_contra]):
    """What a book answers for those whom it judges, each known by a key of its own."""

    breaker: Breaker
    stakes: Stakes

    def is_apart(self, key: _C_contra) -> bool:
        """Whether the engine failed on the account, so that nobody judges it."""

    def called(self, key: _C_contra) -> tuple[AccountState, AccountRisk]:
        """The account's state and risk record."""

    def headings(self, keys: Sequence[_C_contra]) -> list[int]:
        """Severity of the band that each account is heading for (`urgency`), UNCERTAIN where only exact figures tell."""

    def heading(self, key: _C_contra) -> int:
        """The same of one account, by its exact figures."""

    def judged(
        self, key: _C_contra, state: AccountState, risk: AccountRisk, occasion: Occasion, *, detailed: bool
    ) -> Judgement:
        """Judge the account from this risk record on, and remember what comes out."""

    def state_before(self, key: _C_contra) -> AccountState | None:
        """The state that inputs replaced since the last judgements; None where none did."""

    def whole(self) -> Stake:
        """What is at stake in the whole book, at the breaker's prices before the window."""

    def prices_now(self) -> dict[str, float]:
        """The newest price of every symbol."""


class _Case(NamedTuple, Generic[K]):
    key: K
    state: AccountState
    risk: AccountRisk
    place: int
    """Of its judgement among those that say something."""
    detailed: bool


class _Held(NamedTuple):
    account: str
    pools: tuple[str, ...]
    holdings: list[Holding]
    stake: Stake


def hear(court: Court[K], keys: Iterable[K], occasion: Occasion) -> Iterator[list[Judgement]]:
    """Judge these accounts, which come by name; yields the judgements that say something, in slices, which may be empty."""
    hearing, keys = _Hearing(court, occasion), [key for key in keys if not court.is_apart(key)]
    headings = yield from _headings(court, keys)
    # a stable sort: names stay in order
    order = sorted(range(len(keys)), key=headings.__getitem__, reverse=True)
    doomed = sum(severity >= DOOMED for severity in headings)
    yield from hearing.begin([keys[place] for place in order[:doomed]])
    for number, place in enumerate(order):
        if number == doomed:
            yield from hearing.decide()
        yield from hearing.judge(keys[place])
    yield from hearing.decide()
    yield from hearing.spoken()


def _headings(court: Court[K], keys: Sequence[K]) -> Generator[list[Judgement], None, list[int]]:
    if len(keys) < 2:  # noqa: PLR2004 - whoever is alone comes first, however urgent
        return [DOOMED] * len(keys)
    headings: list[int] = []
    for first in range(0, len(keys), SEEN_TOGETHER):
        if first:
            yield []
        headings += court.headings(keys[first : first + SEEN_TOGETHER])
    uncertain = [place for place, severity in enumerate(headings) if severity == UNCERTAIN]
    for number, place in enumerate(uncertain, 1):
        headings[place] = tried(court, keys[place], partial(court.heading, keys[place])) or 0
        if number % RANKED_TOGETHER == 0:
            yield []
    return headings


class _Hearing(Generic[K]):
    """One cause."""

    def __init__(self, court: Court[K], occasion: Occasion) -> None:
        self._court, self._occasion, self._breaker = court, occasion, court.breaker
        self._waits = False
        """Whether nothing may be said yet, because the breaker may open."""
        self._said: list[Judgement] = []
        """While it waits."""
        self._free: deque[Judgement] = deque()
        """To be said in the next slices."""
        self._withdrawn: set[int] = set()
        self._detailed = 0
        self._judged, self._slice_accounts = 0, FIRST_SLICE_ACCOUNTS
        """In this slice; how many it may have."""
        self._condemned: list[_Case[K]] = []
        self._stakes: list[Stake] = []
        """Of the condemned."""
        self._held: list[_Held] = []
        self._opened = False
        self._before = court.breaker.within_window(occasion.time_ns) if court.breaker.armed else Stake()
        self._sum = self._before

    def begin(self, doomed: Sequence[K]) -> Iterator[list[Judgement]]:
        """These come first: all whom this may condemn."""
        self._breaker.begin_cause()
        if not self._breaker.armed or self._breaker.hold is not None:
            return
        most = self._before
        for number, key in enumerate(doomed, 1):
            most = most.plus(self._stake_at_most(key))
            if self._breaker.may_open(most, self._court.whole):
                self._waits = True
                return
            if number % COUNTED_TOGETHER == 0:
                yield []

    def judge(self, key: K) -> Iterator[list[Judgement]]:
        """Judge the next account."""
        if self._court.is_apart(key):
            return
        state, risk = self._court.called(key)
        case = _Case(key, state, risk, len(self._said), self._detailed < EXPLAINED_MAX)
        judgement = self._judgement(case)
        if judgement is None:
            return
        if judgement.events:
            self._detailed += any(it.entered is not None for it in judgement.events)
            (self._said if self._waits else self._free).append(judgement)
        if self._breaker.armed and (judgement.risk.pools or risk.account in self._breaker.held):
            yield from self._look(case, judgement)
        yield from self._beat()

    def decide(self) -> Iterator[list[Judgement]]:
        """All whom this may condemn were judged: the breaker is open or it is not, and what waited is said."""
        if self._opened:
            self._breaker.open(self._opening())
        else:
            for stake in self._stakes:
                self._breaker.condemned(stake, self._occasion)
        self._waits = self._opened = False
        self._stakes = []
        self._free += (it for place, it in enumerate(self._said) if place not in self._withdrawn)
        self._said = []
        yield from self.spoken()

    def spoken(self) -> Iterator[list[Judgement]]:
        """What may be said now, in slices."""
        while self._free:
            yield [self._free.popleft() for _ in range(min(len(self._free), SLICE_JUDGEMENTS_MAX))]

    def _beat(self) -> Iterator[list[Judgement]]:
        """One more was judged."""
        self._judged += 1
        if self._judged < self._slice_accounts:
            return
        self._judged, self._slice_accounts = 0, min(SLICE_GROWTH * self._slice_accounts, SLICE_ACCOUNTS)
        if not self._free:
            yield []
        yield from self.spoken()

    def _look(self, case: _Case[K], judgement: Judgement) -> Iterator[list[Judgement]]:
        """Keep count of what was condemned, or held."""
        after, before = judgement.risk.pools, case.risk.pools
        self._hold(case, judgement.risk)
        condemned = tuple(
            pool for pool, it in after.items() if self._breaker.counts(before.get(pool, WELL), it)
        )
        if not condemned or self._breaker.hold is not None:
            return
        stake = self._stake(case.key, case.state, condemned)
        if not self._waits:
            self._breaker.condemned(stake, self._occasion)
            return
        self._condemned.append(case)
        self._stakes.append(stake)
        self._sum = self._sum.plus(stake)
        if self._breaker.beyond(self._sum, self._court.whole) is not None:
            self._opened = True
            self._breaker.begin_holding()
            for it in self._condemned:
                self._judge_again(it)
                yield from self._beat()

    def _judge_again(self, case: _Case[K]) -> None:
        judgement = None if self._court.is_apart(case.key) else self._judgement(case)
        if judgement is None:
            # nothing is said of it; as nothing was before
            self._withdrawn.add(case.place)
            return
        self._said[case.place] = judgement
        if not judgement.events:
            self._withdrawn.add(case.place)
        self._hold(case, judgement.risk)

    def _judgement(self, case: _Case[K]) -> Judgement | None:
        """The account judged from where it stood; None where the engine failed on it."""
        judged = partial(self._court.judged, case.key, case.state, case.risk, self._occasion)
        return tried(self._court, case.key, lambda: judged(detailed=case.detailed), case.risk)

    def _hold(self, case: _Case[K], risk: AccountRisk) -> None:
        held = risk.held_pools
        if not held:
            self._breaker.let_go(risk.account)
        elif risk.account not in self._breaker.held:
            stake = self._stake(case.key, case.state, held)
            self._breaker.keep(risk.account, stake)
            if self._opened:
                holdings = [self._court.stakes.holding(case.state, pool) for pool in held]
                self._held.append(_Held(risk.account, held, holdings, stake))

    def _stake_at_most(self, key: K) -> Stake:
        """At least what is at stake in whichever pools of the account this condemns."""
        state, risk = self._court.called(key)
        # one by one: a debt in one pool must not make light of another
        alone = [self._stake(key, state, [pool]) for pool in condemnable(state, risk)]
        return Stake(bool(alone), sum(it.open_interest for it in alone), sum(it.equity for it in alone))

    def _stake(self, key: K, state: AccountState, pools: Iterable[str]) -> Stake:
        if self._court.is_apart(key):
            return Stake()
        return tried(self._court, key, partial(self._staked, key, state, pools)) or Stake()

    def _staked(self, key: K, state: AccountState, pools: Iterable[str]) -> Stake:
        stakes = self._court.stakes
        earlier = self._court.state_before(key) or state
        return stakes.stake(
            [stakes.holding(state, pool) for pool in pools],
            [stakes.holding(earlier, pool) for pool in pools],
            self._breaker.before,
        )

    def _opening(self) -> Opening:
        breaker, occasion = self._breaker, self._occasion
        alone = Stake()
        for held in self._held:
            alone = alone.plus(held.stake)
        condemned = self._before.plus(alone)
        beyond = breaker.beyond(condemned, self._court.whole)
        by_itself = breaker.beyond(alone, self._court.whole)
        if beyond is None or breaker.totals is None:
            raise AssertionError("what opened the breaker does not open it")
        limit, share, share_max = by_itself or beyond
        batches: list[tuple[InputsTaken, ...]] = [occasion.inputs]
        if by_itself is None and occasion.inputs:
            batches += [it.inputs for it in breaker.state.window]
        symbols = self._court.stakes.moves(
            (it for held in self._held for it in held.holdings), breaker.before, self._court.prices_now()
        )
        return Opening(
            number=breaker.state.openings + 1,
            cause=Cause(
                occasion.kind if by_itself else "window",
                occasion.time_ns,
                occasion.instant,
                symbols,
                together(batches),
            ),
            limit=limit,
            share=share,
            share_max=share_max,
            condemned=alone if by_itself else condemned,
            of=breaker.totals,
            worst=worst(
                HeldPool(held.account, held.pools[0] or None, held.stake.open_interest, held.stake.equity)
                for held in self._held
            ),
        )
